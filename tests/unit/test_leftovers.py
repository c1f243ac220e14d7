"""A test that leaves a process behind fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from helpers.leftovers import VARIABLE, kill_leftovers

TESTS = Path(__file__).parents[1]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_what_is_left_of_a_run_is_killed_and_named():
    run = uuid.uuid4().hex
    environ = {**os.environ, VARIABLE: run}
    left = subprocess.Popen(SLEEP, env=environ, start_new_session=True)
    other = subprocess.Popen(SLEEP, env={**os.environ, VARIABLE: uuid.uuid4().hex})
    try:
        [found] = kill_leftovers(run, patience_s=0)

        assert "time.sleep(600)" in found
        assert "test_what_is_left_of_a_run_is_killed_and_named" in found
        assert left.wait(60) == -9
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_what_ends_by_itself_is_waited_for():
    run = uuid.uuid4().hex
    command = [sys.executable, "-c", "import time; time.sleep(0.3)"]
    with subprocess.Popen(command, env={**os.environ, VARIABLE: run}):
        assert kill_leftovers(run, patience_s=300) == []


LEAVES = f"""
import subprocess
def test_it():
    subprocess.Popen({SLEEP!r}, start_new_session=True)
"""


def test_a_run_that_leaves_a_process_fails(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_leaving.py").write_text(LEAVES)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    paths = os.pathsep.join(map(str, (TESTS, TESTS.parent / "scripts")))

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-n", "2", str(tmp_path)],
        env={**environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 passed" in done.stdout
    assert "A process was left running" in done.stdout
    assert "test_leaving.py::test_it" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
