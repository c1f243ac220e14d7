"""An upgrade of the real server, rehearsed: from the base in a worktree of git to the proof."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from helpers.environments import environment_data
from helpers.prefect_versions import NEWEST, OLDER
from helpers.roost_command import RoostCommand
from roost.report.rehearsal import read_rehearsal

pytestmark = pytest.mark.slow

NAME = "demo"
# Good settings, with which no schedule makes a run while the gate looks.
NO_RUNS = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3600",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "3600",
}
DEPLOY = Path(__file__).parents[2] / "deploy"


def git(folder, *arguments):
    """Run git in a folder, as nobody in particular."""
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    command = ["git", "-C", str(folder), *who, *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path):
    """A project in git whose one environment runs the older Prefect."""
    folder = tmp_path / "project"
    shutil.copytree(DEPLOY, folder / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "environments").mkdir()
    write(folder, OLDER)
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "the base")
    return folder


def write(project, version, **settings):
    data = environment_data(prefect={"version": version, "settings": settings})
    path = project / "environments" / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def test_an_upgrade_is_rehearsed_on_the_base_of_a_worktree(tmp_path, project, image_cache):
    base, results = tmp_path / "base", tmp_path / "results"
    git(project, "worktree", "add", "--quiet", "--detach", str(base), "HEAD")
    write(project, NEWEST)
    roost = RoostCommand(tmp_path / "roost", image_cache)
    head = {"ROOST_ENVIRONMENTS": str(project / "environments")}

    done = roost.run("rehearse", NAME, "--base", str(base), "--results", str(results), **head)

    found = read_rehearsal(results / f"{NAME}.json")
    assert (found.outcome, found.base, found.prefect) == ("passed", "created", NEWEST)
    assert f"what is there now, Prefect {OLDER}" in done.stderr
    assert [step.key for step in found.steps] == ["machine/app-1"]
    assert all(check.ok for check in found.gate)
    assert "opened to all" in {check.name for check in found.gate}
    assert 0 < found.silence_seconds <= found.apply_seconds
    assert found.wake.suspended_seconds < found.wake.stopped_seconds
    assert 100 < found.memory_mb.idle <= found.memory_mb.peak < found.memory_mb.limit == 512
    assert not roost.home.exists()

    write(project, NEWEST, **NO_RUNS)
    roost.run("rehearse", NAME, "--base", str(base), "--results", str(results), expect=4, **head)

    found = read_rehearsal(results / f"{NAME}.json")
    assert (found.outcome, found.word) == ("failed", "gate-failed")
    assert [check.name for check in found.gate if not check.ok] == ["scheduler"]
    assert "The last healthy release was restored and passed the gate." in found.message
