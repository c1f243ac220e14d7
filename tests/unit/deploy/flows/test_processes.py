"""The flow runs of a start are found by what their processes inherited."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from helpers.waiting import until
from roost_flows.processes import Processes

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(300)"]


@pytest.fixture
def proc(tmp_path):
    """Makes the entry of a process in a folder like /proc."""

    def make(pid, state="S", name="python", **variables):
        folder = tmp_path / str(pid)
        folder.mkdir()
        lines = [f"{key}={value}".encode() for key, value in variables.items()]
        (folder / "environ").write_bytes(b"\0".join([*lines, b""]))
        (folder / "stat").write_text(f"{pid} ({name}) {state} 1 1 1")
        return folder

    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text("")
    return make


def found(tmp_path, boot="b1"):
    return Processes(boot, tmp_path)


def test_flow_runs_are_those_of_this_start(proc, tmp_path):
    proc(10, ROOST_FLOW_BOOT="b1")
    proc(11, ROOST_FLOW_BOOT="b1", PREFECT__FLOW_RUN_ID="r1")
    proc(12, ROOST_FLOW_BOOT="b1", PREFECT__FLOW_RUN_ID="r1")
    proc(13, ROOST_FLOW_BOOT="b2", PREFECT__FLOW_RUN_ID="r2")
    proc(14, PREFECT__FLOW_RUN_ID="r3")
    proc(15, ROOST_FLOW_BOOT="b1x", PREFECT__FLOW_RUN_ID="r4")

    assert found(tmp_path).flow_runs() == {"r1"}
    assert sorted(found(tmp_path).pids()) == [10, 11, 12]


def test_what_ended_is_not_counted(proc, tmp_path):
    proc(10, state="Z", ROOST_FLOW_BOOT="b1", PREFECT__FLOW_RUN_ID="r1")
    proc(11, name="a) Z (b", ROOST_FLOW_BOOT="b1", PREFECT__FLOW_RUN_ID="r2")
    gone = proc(12, ROOST_FLOW_BOOT="b1", PREFECT__FLOW_RUN_ID="r3")
    (gone / "stat").unlink()

    assert found(tmp_path).flow_runs() == {"r2"}


def test_a_process_whose_parent_ended_is_found_and_killed():
    boot = f"test-{os.getpid()}"
    code = f"import subprocess; subprocess.Popen({SLEEP!r}, start_new_session=True)"
    environ = {**os.environ, "ROOST_FLOW_BOOT": boot, "PREFECT__FLOW_RUN_ID": "r1"}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)
    processes = Processes(boot)

    assert processes.flow_runs() == {"r1"}
    processes.kill()
    until(lambda: not processes.pids())
