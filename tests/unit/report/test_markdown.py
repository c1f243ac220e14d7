"""The plan as a comment: readable, in a fixed order, safe with any text, and never too long."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from helpers.markdown import kinds, outside_code, plain_texts
from helpers.plans import HOSTILE, UPGRADE, hostile_plans, planned
from roost.plan.document import plan_digest
from roost.plan.steps import Change, Plan, SetSecrets
from roost.report.markdown import code, text
from roost.report.plan_layout import LIMIT, lay_out
from roost.report.plan_section import PlannedEnvironment
from roost.report.wording import spelled

OUR_HTML = {"<br>", "<code>", "</code>"}
QUIET = planned("quiet", {}, {})


def entry(name, before, after):
    return PlannedEnvironment(*planned(name, before, after))


def plan_comment(entries):
    """What the comment says below its first line."""
    return lay_out(entries).text


def test_a_first_deploy_an_upgrade_and_a_refusal(check_golden):
    entries = [
        entry("staging", None, {}),
        entry("production", {}, UPGRADE),
        entry("moved", {}, {"region": "ams"}),
        entry("quiet", {}, {}),
    ]

    check_golden("comment.md", plan_comment(entries))


def test_nothing_to_do(check_golden):
    check_golden("no-changes.md", plan_comment([PlannedEnvironment(*QUIET)]))


def test_the_order_of_environments_does_not_depend_on_the_order_given():
    one, two = entry("a", None, {}), entry("b", {}, UPGRADE)

    assert plan_comment([one, two]) == plan_comment([two, one])


def test_the_comment_carries_each_digest():
    one = entry("production", {}, UPGRADE)
    comment = plan_comment([one])

    assert plan_digest(one.plan) in comment


def test_many_steps_are_folded():
    plan, _ = planned("staging", None, {})
    steps = tuple(replace(plan.steps[0], key=f"app/{n}") for n in range(20))

    comment = plan_comment([PlannedEnvironment(replace(plan, steps=steps))])

    assert "<details><summary>20 steps</summary>" in comment
    assert len(kinds(comment, "tr_open")) == 21


@given(hostile_plans())
def test_no_text_breaks_out_of_its_place(plan):
    comment = plan_comment([PlannedEnvironment(plan)])

    shown = bool(plan.steps or plan.refusals or plan.warnings)
    assert len(kinds(comment, "heading_open")) == 1 + shown
    assert len(kinds(comment, "tr_open")) == len(plan.steps) + bool(plan.steps)
    assert len(kinds(comment, "td_open")) == 3 * len(plan.steps)
    assert len(kinds(comment, "list_item_open")) == len(plan.refusals) + len(plan.warnings)
    assert {token.content for token in kinds(comment, "html_inline")} <= OUR_HTML
    for kind in ("link_open", "image", "fence", "code_block", "hr", "em_open"):
        assert kinds(comment, kind) == []


@given(hostile_plans())
def test_no_text_mentions_links_or_refers(plan):
    comment = plan_comment([PlannedEnvironment(plan)])

    for found in plain_texts(comment):
        assert not re.search(r"[@#]\w", found)
    assert not re.search(r"(?i)https?:|www\.|mailto:", outside_code(comment))


@given(HOSTILE)
def test_code_shows_the_value_as_it_is(value):
    rendered = MarkdownIt("commonmark").enable("table").render(f"|a|\n|-|\n| {code(value)} |\n")

    body = re.search(r"<td><code>(.*)</code></td>", rendered)
    assert body
    decoded = body[1].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    assert decoded.replace("&amp;", "&") == spelled(value)


def test_commands_in_our_advice_stay_code():
    assert text("Look: `fly volumes list`. Then plan again.") == (
        "Look: `fly volumes list`. Then plan again."
    )


def test_a_value_over_several_lines_stays_in_its_row():
    plan, _ = planned("production", {}, UPGRADE)
    [step] = plan.steps
    change = Change("env.PREFECT_MOTD", None, "one\n\n| two | three |\n")
    comment = plan_comment(
        [PlannedEnvironment(replace(plan, steps=(replace(step, changes=(change,)),)))]
    )

    assert len(kinds(comment, "tr_open")) == 2


@pytest.mark.parametrize("count", [30, 300, 1000])
def test_a_comment_is_never_too_long(count):
    """First lines of each step go, then whole environments: they are listed with their digest."""
    plan, cost = planned("staging", {}, UPGRADE)
    entries = [
        PlannedEnvironment(replace(plan, environment=f"environment-{n:04}"), cost)
        for n in range(count)
    ]

    comment = plan_comment(entries)

    assert LIMIT * 0.5 < len(comment) <= LIMIT or count == 30
    assert plan_digest(entries[0].plan) in comment
    assert ("### Not approved by a merge" in comment) == (count >= 300)
    assert ("more: see the summary of the run." in comment) == (count >= 300)


def test_one_plan_that_is_too_long_keeps_its_digest():
    names = tuple(f"NAME_{n:04}_{'X' * 200}" for n in range(400))
    step = SetSecrets(key="secrets/set", summary=f"set the secrets {', '.join(names)}", names=names)
    plan = Plan("staging", "acme", (step,), (), (), {})

    comment = plan_comment([PlannedEnvironment(plan)])

    assert len(comment) <= LIMIT
    assert f"| `staging` | 1 step, risk none | `{plan_digest(plan)}` |" in comment
    assert "merging does not approve them" in comment


@given(st.lists(hostile_plans(), max_size=4))
def test_the_comment_is_the_same_for_the_same_plans(plans):
    entries = [PlannedEnvironment(plan) for plan in plans]

    assert plan_comment(entries) == plan_comment(list(entries))


def plan_with_sources(**sources):
    plan, cost = QUIET
    return PlannedEnvironment(replace(plan, unchecked=tuple(sources), sources=sources), cost)


def test_the_source_of_each_secret_stands_beside_its_name_though_nothing_changes():
    """A merge approves that the value is set from there, whatever it is then."""
    comment = plan_comment(
        [plan_with_sources(A="env A", B="env OTHER", C="sops production.sops.yaml")]
    )

    assert (
        "`A` from the variable of the same name, `B` from `env OTHER`, "
        "`C` from `sops production.sops.yaml`. An apply with the values sets those that changed."
    ) in comment
    assert "### `quiet` (app `acme-prefect`): no changes" in comment


@given(HOSTILE)
def test_a_source_is_never_more_than_its_words(source):
    comment = plan_comment([plan_with_sources(HOOK=source)])

    assert len(kinds(comment, "heading_open")) == 2
    assert {token.content for token in kinds(comment, "html_inline")} <= OUR_HTML
    for kind in ("link_open", "image", "fence", "code_block", "hr", "em_open", "list_item_open"):
        assert kinds(comment, kind) == []
