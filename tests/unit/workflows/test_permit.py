"""Who may press a button on a protected environment, and what GitHub is asked to know it."""

from __future__ import annotations

import json

import pytest
import stamina

from helpers.fake_github import ACTIONS_BOT, FakeGitHub
from roost.errors import ExitCode

NAME, RUN = "production", 77
ROLES = {
    "alice": "admin",
    "max": "maintain",
    "lead": "release-manager:maintain",
    "bob": "write",
    "carol": "write",
    "helper": "triage-and-push:write",
    "tess": "triage",
    "rita": "read",
    "former": "none",
}


@pytest.fixture(autouse=True)
def repeats_at_once():
    """The number of repeats is real, their waits are not."""
    with stamina.set_testing(True, attempts=2, cap=True):
        yield


@pytest.fixture
def github(job, repository, tmp_path, monkeypatch):  # noqa: ARG001 - which sets its variables first
    """A private repository with people of every role, and the run of this job."""
    origin = tmp_path / "origin"
    repository.git("init", "--quiet", "--bare", "--initial-branch", "main", str(origin))
    repository.connect(origin)
    repository.write(NAME, protected=True)
    with FakeGitHub(origin) as found:
        found.state.roles = dict(ROLES)
        found.state.reviews[RUN] = []
        found.add_environment(NAME, reviewers=("carol",))
        monkeypatch.setenv("GITHUB_API_URL", found.url)
        token = found.token_for({"contents": "read", "actions": "read"})
        monkeypatch.setenv("GITHUB_TOKEN", token)
        yield found


@pytest.fixture
def push(repository, github, monkeypatch):
    """Push what is there to main, and have the job run on it."""

    def push():
        sha = repository.commit()
        repository.push()
        monkeypatch.setenv("GITHUB_SHA", sha)

    push()
    github.calls.clear()
    return push


@pytest.fixture
def press(job, push, monkeypatch):  # noqa: ARG001 - there is a commit that the job runs on
    """Run the check as a job does that somebody started, and perhaps somebody ran again."""

    def press(by, *arguments, again_by="", event="workflow_dispatch", attempt=""):
        monkeypatch.setenv("GITHUB_EVENT_NAME", event)
        monkeypatch.setenv("GITHUB_ACTOR", by)
        monkeypatch.setenv("GITHUB_TRIGGERING_ACTOR", again_by or by)
        monkeypatch.setenv("GITHUB_RUN_ATTEMPT", attempt or ("2" if again_by else "1"))
        return job("github", "permit", *arguments, "--", NAME)

    return press


def paths(github):
    return [call.path.removeprefix("/repos/acme/infra/") for call in github.calls]


# By their role


@pytest.mark.parametrize("login", ["alice", "max", "lead", "ALICE"])
def test_who_maintains_the_repository_may(github, press, login):
    said = press(login)

    assert said.code == ExitCode.DONE
    assert f"{login}, who started the run, has the role" in said.out
    assert paths(github) == [f"collaborators/{login}/permission"]


@pytest.mark.parametrize(
    ("login", "role"),
    [
        *(("bob", "write"), ("helper", "triage-and-push"), ("tess", "triage")),
        *(("rita", "read"), ("former", "none")),
    ],
)
def test_who_does_not_maintain_it_may_not_and_is_told_who_may(press, login, role):
    said = press(login)

    assert said.code == ExitCode.ERROR
    assert "[not-permitted]" in said.err
    assert f"{login}, who started the run, has the role {role}." in said.err
    assert "Nothing was changed. Ask somebody with the role maintain or admin" in said.err


def test_a_stranger_may_not_even_where_the_repository_is_public(github, press):
    github.state.private = False

    said = press("former")

    assert said.code == ExitCode.ERROR
    assert "has the role read" in said.err


@pytest.mark.parametrize("login", ["nobody-by-that-name", "../../bob", "a/b?c#d"])
def test_a_name_that_github_does_not_know_may_not(press, login):
    said = press(login)

    assert said.code == ExitCode.ERROR
    assert "has no role here" in said.err


@pytest.mark.parametrize("bot", [ACTIONS_BOT, "acme-deployer[bot]"])
def test_a_workflow_or_an_app_is_nobody_with_a_role(github, press, bot):
    """A branch's own workflow can start one of main with its token; who did so is the bot then."""
    github.state.roles[bot] = "admin"

    said = press(bot)

    assert said.code == ExitCode.ERROR
    assert f"{bot}, who started the run, has no role here." in said.err


@pytest.mark.parametrize(("by", "again_by"), [("alice", "bob"), ("bob", "alice")])
def test_who_started_a_run_and_who_ran_it_again_must_both_be_permitted(press, by, again_by):
    said = press(by, again_by=again_by)

    assert said.code == ExitCode.ERROR
    how = "ran it again" if again_by == "bob" else "started the run"
    assert f"bob, who {how}, has the role write." in said.err
    assert "alice, who" not in said.err


def test_two_who_maintain_it_may_run_each_other_s_again(press):
    assert press("alice", again_by="max").code == ExitCode.DONE


# By a review


def test_another_person_s_approval_of_the_run_is_enough(github, press):
    github.add_review(RUN, "PRODUCTION", "carol")

    said = press("bob")

    assert said.code == ExitCode.DONE
    assert "carol approved this run" in said.out


@pytest.mark.parametrize(
    ("environment", "login", "state"),
    [
        (NAME, "carol", "rejected"),
        (NAME, "carol", "pending"),
        ("staging", "carol", "approved"),
        (NAME, "", "approved"),
        (NAME, "acme-gate[bot]", "approved"),
    ],
)
def test_what_is_no_approval_of_a_person_for_this_environment_does_not_count(
    github, press, environment, login, state
):
    github.add_review(RUN, environment, login, state)

    assert press("bob").code == ExitCode.ERROR


def test_an_approval_of_another_run_does_not_count(github, press):
    github.add_review(RUN + 1, NAME, "carol")

    assert press("bob").code == ExitCode.ERROR


@pytest.mark.parametrize("login", ["bob", "Bob"])
def test_nobody_approves_their_own_run(github, press, login):
    github.add_review(RUN, NAME, login)

    said = press("bob")

    assert said.code == ExitCode.ERROR
    assert "An approval by bob does not count for their own run." in said.err


def test_another_person_s_approval_is_enough_beside_one_s_own(github, press):
    github.add_review(RUN, NAME, "bob")
    github.add_review(RUN, NAME, "carol")

    said = press("bob")

    assert said.code == 0
    assert f"{NAME} is protected, and carol approved this run." in said.out


def test_who_ran_it_again_and_approves_that_does_not_lend_themselves_an_earlier_approval(
    github, press
):
    """GitHub lists the reviews of all attempts, and does not say which is whose."""
    github.add_review(RUN, NAME, "carol")
    github.add_review(RUN, NAME, "helper")

    assert press("bob", again_by="helper").code == ExitCode.ERROR


def test_a_run_that_is_started_again_was_approved_again_while_there_are_reviewers(github, press):
    github.add_review(RUN, NAME, "carol")
    assert press("bob", again_by="helper").code == ExitCode.DONE

    github.add_environment(NAME)
    assert press("bob", again_by="helper").code == ExitCode.ERROR


def test_a_reviewer_may_let_a_workflow_s_own_run_go_on(github, press):
    github.add_review(RUN, NAME, "carol")

    assert press(ACTIONS_BOT).code == ExitCode.DONE


# What GitHub does not answer


@pytest.mark.parametrize("status", [403, 500])
def test_where_the_role_is_not_told_it_is_refused_and_says_so(github, press, status):
    github.fail(status, 9, only="GET .*/permission", message="Must have push access")

    said = press("alice")

    assert said.code == ExitCode.ERROR
    assert "[not-permitted]" in said.err
    assert "GitHub did not return what alice may do" in said.err


def test_an_approval_counts_where_the_role_is_not_told(github, press):
    github.fail(403, 9, only="GET .*/permission", message="Must have push access")
    github.add_review(RUN, NAME, "carol")

    assert press("alice").code == ExitCode.DONE


def test_a_workflow_that_may_not_see_reviews_is_told_its_missing_permission(
    github, press, monkeypatch
):
    monkeypatch.setenv("GITHUB_TOKEN", github.token_for({"contents": "read"}))
    github.add_review(RUN, NAME, "carol")

    said = press("bob")

    assert said.code == ExitCode.ERROR
    assert "GitHub did not return who approved it" in said.err
    assert "`permissions:` with `actions: read`" in said.err


def test_an_answer_that_is_something_else_is_no_permission(github, press):
    github.state.reviews[RUN] = {"approved": NAME}

    assert press("bob").code == ExitCode.ERROR


def test_without_a_token_it_is_refused(press, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN")

    said = press("alice")

    assert said.code == ExitCode.BAD_INPUT
    assert "[token-missing]" in said.err


@pytest.mark.usefixtures("push")
@pytest.mark.parametrize("name", ["GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"])
def test_a_run_that_does_not_say_who_started_it_is_refused(github, job, monkeypatch, name):
    for variable in ("GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"):
        monkeypatch.setenv(variable, "alice")
    monkeypatch.setenv("GITHUB_EVENT_NAME", "workflow_dispatch")
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "1")
    monkeypatch.delenv(name)

    said = job("github", "permit", NAME)

    assert said.code == ExitCode.ERROR
    assert "does not name the person who started the run" in said.err
    assert github.calls == []


# What needs nobody's permission


def test_what_is_not_protected_may_be_changed_by_all_and_nobody_is_asked(
    github, repository, push, press
):
    repository.write(NAME)
    push()

    said = press("bob")

    assert said.code == ExitCode.DONE
    assert "is not protected" in said.out
    assert github.calls == []


@pytest.mark.parametrize("event", ["push", "schedule"])
def test_what_no_person_started_is_decided_elsewhere(github, press, event):
    said = press("bob", event=event)

    assert said.code == ExitCode.DONE
    assert f"No person started this run: the {event} did." in said.out
    assert github.calls == []


@pytest.mark.parametrize("event", ["", "repository_dispatch", "workflow_run", "issue_comment"])
def test_any_other_event_is_a_person_s_doing(press, event):
    assert press("bob", event=event).code == ExitCode.ERROR
    assert press("alice", event=event).code == ExitCode.DONE


@pytest.mark.parametrize("event", ["push", "schedule"])
def test_running_a_push_or_a_schedule_again_is_a_person_s_doing(press, event):
    """It would undo a rollback. Who merged need not maintain: that was approved then."""
    assert press("bob", event=event, again_by="carol").code == ExitCode.ERROR
    assert press("bob", event=event, again_by="alice").code == ExitCode.DONE


def test_a_run_that_does_not_say_which_attempt_it_is_counts_as_run_again(press):
    assert press("bob", event="push", attempt=" ").code == ExitCode.ERROR


@pytest.mark.parametrize("doing", ["smoke", "wake"])
def test_what_changes_nothing_may_be_done_by_all(github, press, doing):
    assert press("bob", "--for", doing).code == ExitCode.DONE
    assert github.calls == []


@pytest.mark.parametrize("doing", ["sleep", "backup", "Smoke", "smoke ", "", "anything"])
def test_what_is_not_known_to_change_nothing_needs_permission(press, doing):
    assert press("bob", "--for", doing).code == ExitCode.ERROR


# Whether it is protected


def test_a_run_of_an_older_commit_that_is_started_again_minds_what_main_says_by_now(
    repository, push, press
):
    repository.write(NAME)
    push()
    repository.write(NAME, protected=True)
    repository.commit()
    repository.push()
    repository.git("checkout", "--quiet", "HEAD^")

    assert press("bob", again_by="bob").code == ExitCode.ERROR
    assert press("alice", again_by="max").code == ExitCode.DONE


@pytest.mark.parametrize("broken", ["gone", "faulty"])
def test_what_main_says_by_now_and_cannot_be_read_counts_as_protected(
    repository, push, press, broken
):
    path = repository.write(NAME)
    push()
    path.write_text("protected: [")
    if broken == "gone":
        path.unlink()
    repository.commit()
    repository.push()
    repository.git("checkout", "--quiet", "HEAD^")

    assert press("bob", again_by="bob").code == ExitCode.ERROR


def test_a_newer_commit_that_leaves_it_unprotected_changes_nothing(repository, push, press):
    repository.write(NAME)
    push()
    repository.write("staging")
    repository.commit()
    repository.push()
    repository.git("checkout", "--quiet", "HEAD^")

    assert press("bob", again_by="bob").code == ExitCode.DONE


@pytest.mark.usefixtures("github", "push")
@pytest.mark.parametrize("name", ["PRODUCTION", "../production", "--help", ""])
def test_a_name_that_is_no_environment_s_is_bad_input(job, name):
    said = job("github", "permit", "--", name)

    assert said.code == ExitCode.BAD_INPUT


# What the report is told


def test_a_refusal_is_an_outcome_for_the_job_that_reports(press, tmp_path):
    press("bob", "--results", tmp_path / "results")

    outcome = json.loads((tmp_path / "results" / f"{NAME}.json").read_text())
    assert (outcome["outcome"], outcome["word"]) == ("refused", "not-permitted")
    assert "bob, who started the run, has the role write." in outcome["message"]


def test_a_permission_is_no_outcome(press, tmp_path):
    press("alice", "--results", tmp_path / "results")

    assert not (tmp_path / "results").exists()
