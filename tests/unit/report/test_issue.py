"""The issue of an environment: how it looks, what it says, and when it is opened, closed, reopened."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.drift_results import (
    BY_HAND,
    ENDED,
    LATER,
    NOT_APPLIED,
    SECRET,
    SEEN,
    failed,
    hostile_results,
    orphan,
    result,
    run,
    token,
)
from helpers.markdown import kinds, outside_code, plain_texts
from helpers.plans import HOSTILE
from roost.github.models import ACTIONS_BOT, Issue
from roost.report.issue import (
    LABEL,
    Seen,
    changes,
    environment_topic,
    gone_topic,
    known_issues,
    read_marker,
    token_topic,
    topics,
)
from roost.report.plan_layout import LIMIT


def topic(*differences, seen=SEEN, orphans=(), **fields):
    found = result(*differences, **fields)
    return environment_topic(found.environment, found, orphans, seen)


def issue_of(topic, number=7, state="open", author=ACTIONS_BOT, **fields):
    """The issue that a topic became."""
    given = {"title": topic.title, "body": topic.body, "labels": (LABEL,), **fields}
    return Issue(number=number, state=state, author=author, **given)


# How it looks

LOOKS = {
    "drift-by-hand": topic(BY_HAND, SECRET, unchecked_secrets=("OTHER_HOOK",)),
    "drift-moved-on": topic(NOT_APPLIED, BY_HAND),
    "drift-heals": topic(BY_HAND, heal=True),
    "drift-waits": topic(BY_HAND, heal=True, protected=True),
    "drift-by-button": topic(BY_HAND, by_button=True, protected=True),
    "drift-ends": topic(
        ENDED, end=True, notes=("The override by ada (demo) ended at 2026-11-25 03:00 UTC.",)
    ),
    "drift-heal-failed": topic(
        BY_HAND, **failed("gate-failed", "The gate failed; the last good release is back.")
    ),
    "drift-error": topic(
        app=None,
        **failed(
            "invalid-files",
            "1 fault in the environment files.",
            faults=[
                {
                    "path": "environments/staging.yaml",
                    "line": 3,
                    "column": 5,
                    "message": "there is no key regoin; did you mean region?",
                }
            ],
        ),
    ),
    "drift-clean": topic(),
    "drift-healed": topic(BY_HAND, state="healed"),
    "drift-orphaned": environment_topic("old", None, [orphan()], SEEN),
    "drift-gone": gone_topic("old", SEEN),
    "drift-token": token_topic(token(5), SEEN),
    "drift-hostile": topic(
        {
            **BY_HAND,
            "field": "env.PREFECT_MOTD",
            "live": "@octocat | `rm` <img src=x> #1 [a](https://evil.example)\n\n## x",
        },
        notes=("@everyone --> look at https://evil.example",),
    ),
}


@pytest.mark.parametrize("name", LOOKS)
def test_how_it_looks(check_golden, name):
    check_golden(f"{name}.md", LOOKS[name].body)


@given(hostile_results())
def test_no_text_breaks_out_of_its_place(found):
    written = environment_topic(found.environment, found, (), SEEN)
    body = written.body.partition("\n")[2]

    assert len(kinds(body, "tr_open")) == len(found.differences) + bool(found.differences)
    assert len(kinds(body, "td_open")) == 4 * len(found.differences)
    assert {token.content for token in kinds(body, "html_inline")} <= {"<code>", "</code>"}
    assert len(kinds(body, "link_open")) == 1  # to the run
    for kind in ("image", "fence", "code_block", "html_block", "em_open"):
        assert kinds(body, kind) == []
    for text in plain_texts(body):
        assert not re.search(r"[@#]\w", text)
    bare = outside_code(body).replace(SEEN.run_url, "")
    assert not re.search(r"(?i)https?:|www\.|mailto:", bare)
    assert "\n" not in written.news


@given(HOSTILE, HOSTILE)
def test_the_marker_is_the_first_line_whatever_it_is_about(name, word):
    found = result(name=name, **failed(word, "m"))
    body = environment_topic(name, found, (), SEEN).body

    assert read_marker(body).about == f"environment/{name}"
    assert body.count("<!--") - body.partition("\n")[2].count("<!--") == 1


def test_it_is_never_too_long():
    many = [{**BY_HAND, "key": f"machine/app-{n}", "live": "\u00e9" * 500} for n in range(5000)]
    notes = tuple("x" * 5000 for _ in range(500))
    faults = [{"path": "p" * 900, "line": 1, "column": 1, "message": "m" * 9000}] * 900

    for fields in ({}, failed("e" * 5000, "m" * 90_000, faults=faults)):
        body = topic(*many, notes=notes, unchecked_secrets=notes[:50], **fields).body
        assert LIMIT * 0.5 < len(body) <= 65_000
        assert re.search(r"\d+ more differences: see the log of the run\.", body)
        assert body.endswith("closes by itself.\n")


def test_without_a_run_it_says_when_only():
    body = topic(BY_HAND, seen=Seen(SEEN.when)).body

    assert "Last checked 2026-11-25 04:37 UTC. It is kept" in body


# What happens to it


def only(found):
    [change] = found
    return change


def test_drift_without_an_issue_opens_one_with_a_fixed_title():
    change = only(changes([topic(BY_HAND)], []))

    assert (change.word, change.number, change.topic.title) == ("opened", 0, "Drift: staging")


def test_what_is_clean_and_had_no_issue_has_none():
    assert changes([topic()], []) == ()


def test_the_same_drift_again_brings_a_new_body_and_no_comment():
    change = only(changes([topic(BY_HAND, seen=LATER)], [issue_of(topic(BY_HAND))]))

    assert (change.word, change.number, change.state, change.comment) == ("updated", 7, "", "")
    assert "runs/1002" in change.topic.body


def test_an_issue_that_an_earlier_version_wrote_gets_no_comment_for_the_same_drift():
    written = issue_of(topic(BY_HAND))
    older = written.model_copy(update={"body": written.body.replace('"digest":', '"told":', 1)})

    assert '"told":' in older.body
    assert only(changes([topic(BY_HAND, seen=LATER)], [older])).comment == ""


@pytest.mark.parametrize(
    "now",
    [
        topic({**BY_HAND, "live": 4096}),
        topic(BY_HAND, SECRET),
        topic(NOT_APPLIED),
        topic(BY_HAND, **failed("gate-failed", "m")),
        topic(BY_HAND, orphans=[orphan("staging", "its file means another app now")]),
    ],
)
def test_what_changed_in_substance_is_a_comment(now):
    change = only(changes([now], [issue_of(topic(BY_HAND))]))

    assert (change.word, change.state) == ("updated", "")
    assert change.comment.startswith("`staging` (app `acme-staging`) differs from its file")
    assert change.comment.endswith("([run](https://github.com/acme/infra/actions/runs/1001))")


def test_order_and_the_words_of_an_error_are_no_substance():
    one = topic(BY_HAND, SECRET, **failed("fly-unavailable", "id 1"))
    other = topic(SECRET, BY_HAND, **failed("fly-unavailable", "id 2"))

    assert only(changes([other], [issue_of(one)])).comment == ""


@pytest.mark.parametrize("now", [topic(), topic(BY_HAND, state="healed")])
def test_what_is_clean_or_healed_is_closed_with_a_comment(now):
    change = only(changes([now], [issue_of(topic(BY_HAND))]))

    assert (change.word, change.state) == ("closed", "closed")
    assert change.comment.count("\n") == 0
    assert re.search(r"matches its file|is healed, and proved", change.comment)


def test_what_is_closed_and_clean_stays_as_it_is():
    assert changes([topic()], [issue_of(topic(), state="closed")]) == ()


def test_drift_that_comes_back_reopens_its_issue():
    change = only(changes([topic(BY_HAND)], [issue_of(topic(BY_HAND), state="closed")]))

    assert (change.word, change.number, change.state) == ("reopened", 7, "open")
    assert change.comment


def test_of_two_issues_the_older_one_stays():
    issues = [issue_of(topic(BY_HAND), number) for number in (9, 7, 12)]
    issues.append(issue_of(topic(BY_HAND), 8, "closed"))

    change = only(changes([topic(BY_HAND)], issues))

    assert (change.number, change.duplicates) == (7, (9, 12))


@pytest.mark.parametrize(
    "issue",
    [
        issue_of(topic(BY_HAND), author="octocat"),
        issue_of(topic(BY_HAND), author="github-actions"),
        issue_of(topic(BY_HAND), labels=("bug",)),
        issue_of(topic(BY_HAND), is_pull=True),
        issue_of(topic(BY_HAND), body=f" {topic(BY_HAND).body}"),
        issue_of(topic(BY_HAND), body="<!-- roost-drift {} -->"),
        issue_of(topic(BY_HAND), body="<!-- roost-drift {not json} -->"),
        issue_of(topic(BY_HAND), body=""),
    ],
)
def test_only_issues_that_the_workflow_opened_count(issue):
    assert known_issues([issue]) == {}
    assert only(changes([topic(BY_HAND)], [issue])).word == "opened"


# What there is to say


def abouts(found):
    return {topic.about: topic.is_open for topic in found}


def test_each_environment_that_was_looked_at_is_spoken_of():
    results = [result(BY_HAND), result(name="production")]

    assert abouts(topics(results, run("staging", "production"), [], SEEN)) == {
        "environment/production": False,
        "environment/staging": True,
        "token": False,
    }


def test_one_that_was_not_looked_at_is_not_spoken_of():
    """Its defaults cannot be read, say: nobody knows how it stands."""
    assert "environment/staging" not in abouts(topics([], run(), ["environment/staging"], SEEN))


def test_one_whose_file_is_gone_is_orphaned_while_its_app_is_there():
    found = topics([], run("staging", orphans=[orphan()]), ["environment/old"], SEEN)

    assert abouts(found)["environment/old"] is True
    assert "`old` is orphaned: its file is gone, but its app still exists." in found[0].body


def test_one_whose_file_and_app_are_gone_is_closed():
    assert abouts(topics([], run(), ["environment/old"], SEEN))["environment/old"] is False


def test_where_apps_could_not_be_listed_nobody_says_that_one_is_gone():
    found = topics([], run(notes=["Orphans were not looked for"]), ["environment/old"], SEEN)

    assert "environment/old" not in abouts(found)


def test_an_app_of_an_environment_that_means_another_one_now_keeps_its_issue_open():
    found = topics([result()], run(orphans=[orphan("staging", "w")]), [], SEEN)

    assert abouts(found)["environment/staging"] is True


@pytest.mark.parametrize("name", ["@octocat", "", "a b", "x" * 64, "../x", "_defaults"])
def test_no_issue_is_opened_for_a_name_that_no_file_can_have(name):
    assert abouts(topics([], run(orphans=[orphan(name)]), [], SEEN)) == {"token": False}


@pytest.mark.parametrize(("days", "is_open"), [(5, True), (100, False)])
def test_a_token_near_its_end_has_an_issue(days, is_open):
    [found] = topics([], run(token=token(days)), [], SEEN)

    assert (found.title, found.is_open) == ("Fly token ends soon", is_open)


@given(st.lists(hostile_results(), max_size=3))
def test_nothing_is_opened_twice(results):
    found = topics(results, run(), [], SEEN)
    opened = [issue_of(change.topic, number) for number, change in enumerate(changes(found, []), 1)]

    assert {change.word for change in changes(found, opened)} <= {"updated"}
