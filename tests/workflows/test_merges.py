"""What main is told to be, and in which order: pushes, protection, and runs that overtake each other."""

from __future__ import annotations

import pytest

from roost.environment.model import AUTH_SECRET
from roost.report.issue import LABEL

pytestmark = pytest.mark.workflows

LEVEL = "PREFECT_LOGGING_LEVEL"


def asking(level):
    """The settings of a server that logs so much."""
    return {"settings": {LEVEL: level}}


def push(world, message):
    """Push what is at the desk straight to main, and return the event."""
    before = world.main
    return world.push_event(before, world.push(message))


def test_a_push_without_a_pull_request_never_reaches_what_is_protected(world):
    """Staging follows it, production refuses; a person who read the plan lets it through by its digest."""
    world.found()
    world.write("staging")
    world.write("production", protected=True)

    run = world.happens(push(world, "No pull request"))["deploy"]

    assert not run.good
    assert run.jobs == {
        "changed": "success",
        "deploy staging": "success",
        "deploy-protected production": "failure",
        "report": "success",
    }
    refused = run.artifact("deploy-production")
    assert (refused["outcome"], refused["word"]) == ("refused", "not-planned")
    assert world.serves("staging")
    assert world.machines("production") == []

    wrong = world.press("deploy", environment="production", digest="0" * 64)
    assert not wrong.good
    assert world.machines("production") == []

    right = world.press(
        "deploy", environment="production", digest=refused["digest"], reason="first deploy"
    )
    assert right.good, right
    assert world.serves("production")


def test_a_protected_server_waits_for_the_others_to_be_proved(world):
    world.found()
    world.branch("all")
    world.write("staging", prefect={"settings": {"PREFECT_SMALL_VERSION": "0.0.1"}})
    world.write("production", protected=True)
    number, _ = world.open_pull("All of them")

    run = world.happens(world.merge(number))["deploy"]

    assert run.jobs["deploy staging"] == "failure"
    assert "deploy-protected production" not in run.jobs
    assert world.machines("production") == []
    assert "## 2 environments of 2 not deployed" in world.comment(number)
    skipped = "| `production` | **not deployed**: its job did not get so far |"
    assert skipped in world.comment(number)
    assert skipped in run.summary


def test_a_failed_deploy_opens_an_issue_and_the_next_good_one_closes_it(world):
    world.found()
    world.branch("broken")
    world.write("staging", prefect={"settings": {"PREFECT_SMALL_VERSION": "0.0.1"}})
    broken, _ = world.open_pull("A server that the gate refuses")

    assert world.happens(world.merge(broken))["deploy"].jobs["deploy staging"] == "failure"

    [issue] = world.github.issues(LABEL)
    assert (issue.title, issue.state) == ("Deploy: staging", "open")
    assert f"Asked for by: #{broken}" in issue.body

    world.branch("corrected")
    world.write("staging")
    corrected, _ = world.open_pull("One that starts")

    assert world.happens(world.merge(corrected))["deploy"].good
    assert [(i.number, i.state) for i in world.github.issues(LABEL)] == [(issue.number, "closed")]
    assert "deployed and proved" in world.github.comments(issue.number)[-1].body


def test_a_protected_server_is_not_the_first_to_get_what_an_overtaken_run_did_not_prove(world):
    """One merge changes both; the next one, seconds later, only staging. Its run would prove that one alone."""
    world.found()
    world.branch("all")
    world.write("staging", prefect=asking("DEBUG"))
    world.write("production", prefect=asking("DEBUG"), protected=True)
    number, _ = world.open_pull("Both of them")
    both = world.merge(number)
    world.branch("more")
    world.write("staging", prefect=asking("ERROR"))
    world.push("Staging alone", "main")

    run = world.happens(both, "deploy")["deploy"]

    assert run.artifact("deploy-staging")["outcome"] == "superseded"
    assert run.jobs["deploy-protected production"] == "failure"
    assert run.artifact("deploy-production")["word"] == "not-proved"
    assert world.machines("production") == []
    assert "Wait until staging is proved" in world.comment(number)


def test_a_run_that_a_newer_commit_overtakes_does_nothing(world):
    """Both wait in one line. The older finds main elsewhere, says so, and leaves it to the newer."""
    world.found()
    world.write("staging", prefect=asking("DEBUG"))
    older = push(world, "Older")
    world.write("staging", prefect=asking("ERROR"))
    newer = push(world, "Newer")

    overtaken = world.happens(older, "deploy")["deploy"]

    assert overtaken.good, overtaken
    assert overtaken.artifact("deploy-staging")["outcome"] == "superseded"
    assert "superseded" in overtaken.summary
    assert world.github.deployed("staging") == []
    assert world.machines("staging") == []

    assert world.happens(newer, "deploy")["deploy"].good
    assert world.setting("staging", LEVEL) == "ERROR"


def test_a_newer_commit_that_deploys_nothing_of_it_leaves_a_merge_its_server(world):
    """What the older run left to it, the newer one would not do: nobody would, and all would be green."""
    world.found()
    world.write("staging", prefect=asking("DEBUG"))
    older = push(world, "Older")
    file = world.desk / "environments" / "staging.yaml"
    file.write_text(f"# Until the demo.\n{file.read_text()}")
    prices = world.desk / "deploy" / "prices.yaml"
    prices.write_text(f"{prices.read_text()}# looked at again\n")
    newer = push(world, "Only words, in files that count")

    run = world.happens(older, "deploy")["deploy"]

    assert run.good, run
    assert run.artifact("deploy-staging")["outcome"] == "deployed"
    assert world.setting("staging", LEVEL) == "DEBUG"
    assert set(world.happens(newer, "deploy")["deploy"].jobs) == {"changed"}


def test_of_two_merges_at_once_none_is_dropped(world):
    """Each is about another server: that main moved on is no reason to leave one out."""
    world.found()
    world.write("staging")
    first = push(world, "One")
    world.write("demo")
    second = push(world, "Another")

    for event in (first, second):
        assert world.happens(event, "deploy")["deploy"].good

    assert world.serves("staging")
    assert world.serves("demo")


def test_a_merge_that_changes_no_server_deploys_none(world):
    world.found(staging={})
    (world.desk / "NOTES.md").write_text("Only words.\n")

    run = world.happens(push(world, "Words"))["deploy"]

    assert run.good
    assert set(run.jobs) == {"changed"}
    assert world.machines("staging") == []


def test_a_secret_that_is_changed_in_git_reaches_the_server(world):
    """Deployed with the merge; the secrets workflow, which the file starts as well, finds nothing left to do."""
    hook = world.keep_in_git("staging.sops.yaml", HOOK_URL="https://hooks.example/one")
    world.found()
    world.write(
        "staging",
        secrets=[AUTH_SECRET, {"name": "HOOK_URL", "from": {"sops": "staging.sops.yaml"}}],
    )
    assert world.happens(push(world, "Begin"), "deploy")["deploy"].good
    hook("https://hooks.example/canary-two-7Tb2")
    another = push(world, "Another hook")

    runs = world.happens(another)

    assert set(runs) == {"deploy", "secrets"}
    assert runs["deploy"].good, runs["deploy"]
    assert runs["secrets"].good, runs["secrets"]
    assert world.sees_hook("staging", "https://hooks.example/canary-two-7Tb2")

    # It leaks, and is changed. Then somebody runs the older run again.
    hook("https://hooks.example/canary-three-4Kd8")
    assert world.happens(push(world, "A third hook"), "secrets")["secrets"].good
    again = world.happens(another, "secrets")["secrets"]

    assert again.good, again
    assert "start the workflow Secrets, which uses the head" in again.summary
    assert world.sees_hook("staging", "https://hooks.example/canary-three-4Kd8")
