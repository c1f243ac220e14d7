"""The comment of a pull request: found again, read again, brought to its end, and never too long."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.plans import HOSTILE, UPGRADE, planned
from roost.errors import (
    BadDocumentError,
    ChangedMeanwhileError,
    GateFailedError,
    RoostError,
    SupersededError,
    UnapprovedError,
)
from roost.plan.approval import Approved, approve
from roost.plan.document import plan_document
from roost.plan.document_reader import read_plan
from roost.report.comment import (
    Marker,
    is_ours,
    planned_comment,
    read_marker,
    with_outcomes,
)
from roost.report.outcome import DeployOutcome, Result, missing, read_outcome, result_of
from roost.report.plan_section import PlannedEnvironment
from roost.report.rehearsal import Memory, Rehearsal, Wake, rehearsal_lines

SALT = "https://github.com/acme/infra/pull/7"
RUN = "https://github.com/acme/infra/actions/runs/1"


def entry(name, before, after, **more):
    """What the comment tells of an environment, from its plan as another job wrote it."""
    document = json.loads(json.dumps(plan_document(*planned(name, before, after))))
    plan, cost, digest = read_plan(document, "plans/x.json")
    return PlannedEnvironment(plan, cost, digest, **more), approve(document, SALT)


def comment_of(*entries, notes=()):
    """The comment of these, and what it remembers."""
    approved = {e.plan.environment: a for e, a in entries}
    marker = Marker("a" * 40, approved)
    return planned_comment(marker, [e for e, _ in entries], notes, RUN), marker


def outcome(name, result, **more):
    return DeployOutcome(environment=name, app=f"acme-{name}", outcome=result, run_url=RUN, **more)


STAGING = entry("staging", None, {}, rehearsal="Rehearsed: **passed**.")
PRODUCTION = entry("production", {}, UPGRADE)
DEPLOYED = outcome("staging", Result.DEPLOYED, seconds=31.4, url="https://acme-staging.fly.dev")
ROLLED_BACK = outcome(
    "production",
    Result.ROLLED_BACK,
    word="gate-failed",
    message="The server did not answer; release 3 is back. See its log: `fly logs -a acme-production`.",
)


def test_a_planned_comment_as_people_see_it(check_golden):
    body, _ = comment_of(STAGING, PRODUCTION, notes=["The drift workflow last ran 3 days ago."])

    check_golden("pull-request.md", body)


def test_a_comment_at_its_end_as_people_see_it(check_golden):
    body, _ = comment_of(STAGING, PRODUCTION)

    check_golden("pull-request-deployed.md", with_outcomes(body, [DEPLOYED, ROLLED_BACK]))


def test_a_job_that_told_nothing_is_told_itself(check_golden):
    body, _ = comment_of(STAGING, PRODUCTION)
    ended = with_outcomes(body, [DEPLOYED, missing("production", RUN)])

    check_golden("pull-request-cut-short.md", ended)


def test_that_a_job_told_nothing_hides_nothing_that_an_earlier_one_told():
    body, _ = comment_of(STAGING, PRODUCTION)
    ended = with_outcomes(body, [DEPLOYED, ROLLED_BACK])

    assert with_outcomes(ended, [missing("production", RUN), missing("staging", RUN)]) == ended


def test_what_was_missing_is_deployed_in_the_end():
    body, _ = comment_of(STAGING)

    ended = with_outcomes(with_outcomes(body, [missing("staging", RUN)]), [DEPLOYED])

    assert "\n## Deployed\n" in ended
    assert "did not get so far" not in ended


MORE_MEMORY = {"machine": {"memory_mb": 1024}}
REHEARSAL = Rehearsal(
    environment="production",
    outcome="passed",
    base="created",
    apply_seconds=8.4,
    silence_seconds=2.1,
    wake=Wake(suspended_seconds=0.04, stopped_seconds=2.43),
    memory_mb=Memory(idle=187, peak=201, limit=1024),
    prefect="3.9.1",
)


def test_the_readme_shows_a_comment_as_it_looks(check_golden):
    body, _ = comment_of(entry("production", {}, MORE_MEMORY, rehearsal=rehearsal_lines(REHEARSAL)))
    deployed = outcome(
        "production", Result.DEPLOYED, seconds=31.4, url="https://acme-prefect.fly.dev"
    )
    shown = with_outcomes(body, [deployed])

    check_golden("readme.md", shown)  # tests/unit/docs/test_quotes.py compares the README with it


def test_an_environment_that_could_not_be_planned_is_told_with_why(check_golden):
    plan, _ = planned("staging", {}, {})
    failed = PlannedEnvironment(plan, failure="FLY_API_TOKEN is not set. Make one.")

    check_golden("pull-request-unplanned.md", planned_comment(Marker("b" * 40), [failed]))


def test_what_the_comment_remembers_is_read_from_its_first_line():
    body, marker = comment_of(STAGING, PRODUCTION)

    assert is_ours(body)
    assert read_marker(body) == marker
    assert read_marker(body.replace("\n", "\r\n")) == marker


def test_outcomes_come_one_after_the_other_and_the_newer_word_counts():
    body, marker = comment_of(STAGING, PRODUCTION)

    once = with_outcomes(with_outcomes(body, [DEPLOYED]), [ROLLED_BACK])
    again = with_outcomes(once, [outcome("production", Result.DEPLOYED, seconds=9)])

    found = read_marker(again)
    assert found.approved == marker.approved
    assert {n: o.outcome for n, o in found.outcomes.items()} == {
        "staging": Result.DEPLOYED,
        "production": Result.DEPLOYED,
    }
    assert again.count("<!-- roost-outcome -->") == 1
    assert "\n## Deployed\n" in again
    assert "\n## Roost plan\n" in again
    assert with_outcomes(again, []) == again


@given(st.text(max_size=200) | HOSTILE)
def test_junk_is_no_marker_and_breaks_nothing(text):
    assert read_marker(text) is None
    assert read_marker(f"<!-- roost-plan {text} -->") is None
    with_outcomes(text, [DEPLOYED])


@given(HOSTILE, HOSTILE)
def test_nothing_that_is_remembered_ends_the_hidden_line(name, message):
    marker = Marker("h", {name: Approved("d", frozenset(), frozenset({message}))})
    line = marker.line()

    assert "\n" not in line
    assert line.count("-->") == 1
    assert "<" not in line[4:]
    assert read_marker(line) == marker


@given(HOSTILE)
def test_a_message_stays_in_its_row(message):
    body = with_outcomes("", [outcome("staging", Result.FAILED, message=message)])

    rows = [line for line in body.splitlines() if line.startswith("| `staging`")]
    assert len(rows) == 1
    assert rows[0].replace(f"[Run]({RUN})", "").count("|") == 4


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (SupersededError("x"), Result.SUPERSEDED),
        (UnapprovedError("x"), Result.REFUSED),
        (ChangedMeanwhileError("x"), Result.REFUSED),
        (GateFailedError("x"), Result.ROLLED_BACK),
        (RoostError("x"), Result.FAILED),
    ],
)
def test_an_error_is_an_outcome_in_a_word(error, result):
    assert result_of(error) is result


@pytest.mark.parametrize("junk", [None, [], {}, {"environment": "../x", "outcome": "deployed"}])
def test_a_document_that_is_no_outcome_is_told(junk):
    with pytest.raises(BadDocumentError, match="not the outcome of a deploy"):
        read_outcome(junk, "results/x.json")


@pytest.mark.parametrize(
    "change", [{"steps": 1}, {"digest": "x"}, {"cost": {"now": 1}}, {"format": 1}]
)
def test_a_document_that_is_no_plan_is_told(change):
    document = {**plan_document(*planned("staging", None, {})), **change}

    with pytest.raises(BadDocumentError, match=f"not a plan document: {min(change)}"):
        read_plan(document, "plans/x.json")
