"""The checks of a pull request: each job runs its session, and the required one is red with any of them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.workflows

SESSIONS = ["bench", "chaos", "clients", "image", "lint", "slow", "tests", "types", "workflows"]
# Says what it was asked for; fails for what FAIL names. The tool itself is what it is.
RUN = """#!/bin/sh
if [ "$1" = roost ]; then exec "$(dirname "$0")/run.real" "$@"; fi
echo "session $1"
test "$1" != "$(cat fails 2>/dev/null)"
"""


@pytest.fixture
def checked(world):
    """A world whose `run` only tells what it would do, as what it does are these tests."""
    (world.programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (world.programs / "sudo").chmod(0o755)
    world.found()
    (world.desk / "run").rename(world.desk / "run.real")
    (world.desk / "run").write_text(RUN)
    (world.desk / "run").chmod(0o755)
    (world.desk / ".ci").mkdir()
    (world.desk / ".ci" / "packages").write_text("#!/bin/sh\n")
    (world.desk / ".ci" / "packages").chmod(0o755)
    world.push("Tell only")
    return world


def opened(world, file="scripts/new.py"):
    """Open a pull request that changes a file, and run its checks."""
    world.branch("change")
    (world.desk / file).write_text("# a change\n")
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
    checked.push("Let it fail")

    run = opened(checked)

    assert (run.jobs[session], run.jobs["passed"]) == ("failure", "failure")


def test_one_line_of_an_environment_file_waits_for_no_test_of_the_tool(checked):
    run = opened(checked, "environments/_defaults.yaml")

    assert run.good, run
    assert run.log.count("session ") == 1
    assert "session tests" in run.log  # those that read such files
    assert run.jobs == dict.fromkeys(("scope", "settings", "passed"), "success")


def test_the_required_job_is_red_where_nobody_knows_what_changed(checked):
    (checked.desk / "run.real").write_text("#!/bin/sh\nexit 3\n")
    checked.push("Break the tool")

    run = opened(checked, "environments/_defaults.yaml")

    assert run.jobs == {"scope": "failure", "passed": "failure"}
