"""Messages: what is told of which fact, that nobody is called by a name in it, and that it has room."""

from __future__ import annotations

import json

import pytest

from helpers.drift_results import BY_HAND, LATER, SEEN, orphan, result
from helpers.drift_results import run as run_result
from roost.errors import BadDocumentError, GateFailedError, UsageError
from roost.errors.command import Command
from roost.github.models import ACTIONS_BOT, Issue
from roost.report.drift import BudgetFound, TokenFound
from roost.report.issue import LABEL, changes, known_issues, topics
from roost.report.notice import (
    Notice,
    apply_notice,
    deploy_notices,
    drift_notices,
    handed_on,
    message_of,
    plain_text,
    read_notices,
)
from roost.report.outcome import DeployOutcome, Result
from roost.report.standing_issues import standing_topics

RUN = "https://github.com/acme/infra/actions/runs/1001"
STOPPED = {"key": "machine/app-1", "what": "start the machine app-1", "cause": "not running"}
OVER = BudgetFound(
    environment="staging", month="2026-11", monthly_usd=5, so_far=4.1, month_end=6.02
)


def notice(title="staging: the deploy failed", **fields):
    return Notice(**{"fact": "failed", "environment": "staging", "title": title, **fields})


def outcome(result, word="", message="It did not work. Look at the log.", name="staging"):
    return DeployOutcome(environment=name, outcome=result, word=word, message=message)


def issues_after(*topics_of):
    """Return the issues as a run leaves them that opened one for each open topic."""
    return [
        Issue(
            number=number,
            title=topic.title,
            body=topic.body,
            state="open" if topic.is_open else "closed",
            labels=(LABEL,),
            author=ACTIONS_BOT,
        )
        for number, topic in enumerate(topics_of, 1)
    ]


def told(results, run, issues=(), seen=SEEN):
    """Return what a run tells, and the issues that it leaves."""
    known = known_issues(issues)
    every = (*topics(results, run, known, seen), *standing_topics(results, run, known, seen))
    todo = changes(every, issues)
    kept = {topic.about: topic for topic in every if topic.is_open or topic.about in known}
    return drift_notices(todo, results, RUN), issues_after(*kept.values())


@pytest.mark.parametrize(
    ("result", "word", "fact", "title"),
    [
        (Result.FAILED, "", "failed", "staging: the deploy failed"),
        (Result.ROLLED_BACK, "", "failed", "staging: the deploy failed and was rolled back"),
        (
            Result.NOT_ROLLED_BACK,
            "",
            "failed",
            "staging: the deploy failed and was not rolled back",
        ),
        (Result.MISSING, "", "failed", "staging: the deploy did not run"),
        (Result.REFUSED, "invalid-files", "failed", "staging: the deploy was refused"),
        (Result.REFUSED, "plan-changed", "approval", "staging: a person has to approve the plan"),
        (Result.REFUSED, "not-planned", "approval", "staging: a person has to approve the plan"),
    ],
)
def test_a_deploy_that_needs_somebody_is_told_with_its_message_and_run(result, word, fact, title):
    [found] = deploy_notices([outcome(result, word)], RUN)

    assert (found.fact, found.title, found.link) == (fact, title, RUN)
    assert found.text == "It did not work. Look at the log."


@pytest.mark.parametrize("result", [Result.DEPLOYED, Result.UNCHANGED, Result.SUPERSEDED])
def test_a_deploy_that_needs_nobody_is_not_told(result):
    assert deploy_notices([outcome(result)], RUN) == ()


def test_an_apply_by_hand_is_told_only_where_it_changed_a_server():
    failed = GateFailedError("It does not answer.", where="staging")

    assert apply_notice("staging", failed).title == "staging: the deploy failed and was rolled back"
    assert apply_notice("staging", UsageError("No such option.")) is None


def test_nobody_is_called_and_no_link_hides_its_address():
    hostile = "@everyone <@U1> <!channel> [safe](http://evil.example)\x1b[31m\nsecond line"

    written = plain_text(hostile)

    assert "@everyone" not in written
    assert "<@U1>" not in written
    assert "](" not in written
    assert "\n" not in written
    assert written.isprintable() or "\u200b" in written
    assert "\x1b" not in written


def test_a_command_in_a_message_is_written_as_it_is_typed():
    message = message_of([notice(text=f"Apply it: {Command('apply', 'staging')}")])

    assert "./run roost apply staging" in message.body


def test_one_fact_is_one_message_with_what_happened_and_a_link():
    message = message_of([notice(text="It failed. Look at it.", link=RUN)])

    assert message.title == "[Roost] staging: the deploy failed"
    assert message.body == f"It failed. Look at it.\n{RUN}"


def test_several_facts_are_one_message_that_a_chat_takes():
    many = [notice(f"e{n}: the deploy failed", text="long " * 500, link=RUN) for n in range(40)]

    message = message_of(many)

    assert message.title == "[Roost] 40 facts need somebody"
    assert len(message.title) + len(message.body) < 2000  # Discord's limit
    assert message.body.endswith("38 more: see the run.")


def test_what_another_job_wrote_is_read_and_anything_else_is_refused():
    written = json.dumps([notice(text="x" * 5000).short_document()])
    [read] = read_notices(written, "NOTICES")

    assert len(read.text) == 600
    for bad in ("{", "[1]", '[{"fact": "party", "title": "x"}]', '[{"fact": "drift"}]'):
        with pytest.raises(BadDocumentError):
            read_notices(bad, "NOTICES")


@pytest.mark.parametrize(
    ("count", "left"), [(1, 0), (51, 0), (300, 0), (2000, True)], ids=["one", "51", "300", "2000"]
)
def test_every_fact_is_handed_on_as_long_as_it_has_room(count, left):
    many = [notice(f"e{n}: the deploy failed", text="x" * 900, link=RUN) for n in range(count)]

    text, lacking = handed_on(many)
    read = read_notices(text, "NOTICES")

    assert len(text.encode()) <= 100_002
    assert bool(lacking) == bool(left)
    assert [one.title for one in read] == [one.title for one in many[: count - lacking]]
    assert all(one.text for one in read)


def test_drift_is_told_when_it_is_found_and_not_again():
    first, issues = told([result(BY_HAND)], run_result())
    again, issues = told([result(BY_HAND)], run_result(), issues, LATER)
    gone, issues = told([result()], run_result(), issues, LATER)
    back, _ = told([result(BY_HAND)], run_result(), issues, LATER)

    [found] = first
    assert (found.fact, found.environment, found.title) == ("drift", "staging", "Drift: staging")
    assert found.text.startswith("staging (app acme-staging) differs from its file: 1 difference.")
    assert "./run roost drift staging --heal" in found.text
    assert found.link == RUN
    assert (again, gone) == ((), ())
    assert len(back) == 1


def test_other_drift_of_an_environment_is_told_as_new():
    _, issues = told([result(BY_HAND)], run_result())
    more, _ = told([result(BY_HAND, {**BY_HAND, "live": 4096})], run_result(), issues, LATER)

    assert [found.environment for found in more] == ["staging"]


def test_a_server_that_is_down_is_told_once_and_not_as_drift_too():
    down = result(STOPPED, down="no machine runs, and one ended unasked: code 137.")
    first, issues = told([down], run_result())
    again, issues = told([down], run_result(), issues, LATER)
    _, issues = told([result()], run_result(), issues, LATER)
    later, _ = told([down], run_result(), issues, LATER)

    [found] = first
    assert (found.fact, found.title) == ("down", "Down: staging")
    assert "no machine runs" in found.text
    assert "./run roost status staging" in found.text
    assert again == ()
    assert [one.fact for one in later] == ["down"]


def test_a_server_that_is_down_and_differs_by_more_is_told_as_both():
    down = result(STOPPED, BY_HAND, down="no machine runs.")

    found, _ = told([down], run_result())

    assert {one.fact for one in found} == {"down", "drift"}


def test_a_server_that_this_run_starts_again_is_reported_when_it_has():
    """What is healed at once opens no issue, and an issue that is open is not closed before."""
    down = result(STOPPED, down="no machine runs.", heal=True)
    _, issues = told([down], run_result())

    before = standing_topics([down], run_result(), {}, SEEN, later=["staging"])
    known = known_issues(issues)
    open_already = standing_topics([down], run_result(), known, LATER, later=["staging"])

    assert (before, open_already) == ((), ())


def test_nothing_is_said_of_a_server_that_could_not_be_read():
    down = result(STOPPED, down="no machine runs.")
    _, issues = told([down], run_result())
    error = {"word": "fly", "message": "Fly did not answer."}
    unread = result(name="staging").model_copy(update={"state": "error", "error": error})

    known = known_issues(issues)
    kept = standing_topics([unread], run_result(), known, LATER)

    assert kept == ()


def test_a_month_over_its_budget_is_told_once_and_in_the_next_month_again():
    first, issues = told([result()], run_result(budgets=[OVER]))
    more = OVER.model_copy(update={"so_far": 4.5, "month_end": 6.5})
    again, issues = told([result()], run_result(budgets=[more]), issues, LATER)
    december = OVER.model_copy(update={"month": "2026-12"})
    later, _ = told([result()], run_result(budgets=[december]), issues, LATER)

    [found] = first
    assert (found.fact, found.environment) == ("budget", "staging")
    assert "runs over its budget of $5.00 a month: $4.10 so far in 2026-11" in found.text
    assert again == ()
    assert [one.fact for one in later] == ["budget"]


def test_a_forecast_near_the_budget_is_told_once_a_month():
    """It passes the budget again and again, and the issue opens and closes with it."""

    def tell(issues, *forecasts, month="2026-11"):
        facts, states = [], []
        for forecast in forecasts:
            found = OVER.model_copy(update={"month": month, "month_end": forecast})
            said, issues = told([result()], run_result(budgets=[found]), issues, LATER)
            facts += [one.fact for one in said]
            states += [issue.state for issue in issues]
        return facts, states, issues

    november, states, issues = tell((), 5.01, 4.99, 5.02, 4.97, 5.03)
    december, _, _ = tell(issues, 4.9, 5.1, 4.9, 5.1, month="2026-12")

    assert november == ["budget"]
    assert states == ["open", "closed", "open", "closed", "open"]
    assert december == ["budget"]


def test_an_issue_closes_where_the_month_the_budget_or_the_file_is_gone():
    _, issues = told([result()], run_result(budgets=[OVER]))
    within = OVER.model_copy(update={"so_far": 1.0, "month_end": 2.0})

    for run in (run_result(budgets=[within]), run_result(), run_result("other")):
        known = known_issues(issues)
        [change] = changes(standing_topics([result()], run, known, LATER), issues)
        assert (change.state, change.is_news) == ("closed", False)


def test_a_token_that_ends_soon_and_an_app_without_a_file_are_told():
    token = TokenFound(ends=SEEN.when, soon=True)
    run = run_result(token=token, orphans=[orphan()])

    found, issues = told([], run)
    again, _ = told([], run, issues, LATER)

    assert [(one.fact, one.environment) for one in found] == [("drift", "old"), ("token", "")]
    assert "fly tokens create readonly" in found[1].text
    assert again == ()
