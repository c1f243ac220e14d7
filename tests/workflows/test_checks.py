"""The checks of a pull request: each job runs its session, and the required one is red with any of them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.workflows

SESSIONS = ["chaos", "image", "lint", "slow", "tests", "types", "workflows"]
# Says what it was asked for; fails for what FAIL names.
RUN = """#!/bin/sh
echo "session $1"
test "$1" != "$(cat fails 2>/dev/null)"
"""


@pytest.fixture
def checked(world):
    """A world whose `run` only tells what it would do, as what it does are these tests."""
    (world.programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (world.programs / "sudo").chmod(0o755)
    world.found()
    (world.desk / "run").write_text(RUN)
    (world.desk / ".ci").mkdir()
    (world.desk / ".ci" / "packages").write_text("#!/bin/sh\n")
    (world.desk / ".ci" / "packages").chmod(0o755)
    world.push("Tell only")
    return world


def opened(world):
    """Open a pull request and run its checks."""
    world.push("A change", "change")
    number = world.add_pull("A change", "change")
    return world.happens(world.pull_event(number, "opened"), "checks")["checks"]


def test_every_session_runs(checked):
    run = opened(checked)

    assert run.good, run
    assert sorted(run.log.split("session ")[1:]) == [f"{name}\n" for name in SESSIONS]
    assert run.jobs["passed"] == "success"


@pytest.mark.parametrize("session", ["lint", "image"])
def test_the_required_job_is_red_with_any_of_them(checked, session):
    (checked.desk / "fails").write_text(session)

    run = opened(checked)

    assert (run.jobs[session], run.jobs["passed"]) == ("failure", "failure")
