"""A pull request, from its first commit to the server that its merge makes; and those that are no good."""

from __future__ import annotations

import re

import pytest

from helpers.workflow_world import DEPENDABOT

pytestmark = pytest.mark.workflows

LEVEL = "PREFECT_LOGGING_LEVEL"
# A setting of the small server that makes it say it is another version than the file's.
ANOTHER = {"PREFECT_SMALL_VERSION": "0.0.1"}


def asking(level):
    """The settings of a server that logs so much."""
    return {"settings": {LEVEL: level}}


def test_a_pull_request_from_its_first_commit_to_its_server(world):
    """Comment, the same comment edited, merge, deployed and proved, and the comment says so."""
    world.found()
    world.branch("new-server")
    world.write("staging", prefect=asking("DEBUG"))

    number, opened = world.open_pull("A server for staging")
    first = world.comment(number)
    world.write("staging", prefect=asking("ERROR"))
    pushed = world.push_again(number)
    second = world.comment(number)

    for runs in (opened, pushed):
        assert set(runs) == {"plan"}
        assert runs["plan"].good, runs["plan"]
        assert set(runs["plan"].jobs) == {
            *("validate", "changed", "rehearse staging", "plan", "comment", "passed"),
        }
    assert all(part in first for part in ("create the app", "Rehearsal", "Digest"))
    assert f'"head":"{world.github.pull(number).head_sha}"' in second
    assert first != second
    assert world.machines("staging") == []  # a plan only reads

    deployed = world.happens(world.merge(number))["deploy"]

    assert deployed.good, deployed
    assert set(deployed.jobs) == {"changed", "deploy staging", "report"}
    assert deployed.artifact("deploy-staging")["outcome"] == "deployed"
    url = deployed.outputs("deploy")["url"]
    assert url.startswith("http")
    assert world.github.deployed("staging") == [(world.main, "success", url)]
    assert "deployed and proved" in deployed.summary
    assert "deployed and proved" in world.comment(number)
    assert world.setting("staging", LEVEL) == "ERROR"
    assert world.serves("staging")


def test_what_main_got_meanwhile_is_not_taken_for_the_pull_request_s(world):
    """Opened before, pushed to after: what it would be merged into is what it is compared with."""
    world.found(staging={}, demo={})
    world.branch("words")
    (world.desk / "NOTES.md").write_text("Only words.\n")
    number, _ = world.open_pull("Words")
    world.git("checkout", "-q", "main")
    world.write("demo", prefect=asking("DEBUG"))
    world.push("Another server")
    world.git("checkout", "-q", "words")
    (world.desk / "NOTES.md").write_text("More words.\n")

    run = world.push_again(number)["plan"]

    assert run.good, run
    assert set(run.jobs) == {"validate", "changed", "comment", "passed"}
    assert run.outputs("changed")["environments"] == "[]"


def test_a_change_that_concerns_no_server_has_a_green_plan_and_no_comment(world):
    world.found(staging={})
    world.branch("words")
    (world.desk / "NOTES.md").write_text("Only words.\n")

    number, runs = world.open_pull("Words")

    assert runs["plan"].good, runs["plan"]
    assert set(runs["plan"].jobs) == {"validate", "changed", "comment", "passed"}
    assert world.github.comments(number) == []


def test_a_broken_file_is_red_on_its_line(world):
    """No plan, no comment: only what is wrong, where it stands."""
    world.found(staging={})
    world.branch("typo")
    path = world.desk / "environments" / "staging.yaml"
    path.write_text(path.read_text().replace("region: iad", "regoin: iad"))

    number, runs = world.open_pull("A typo")
    run = runs["plan"]

    assert not run.good
    assert (run.jobs["validate"], run.jobs["passed"]) == ("failure", "failure")
    assert not [job for job in run.jobs if job.startswith(("plan", "rehearse", "comment"))]
    line = 1 + path.read_text().split("regoin")[0].count("\n")
    found = [a for a in run.annotations() if "regoin" in a["message"]]
    assert {(a["file"], a["line"]) for a in found} == {("environments/staging.yaml", str(line))}
    assert "regoin" in run.summary
    assert world.github.comments(number) == []

    # Another title runs nothing, and puts no green check over the red one.
    edit = world.pull_event(number, "edited", {"title": {"from": "Typo"}})
    edited = world.happens(edit, "plan")["plan"]
    assert (edited.good, edited.jobs) == (True, {"passed": "success"})
    assert (run.names["passed"], edited.names["passed"]) == ("Plan passed", "Nothing to check")


def test_a_pull_request_whose_base_branch_changes_is_planned(world):
    """It was opened into another branch, which has no checks."""
    world.found(staging={})
    world.branch("change")
    world.write("staging", prefect=asking("DEBUG"))
    world.push("Change", "change")
    number = world.add_pull("Change", "change")
    before = {"base": {"ref": {"from": "release"}, "sha": {"from": "a" * 40}}}

    run = world.happens(world.pull_event(number, "edited", before), "plan")["plan"]

    assert run.good, run
    assert run.names["passed"] == "Plan passed"
    assert "Digest" in world.comment(number)


def test_a_merge_that_fails_its_gate_leaves_the_old_server_serving(world):
    """The rehearsal said so; merged all the same, it is rolled back, red, and told in the comment."""
    world.found()
    world.branch("begin")
    world.write("staging")
    begun, _ = world.open_pull("Begin")
    assert world.happens(world.merge(begun))["deploy"].good
    [(good, _, url)] = world.github.deployed("staging")
    world.branch("no-good")
    world.write("staging", prefect={"settings": ANOTHER})

    number, runs = world.open_pull("No good")
    deployed = world.happens(world.merge(number))["deploy"]

    assert runs["plan"].jobs["rehearse staging"] == "failure"
    assert runs["plan"].jobs["comment"] == "success"
    assert not deployed.good
    assert deployed.jobs == {
        "changed": "success",
        "deploy staging": "failure",
        "report": "success",
    }
    assert deployed.artifact("deploy-staging")["outcome"] == "rolled-back"
    assert deployed.annotations()
    assert "rolled back" in world.comment(number)
    assert world.setting("staging", "PREFECT_SMALL_VERSION") is None
    assert world.serves("staging")

    # A green job on that commit makes it no deployment.
    assert world.press("server", environment="staging", action="smoke").good
    assert world.main != good
    assert world.github.deployed("staging") == [(good, "success", url)]


@pytest.mark.parametrize("whose", ["a fork", "Dependabot"])
def test_who_is_given_no_secrets_has_everything_but_a_token_and_a_comment(world, whose):
    world.found(staging={})
    world.branch("from-outside")
    world.write("staging", prefect=asking("DEBUG"))
    world.push("From outside", "from-outside")
    number = world.add_pull("From outside", "from-outside", fork=whose == "a fork")
    actor = DEPENDABOT if whose == "Dependabot" else "mallory"

    run = world.happens(world.pull_event(number, "opened", actor=actor), "plan")["plan"]

    assert run.good, run
    assert set(run.jobs) == {"validate", "changed", "rehearse staging", "passed"}
    assert run.artifacts == {"rehearsal-staging"}
    assert run.artifact("rehearsal-staging")["outcome"] == "passed"
    assert f"gives no secrets to runs {'of' if whose == 'a fork' else 'that'}" in run.summary
    assert "staging" in run.summary
    assert world.github.comments(number) == []
    assert not world.github.changes()


def test_a_file_that_is_removed_is_told_and_nothing_is_done(world):
    world.found(staging={}, demo={})
    world.branch("less")
    (world.desk / "environments" / "demo.yaml").unlink()

    number, runs = world.open_pull("One server less")

    assert runs["plan"].good, runs["plan"]
    assert set(runs["plan"].jobs) == {"validate", "changed", "comment", "passed"}
    assert re.search(r"file of .?`?demo.*removed", world.comment(number))
