"""Plans with hostile names and values, as Markdown and as text: they break no table and bring nothing in."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from helpers.fuzzing import examples
from helpers.junk import NASTY
from roost.plan.steps import Change, Plan, Refusal, Risk, SetSecrets
from roost.report.plan_layout import LIMIT, lay_out
from roost.report.plan_section import PlannedEnvironment
from roost.report.text import make_console, plan_report

# As GitHub renders: with HTML, tables and bare links.
RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render
CODE = re.compile(r"`[^`\n]*`|<code>.*?</code>")
# GitHub makes a link of these where they stand in the source as they are.
BARE_LINK = re.compile(r"(?i)\b(?:https?|ftp)://|\bwww\.|\b(?:mailto|xmpp):")
TAGS = {
    *("h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "ul", "li"),
    *("br", "details", "summary", "em"),
}
HOSTILE = st.one_of(
    st.sampled_from(
        [
            *NASTY,
            "a`b``c```d",
            "`|`",
            "| x | y |\n|---|---|\n",
            "\n\n# heading\n\n- [ ] list\n",
            "\n```\nfence",
            "~~~",
            "---",
            "</code></td></tr></table><h1>out</h1>",
            "</details><details open>",
            "<!-- roost-plan -->",
            "-->",
            "&lt;b&gt;&#64;everyone&#x40;",
            "![img](https://evil.example/x.png)",
            "<https://evil.example>",
            "https://evil.example www.evil.example mailto:a@b.c",
            "[x]: https://evil.example",
            "@acme/team @octocat #1 GH-1 acme/roost#1",
            "\u2067\u202eevil\u2069",
            "\u200b\u2060\ufeff",
            "\\|\\`\\<",
            "$$x$$ :tada: ~~x~~ __x__ **x** *x* _x_",
            "a" * 70_000,
            "|" * 5000,
            "`" * 5000,
        ]
    ),
    st.text(max_size=30),
    st.text(alphabet="`|<>&@#[]()!*_~\\-:\n\r\t h", max_size=20),
)
VALUES = (
    HOSTILE
    | st.none()
    | st.lists(HOSTILE, max_size=2)
    | st.dictionaries(HOSTILE, HOSTILE, max_size=2)
)
CHANGES = st.builds(Change, field=HOSTILE, old=VALUES, new=VALUES)
STEPS = st.builds(
    SetSecrets,
    key=HOSTILE,
    summary=HOSTILE,
    risk=st.sampled_from(Risk),
    changes=st.lists(CHANGES, max_size=3).map(tuple),
    names=st.just(("A",)),
)
PLANS = st.builds(
    Plan,
    environment=HOSTILE,
    app=HOSTILE,
    steps=st.lists(STEPS, min_size=1, max_size=3).map(tuple),
    refusals=st.lists(st.builds(Refusal, HOSTILE, HOSTILE, HOSTILE), max_size=1).map(tuple),
    warnings=st.lists(HOSTILE, max_size=2).map(tuple),
    base=st.just({}),
)


class Page(HTMLParser):
    """What a page is made of: its tags, the cells of each row of its tables, and its plain text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.rows, self.attributes, self.plain, self.comments = [], [], [], [], []
        self._code = 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Note a tag."""
        self.tags.append(tag)
        self.attributes += attrs
        self._code += tag == "code"
        if tag == "tr":
            self.rows.append(0)
        if tag in {"td", "th"}:
            self.rows[-1] += 1

    def handle_endtag(self, tag):
        """Note where code ends."""
        self._code -= tag == "code"

    def handle_data(self, data):
        """Note text that GitHub looks at for mentions and links."""
        if not self._code:
            self.plain.append(data)

    def handle_comment(self, data):
        """Note a comment."""
        self.comments.append(data.strip())


@given(plans=st.lists(PLANS, min_size=1, max_size=2))
@examples(25)
def test_a_comment_has_its_own_structure_and_no_other(plans):
    comment = lay_out(PlannedEnvironment(plan) for plan in plans).text
    page = Page(RENDER(comment))

    assert len(comment) <= LIMIT
    assert set(page.tags) <= TAGS
    assert page.attributes == []
    assert page.comments == []
    assert page.tags.count("h2") == 1
    assert page.tags.count("h3") <= len(plans)
    assert set(page.rows) <= {3}
    tables = page.tags.count("table")
    assert len(page.rows) <= tables + sum(len(plan.steps) for plan in plans)


@given(plans=st.lists(PLANS, min_size=1, max_size=2))
@examples(25)
def test_a_comment_notifies_nobody_and_links_nowhere(plans):
    comment = lay_out(PlannedEnvironment(plan) for plan in plans).text
    plain = " ".join(Page(RENDER(comment)).plain)

    assert not re.search(r"@[A-Za-z0-9]", plain)
    assert not re.search(r"(?<!&)#[0-9]", plain)
    assert not BARE_LINK.search(CODE.sub("", comment))
    assert all(c.isprintable() or c in "\n\u200b" for c in comment)


@given(plan=PLANS)
@examples(25)
def test_a_terminal_shows_a_plan_without_obeying_it(plan):
    shown = io.StringIO()

    make_console(shown).print(plan_report(plan, None))

    assert all(line.isprintable() for line in shown.getvalue().split("\n"))
    assert len(shown.getvalue()) < 2_000_000
