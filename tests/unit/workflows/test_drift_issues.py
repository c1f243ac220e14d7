"""github drift-issues: one issue for each environment for ever, whatever happens meanwhile."""

from __future__ import annotations

import json
import threading

import anyio
import pytest
import stamina

from helpers.drift_results import BY_HAND, SECRET, SEEN, failed, result
from helpers.drift_results import run as run_result
from helpers.fake_github import ACTIONS_BOT, FakeGitHub
from helpers.waiting import LIMIT_S
from roost.github.api import GitHub
from roost.report.issue import LABEL, changes, known_issues, topics
from roost.secret_text import SecretText
from roost.workflows.issue_changes import bring

WRITE = {"issues": "write", "contents": "read"}


@pytest.fixture
def github():
    """A GitHub whose answers may be lost; repeats happen at once."""
    with stamina.set_testing(True, attempts=3, cap=True), FakeGitHub() as found:
        yield found


@pytest.fixture
def told(roost, github, tmp_path, monkeypatch):
    """Write results and run the verb on them."""
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "acme/infra",
        "GITHUB_RUN_ID": "1001",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_TOKEN": github.token_for(WRITE),
    }.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "found"

    def run(*documents, names=("staging",), healed=None, options=(), expect=0, **summary):
        for path in folder.glob("*.json"):
            path.unlink()
        write(folder, "_summary", {"environments": list(names), **summary})
        for document in documents:
            write(folder, document["environment"], document)
        if healed is not None:
            options = ["--healed", tmp_path / "healed"]
            for document in healed:
                # Each job's file comes in a folder of its own.
                name = document["environment"]
                write(tmp_path / "healed" / f"healed-{name}", name, document)
        said = roost("github", "drift-issues", "--results", folder, *options)
        assert said.code == expect, said.err
        return said

    return run


def write(folder, name, document):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(document))


def found(*differences, name="staging", **fields):
    """Return what `github drift` writes of an environment."""
    state = "drift" if differences else "clean"
    document = {"format": 1, "environment": name, "app": f"acme-{name}", "state": state}
    return {**document, "differences": list(differences), **fields}


def states(github):
    return [(i.number, i.title, i.state, i.state_reason) for i in github.issues(LABEL)]


def comments(github, number=1):
    return [comment.body for comment in github.comments(number)]


def test_drift_opens_an_issue_with_its_label(told, github):
    said = told(found(BY_HAND))

    [issue] = github.issues(LABEL)
    assert (issue.title, issue.state, issue.author) == ("Drift: staging", "open", ACTIONS_BOT)
    assert "`guest.memory_mb` | `2048` | `512` | changed by hand |" in issue.body
    assert "[this run](https://github.com/acme/infra/actions/runs/1001)" in issue.body
    assert said.out.startswith("Drift: staging: opened #1 ")
    assert github.state.labels[LABEL]["color"] == "d93f0b"


def test_the_same_again_is_the_same_issue_without_a_word(told, github):
    told(found(BY_HAND))
    said = told(found(BY_HAND))

    assert states(github) == [(1, "Drift: staging", "open", None)]
    assert comments(github) == []
    assert said.out.startswith("Drift: staging: updated #1 ")


def test_what_changed_is_told_once(told, github):
    told(found(BY_HAND))
    for _ in range(2):
        told(found(BY_HAND, SECRET))

    assert len(comments(github)) == 1
    assert "2 differences. ([run]" in comments(github)[0]


def test_it_is_closed_when_clean_and_reopened_when_drift_comes_back(told, github):
    told(found(BY_HAND))
    for _ in range(2):
        told(found())
    closed = states(github)
    told(found(BY_HAND))

    assert closed == [(1, "Drift: staging", "closed", "completed")]
    assert states(github) == [(1, "Drift: staging", "open", "reopened")]
    assert [body.partition(") ")[2].partition(" (")[0] for body in comments(github)] == [
        "matches its file.",
        "differs from its file: 1 difference.",
    ]


def test_what_is_clean_from_the_start_writes_nothing(told, github):
    said = told(found())

    assert github.changes() == []
    assert said.out == "There is no issue to open, to change or to close.\n"


# What came of putting it back


def test_what_was_healed_is_closed(told, github):
    told(found(BY_HAND))
    told(found(BY_HAND, heal=True), healed=[found(BY_HAND, state="healed")])

    assert states(github) == [(1, "Drift: staging", "closed", "completed")]
    assert comments(github)[0].startswith("`staging` (app `acme-staging`) is healed, and proved.")


def test_drift_that_is_healed_at_once_opens_none(told, github):
    told(found(BY_HAND, heal=True), healed=[found(BY_HAND, state="healed")])

    assert github.issues() == []


def test_healing_that_failed_is_told_with_what_differs_and_ends_with_1(told, github):
    failure = found(app=None, **failed("gate-failed", "The gate failed."))
    told(found(BY_HAND, heal=True), healed=[failure], expect=1)

    [issue] = github.issues(LABEL)
    assert "healing it failed with `gate-failed`: 1 difference." in issue.body
    assert "`guest.memory_mb` | `2048`" in issue.body


def test_healing_that_left_no_result_is_an_error(told, github):
    told(found(BY_HAND, end=True), healed=[], expect=1)

    assert "healing it failed with `not-put-back`" in github.issues(LABEL)[0].body


# Before it is put back, and long after


NOW = ("--before-healing",)


def test_what_is_put_back_at_once_is_not_told_before(told, github):
    others = found(BY_HAND, name="demo")
    told(found(BY_HAND, heal=True), others, names=("demo", "staging"), options=NOW)

    assert [title for _, title, *_ in states(github)] == ["Drift: demo"]


@pytest.mark.parametrize("job", ["heal", "end"])
def test_where_a_protected_one_may_wait_for_its_reviewer_everything_is_told_at_once(
    told, github, job
):
    waits = found(BY_HAND, name="production", protected=True, **{job: True})
    told(found(BY_HAND, heal=True), waits, names=("production", "staging"), options=NOW)

    waiting, healing = (issue.body for issue in github.issues(LABEL))
    assert "- If the run below waits for a reviewer, approve it: it undoes " in waiting
    assert "- Nothing: the schedule undoes the changes by hand" in healing


def test_a_protected_one_that_nothing_puts_back_keeps_nothing_from_being_healed_quietly(
    told, github
):
    production = found(BY_HAND, name="production", protected=True)
    told(found(BY_HAND, heal=True), production, names=("production", "staging"), options=NOW)

    assert [title for _, title, *_ in states(github)] == ["Drift: production"]


def test_what_the_schedule_leaves_to_the_button_is_told_with_how_to_heal_it(told, github):
    production = found(BY_HAND, name="production", protected=True, by_button=True)
    told(production, names=("production",), options=NOW)

    [issue] = github.issues(LABEL)
    assert "the schedule leaves it to a person" in issue.body
    assert "./run roost drift production --heal" in issue.body


def test_an_orphan_beside_one_that_is_put_back_is_told_with_it(told, github):
    """Told alone it would look as if the file were gone."""
    orphan = {"app": "acme-old", "organization": "acme", "environment": "staging", "why": "renamed"}
    told(found(BY_HAND, heal=True), orphans=[orphan], options=NOW)

    [issue] = github.issues(LABEL)
    assert "its file is gone" not in issue.body


def test_a_run_that_waited_for_its_reviewer_leaves_what_a_newer_one_wrote(
    told, github, monkeypatch
):
    told(found(BY_HAND, heal=True))
    monkeypatch.setenv("GITHUB_RUN_ID", "1002")
    told(found(BY_HAND, SECRET))
    newer = github.issues(LABEL)[0].body
    monkeypatch.setenv("GITHUB_RUN_ID", "1001")
    told(found(BY_HAND, heal=True), healed=[found(BY_HAND, state="healed")])

    assert states(github) == [(1, "Drift: staging", "open", None)]
    assert github.issues(LABEL)[0].body == newer

    monkeypatch.setenv("GITHUB_RUN_ID", "1003")
    told(found())

    assert states(github) == [(1, "Drift: staging", "closed", "completed")]


# Errors, orphans, token


def test_an_error_opens_an_issue_too_and_ends_with_1(told, github):
    document = found(app=None, **failed("fly-forbidden", "Fly answered 403."))
    told(document, expect=1)

    assert "cannot be compared: `fly-forbidden`." in github.issues(LABEL)[0].body


@pytest.mark.parametrize("content", ["", "[]", "nul", '{"environment": "production"}'])
def test_a_result_that_cannot_be_read_is_an_error_of_that_environment(
    roost, told, github, tmp_path, content
):
    told(found(BY_HAND, name="demo"), names=("demo", "staging"))
    (tmp_path / "found" / "staging.json").write_text(content)

    said = roost("github", "drift-issues", "--results", tmp_path / "found")

    assert said.code == 1
    assert [title for _, title, *_ in states(github)] == ["Drift: demo", "Drift: staging"]


@pytest.mark.usefixtures("told")
def test_without_results_nobody_has_looked(roost, github, tmp_path):
    said = roost("github", "drift-issues", "--results", tmp_path / "nowhere")

    assert said.code == 3
    assert "There are no results of a comparison of all environments in " in said.err
    assert github.calls == []


def test_one_whose_file_is_gone_is_orphaned_and_then_closed(told, github):
    told(found(BY_HAND))
    orphan = {"app": "acme-staging", "organization": "acme", "environment": "staging"}
    told(names=(), orphans=[{**orphan, "why": "its file is gone"}])
    orphaned = github.issues(LABEL)[0].body
    told(names=())

    assert "`staging` is orphaned: its file is gone, but its app still exists." in orphaned
    assert states(github) == [(1, "Drift: staging", "closed", "completed")]


def test_one_that_was_not_looked_at_is_left_as_it_is(told, github):
    told(found(BY_HAND))
    told()

    assert states(github) == [(1, "Drift: staging", "open", None)]
    assert comments(github) == []


def test_a_token_near_its_end_has_an_issue_until_there_is_another_one(told, github):
    told(token={"ends": "2026-12-01T04:37:00Z", "soon": True})
    opened = states(github)
    told(token={"ends": "2027-12-01T04:37:00Z", "soon": False})

    assert opened == [(1, "Fly token ends soon", "open", None)]
    assert states(github) == [(1, "Fly token ends soon", "closed", "completed")]


# Flow servers, which have an issue of their own


NIGHTLY = "staging.nightly"


def test_a_flow_server_has_an_issue_that_opens_is_updated_and_closes(told, github):
    told(found(), found(BY_HAND, name=NIGHTLY))
    told(found(), found(BY_HAND, SECRET, name=NIGHTLY))
    opened = states(github)
    body = github.issues(LABEL)[0].body
    told(found(), found(name=NIGHTLY))

    assert opened == [(1, "Drift: staging.nightly", "open", None)]
    assert "`staging.nightly` (app `acme-staging.nightly`) differs from its file: 2" in body
    assert states(github) == [(1, "Drift: staging.nightly", "closed", "completed")]
    assert len(comments(github)) == 2


def test_while_the_file_has_a_fault_the_issue_of_its_flow_server_stays_open(told, github):
    """Nobody looked at the flow server, whose app exists and may still differ."""
    told(found(), found(BY_HAND, name=NIGHTLY))
    told(found(app=None, **failed("invalid-files", "1 fault.")), expect=1)

    assert (1, "Drift: staging.nightly", "open", None) in states(github)
    assert comments(github) == []


def test_a_flow_server_that_its_file_no_longer_names_is_orphaned_and_then_closed(told, github):
    told(found(), found(BY_HAND, name=NIGHTLY))
    orphan = {"app": "acme-prefect-nightly", "organization": "acme", "environment": NIGHTLY}
    told(found(), orphans=[{**orphan, "why": "its file no longer names it"}])
    orphaned = github.issues(LABEL)[0].body
    told(found())

    assert "`staging.nightly` is orphaned: its file no longer names it, but its app" in orphaned
    assert "fly apps destroy acme-prefect-nightly" in orphaned
    assert states(github) == [(1, "Drift: staging.nightly", "closed", "completed")]
    assert "is gone: it is in no file and has no app." in comments(github)[-1]


def test_a_flow_server_that_was_healed_is_closed_and_its_server_stays_with_the_button(told, github):
    """The job of an environment looks at all of it, and reports of the rest without who heals it."""
    told(
        found(BY_HAND, protected=True, by_button=True),
        found(BY_HAND, name=NIGHTLY, heal=True),
        healed=[found(BY_HAND), found(BY_HAND, name=NIGHTLY, state="healed")],
    )

    [issue] = github.issues(LABEL)
    assert issue.title == "Drift: staging"
    assert "the schedule leaves it to a person" in issue.body


def test_a_flow_server_that_its_job_did_not_reach_is_an_error_of_its_own(told, github):
    failure = found(app=None, **failed("gate-failed", "The gate failed."))
    told(
        found(BY_HAND, heal=True),
        found(BY_HAND, name=NIGHTLY, heal=True),
        healed=[failure],
        expect=1,
    )

    server, nightly = github.issues(LABEL)
    assert "healing it failed with `gate-failed`" in server.body
    assert "healing it failed with `not-put-back`" in nightly.body


# Trouble, and others


def test_an_issue_that_somebody_else_opened_is_not_ours(told, github):
    told(found(BY_HAND))
    body = github.issues(LABEL)[0].body
    github.close(1)
    github.state.issues[1].body = "empty now"
    github.add_issue("Drift: staging", body, (LABEL,), author="mallory")

    told(found(BY_HAND))

    assert [(i.author, i.state) for i in github.issues(LABEL)] == [
        (ACTIONS_BOT, "closed"),
        ("mallory", "open"),
        (ACTIONS_BOT, "open"),
    ]


@pytest.mark.parametrize("only", ["POST .*/issues$", "POST .*/labels$", "PATCH .*/issues/"])
def test_a_lost_answer_makes_no_second_issue(told, github, only):
    github.lose(only=only)
    told(found(BY_HAND))
    github.lose(only=only)
    told(found(BY_HAND))

    assert states(github) == [(1, "Drift: staging", "open", None)]


def test_a_create_that_did_nothing_is_an_error_and_the_next_run_makes_one(told, github):
    github.fail(502, 9, only="POST .*/issues$")
    said = told(found(BY_HAND), expect=1)
    github._door.trouble.faults.clear()
    told(found(BY_HAND))

    assert "[github-unavailable]" in said.err
    assert states(github) == [(1, "Drift: staging", "open", None)]


def test_of_two_runs_at_once_one_issue_stays(told, github):
    """Another run opens one between our look and our own."""
    told(found(BY_HAND, name="other"), names=("other", "staging"))
    body = github.issues(LABEL)[0].body.replace("other", "staging")
    door = github._door
    answer = door.answer

    def race(verb, target, headers, content):
        if verb == "POST" and target.endswith("/issues"):
            door.answer = answer
            github.add_issue("Drift: staging", body, (LABEL,), author=ACTIONS_BOT)
        return answer(verb, target, headers, content)

    door.answer = race
    told(found(BY_HAND), names=("other", "staging"))

    assert states(github)[1:] == [
        (2, "Drift: staging", "open", None),
        (3, "Drift: staging", "closed", "not_planned"),
    ]
    assert comments(github, 3) == ["Duplicate of #2"]


def test_a_second_open_one_is_closed_by_the_next_run(told, github):
    told(found(BY_HAND))
    body = github.issues(LABEL)[0].body
    github.add_issue("Drift: staging", body, (LABEL,), author=ACTIONS_BOT)

    told(found(BY_HAND))

    assert [state for _, _, state, _ in states(github)] == ["open", "closed"]
    assert comments(github, 2) == ["Duplicate of #1"]


def test_many_other_issues_hide_none(told, github):
    """They come in pages."""
    told(found(BY_HAND))
    for number in range(250):
        github.add_issue(f"Other {number}", "x", (LABEL,))

    told(found(BY_HAND))

    assert [i.state for i in github.issues(LABEL) if i.author == ACTIONS_BOT] == ["open"]


def test_a_missing_permission_says_what_the_job_needs(told, github, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", github.token_for({"issues": "read"}))

    said = told(found(BY_HAND), expect=1)

    assert "[github-forbidden]" in said.err
    assert "`issues: write`" in said.err
    assert github.issues() == []


def test_without_a_token_nothing_is_asked(told, github, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN")

    said = told(found(BY_HAND), expect=3)

    assert "[token-missing]" in said.err
    assert github.calls == []


def test_one_that_fails_hides_no_other(told, github):
    told(found(BY_HAND, name="demo"), found(BY_HAND), names=("demo", "staging"))
    github.fail(422, only="PATCH .*/issues/1$", message="Validation Failed")

    said = told(found(name="demo"), found(), names=("demo", "staging"), expect=1)

    assert "[github-rejected]" in said.err
    assert [state for _, _, state, _ in states(github)] == ["open", "closed"]


def test_two_runs_from_different_threads_leave_one_open_issue(told, github):
    """Neither sees the other's before it has its own."""
    meet = threading.Barrier(2, timeout=LIMIT_S)
    answer = github._door.answer
    gates = {"left": 2}

    def slow(verb, target, headers, content):
        if verb == "GET" and "/issues?" in target and gates["left"]:
            gates["left"] -= 1
            told_back = answer(verb, target, headers, content)
            meet.wait()
            return told_back
        return answer(verb, target, headers, content)

    github._door.answer = slow
    other = threading.Thread(target=second_run, args=(github,))
    other.start()
    told(found(BY_HAND))
    other.join()

    assert sorted(state for _, _, state, _ in states(github)) == ["closed", "open"]
    told(found(BY_HAND))
    assert sorted(state for _, _, state, _ in states(github)) == ["closed", "open"]


def second_run(github):
    """Do by hand what another run does: look, open, look again."""

    async def go():
        token = SecretText(github.token_for(WRITE))
        async with GitHub(github.url, "acme/infra", token) as client:
            issues = await client.issues(LABEL)
            said = topics([result(BY_HAND)], run_result(), known_issues(issues), SEEN)
            for change in changes(said, issues):
                await bring(client, change)

    anyio.run(go)
