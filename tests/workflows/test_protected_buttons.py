"""Buttons on a protected server: a writer alone changes nothing, on whichever plan of GitHub's.

`alice` is an administrator; `bob` and `carol` have write access. Each case of the check itself is in
`tests/unit/workflows/test_permit.py`; that no button goes without it, in `tests/unit/test_workflows.py`.
"""

from __future__ import annotations

import json

import pytest

from helpers.act import named
from helpers.workflow_files import workflows
from helpers.workflow_world import PERSON, WRITERS
from roost.report.comment import read_marker

pytestmark = pytest.mark.workflows

BOB, CAROL = WRITERS
LARGER = {"environment": "production", "reason": "a demo", "memory_mb": 1024, "until": "4h"}


@pytest.fixture
def live(world):
    """A world with a protected server and another one."""
    world.found(production={}, staging={})
    assert world.deploy_all().good
    world.write("production", protected=True)
    world.push("Protect it")
    return world


def steps_of(run, job):
    """Return the steps of a job that ran, and how each ended, without those that no file has."""
    steps = {shown(step): step for file in workflows() for j in file.jobs for step in j.steps}
    ended = {
        r["step"]: r["stepResult"] for r in run.records if "stepResult" in r and named(r) == job
    }
    return [
        (steps[name], result)
        for name, result in ended.items()
        if name in steps and result != "skipped"
    ]


def has_secrets(run, job):
    """Return whether any step of a job ran that is given a secret."""
    return any("secrets." in json.dumps(step.data) for step, _ in steps_of(run, job))


def refused(run, job):
    """Assert that the job failed where it checks who started it, and was given no secret by then."""
    assert run.jobs[job] == "failure", run
    [failed] = [step for step, result in steps_of(run, job) if result == "failure"]
    assert "roost github permit" in failed.run
    assert not has_secrets(run, job)
    [told] = [found["message"] for found in run.annotations() if found["title"] == "not-permitted"]
    return told


def shown(step):
    """Return what the runner shows for a step."""
    return step.data.get("name") or step.run or step.uses


def state(world, name="production"):
    """What somebody may have changed of the one machine of a server; it may fall asleep meanwhile."""
    machine = world.machine(name)
    return {key: machine[key] for key in ("id", "instance_id", "region", "config")}


def memory(world, name="production"):
    """The memory of the one machine of a server."""
    return world.machine(name)["config"]["guest"]["memory_mb"]


def test_a_writer_scales_a_protected_server_with_somebody_s_help_and_another_one_alone(live):
    before = state(live)

    alone = live.press("scale", by=BOB, **LARGER)

    assert "bob, who started the run, has the role write." in refused(alone, "override")
    assert state(live) == before
    again = live.press("scale", by=PERSON, again_by=BOB, **LARGER)
    assert "bob, who ran it again, has the role write." in refused(again, "override")
    assert state(live) == before

    assert live.press("scale", by=BOB, **LARGER | {"environment": "staging"}).good
    assert memory(live, "staging") == 1024
    approved = live.press("scale", by=BOB, approved_by=CAROL, **LARGER)
    assert approved.good
    assert has_secrets(approved, "override")
    assert memory(live) == 1024


def test_an_administrator_presses_alone_and_a_writer_only_what_changes_nothing(live):
    assert live.press("scale", **LARGER).good
    assert memory(live) == 1024
    assert live.press("server", by=BOB, environment="production", action="smoke").good

    slept = live.press("server", by=BOB, environment="production", action="sleep")

    refused(slept, "server")
    assert live.serves("production")


def test_a_writer_deploys_no_plan_of_their_own_by_its_digest(live):
    """Not by hand, and not by running again what a push started: the merge shows what it is."""
    live.branch("larger")
    live.write("production", protected=True, machine={"memory_mb": 1024})
    number, _ = live.open_pull("Larger")
    before = live.main
    sha = live.merge(number).sha
    live.by_hand("production", env={"PREFECT_LOGGING_LEVEL": "DEBUG"})
    stopped = live.pushed(before, "deploy")["deploy"]
    assert stopped.jobs["deploy-protected production"] == "failure"
    digest = stopped.artifact("deploy-production")["digest"]
    machine = state(live)

    run = live.press("deploy", by=BOB, environment="production", digest=digest)

    refused(run, "deploy-protected production")
    assert state(live) == machine
    assert "bob, who started the run, has the role write." in live.comment(number)
    assert read_marker(live.comment(number)) is not None
    again = live.push_event(before, sha)
    refused(live.happens(again.run_again(BOB), "deploy")["deploy"], "deploy-protected production")
    assert state(live) == machine
