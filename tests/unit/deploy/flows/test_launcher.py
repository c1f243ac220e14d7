"""The launcher as a process: it runs a command, and ends with it or before it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers.flow_server_api import PREFECT
from helpers.prefect_process import free_port
from helpers.waiting import LIMIT_S, until
from roost_flows.processes import Processes

DEPLOY = Path(__file__).parents[4] / "deploy"
# Serves one deployment as Prefect's runner does: it pauses it when it ends. It starts a "flow run"
# whenever the file `run` appears, which ends when the file is gone.
COMMAND = """
import base64, json, os, pathlib, signal, subprocess, sys, time, urllib.request

HERE = pathlib.Path(os.environ["SCENE"])
FLOW_RUN = "import pathlib, sys, time\\nwhile pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)"

def pause(*_):
    token = base64.b64encode(os.environ["PREFECT_API_AUTH_STRING"].encode()).decode()
    header = json.loads(os.environ["PREFECT_CLIENT_CUSTOM_HEADERS"])
    url = os.environ["PREFECT_API_URL"] + "/deployments/d1/pause_deployment"
    headers = {"Authorization": "Basic " + token, **header}
    urllib.request.urlopen(urllib.request.Request(url, b"", headers))
    (HERE / "paused").touch()
    sys.exit(0)

signal.signal(signal.SIGTERM, pause)
(HERE / "started").write_text(json.dumps(dict(os.environ)))
child = None
while not (HERE / "exit").exists():
    if (HERE / "run").exists() and child is None:
        environ = {**os.environ, "PREFECT__FLOW_RUN_ID": "r1"}
        child = subprocess.Popen([sys.executable, "-S", "-c", FLOW_RUN, HERE / "run"], env=environ)
        (HERE / "running").touch()
    if child is not None and child.poll() is not None:
        (HERE / "ended").touch()
    time.sleep(0.01)
sys.exit(int((HERE / "exit").read_text()))
"""


class Machine:
    """A machine that runs the launcher, with a Fly and a server."""

    def __init__(self, folder, variables, machine_api):
        self.here, self.api = folder / "scene", machine_api
        self.here.mkdir()
        (folder / "code").mkdir()
        (folder / "code" / "command.py").write_text(COMMAND)
        package = folder / "site" / f"prefect-{PREFECT}.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text(f"Name: prefect\nVersion: {PREFECT}\n")
        self.port = free_port()
        self.process = None
        self.variables = {
            **os.environ,
            **variables,
            **machine_api.environ,
            "ROOST_FLOW_COMMAND": json.dumps([sys.executable, "command.py"]),
            "ROOST_FLOW_PORT": str(self.port),
            "SCENE": str(self.here),
            "PYTHONPATH": f"{folder / 'site'}:{DEPLOY}",
            "TMPDIR": str(folder),
        }

    def start(self, **variables):
        """Start the launcher."""
        self.process = subprocess.Popen(
            [sys.executable, str(DEPLOY / "flows" / "flow_server.py")],
            env={**self.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def up(self, **variables):
        """Start the launcher and wait for its command."""
        self.start(**variables)
        until(lambda: self.has("started") or self.process.poll() is not None)
        return self

    def has(self, name):
        """Return whether the command left that file."""
        return (self.here / name).exists()

    def end(self):
        """Wait for its end; return the exit code and the log."""
        log, _ = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, log

    def reasons(self):
        """Return why it ended, as the machine's metadata has it."""
        return [json.loads(body["value"]) for body in self.api.bodies]


@pytest.fixture
def machine(tmp_path, variables, machine_api):
    found = Machine(tmp_path, variables, machine_api)
    yield found
    if found.process and found.process.poll() is None:
        found.process.send_signal(signal.SIGTERM)
        (found.here / "run").unlink(missing_ok=True)
        found.end()


def test_the_command_runs_in_the_users_folder_with_the_header_of_this_start(machine, server):
    machine.up()

    seen = json.loads((machine.here / "started").read_text())
    caller = json.loads(seen["PREFECT_CLIENT_CUSTOM_HEADERS"])["X-Roost-Flow-Server"]
    assert caller == server.callers[0] == f"nightly/{seen['ROOST_FLOW_BOOT']}"
    assert seen["PREFECT_HOME"] == str(Path(machine.variables["TMPDIR"]) / "prefect")
    assert [path for _, path, _ in server.calls] == ["/admin/version", "online", "record"]


def test_a_stop_lets_the_flow_run_end_and_keeps_the_schedule(machine, server):
    server.record = {"deployments": [{"id": "d1"}]}
    server.paused = {"d1": False}
    machine.up()
    (machine.here / "run").touch()
    until(lambda: machine.has("running"))

    machine.process.send_signal(signal.SIGINT)
    until(lambda: server.called("drain"))
    assert not machine.has("paused")
    (machine.here / "run").unlink()
    code, log = machine.end()

    assert code == 0
    assert machine.has("ended")
    assert machine.has("paused")
    assert server.paused == {"d1": False}
    assert "resumed 1 deployments" in log
    assert machine.reasons() == []


@pytest.mark.parametrize(("code", "expected"), [("0", 1), ("3", 3)])
def test_a_command_that_ends_by_itself_ends_the_machine_as_a_failure(machine, code, expected):
    (machine.here / "exit").write_text(code)

    ended, log = machine.up().end()

    assert ended == expected
    assert f"ended by itself with {code}. Look at the machine's log" in log
    (reason,) = machine.reasons()
    assert reason["version"] == "01V"
    assert reason["error"] in log


def test_a_command_that_was_killed_may_have_needed_more_memory(machine):
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]

    code, log = machine.start(ROOST_FLOW_COMMAND=json.dumps(command)).end()

    assert code == 137
    assert "machine.memory_mb" in log


@pytest.mark.parametrize("command", [["no-such-program"], ["/"]])
def test_a_command_that_cannot_be_started_is_named(machine, command):
    code, _ = machine.start(ROOST_FLOW_COMMAND=json.dumps(command)).end()

    assert code == 1
    assert f"the command {command[0]!r} cannot be started" in machine.reasons()[0]["error"]


def refused(machine, words):
    """The machine ended before its command, with that reason, and without the login anywhere."""
    code, log = machine.end()
    (reason,) = machine.reasons()

    assert code == 1
    assert not machine.has("started")
    assert words in reason["error"]
    assert reason["error"] in log
    assert "s3cret" not in log + reason["error"]


def test_a_wrong_login_is_refused_once(machine, server):
    server.login = "admin:another"

    refused(machine.start(), "refuses the login (status 401)")
    assert len(server.calls) == 1


def test_a_server_without_flow_servers_is_refused(machine, server):
    server.statuses["online"] = [404]

    refused(machine.start(), "no Roost server with flow servers")


@pytest.mark.parametrize(("version", "words"), [("3.8.8", "is newer"), ("4.0.0", "major")])
def test_a_prefect_that_does_not_fit_fences_no_earlier_start(machine, server, version, words):
    server.version = version

    refused(machine.start(), words)
    assert server.called("online") == []


def test_a_variable_that_is_missing_is_named(machine):
    refused(machine.start(ROOST_FLOW_SERVER=""), "ROOST_FLOW_SERVER must be")


def test_a_server_that_wakes_slowly_is_waited_for(machine, server):
    server.statuses["/admin/version"] = [503, 502, 200]

    machine.up()

    assert machine.has("started")
    assert len(server.called("/admin/version")) == 3


@pytest.mark.parametrize("status", [422, 503])
def test_a_server_that_does_not_say_what_is_due_holds_nothing_up(machine, server, status):
    server.record = {"deployments": [{"id": "d1"}]}
    server.paused = {"d1": False}
    server.statuses["/flow_runs/filter"] = [status]

    assert machine.up().has("started")


def test_a_stop_while_it_waits_for_the_server_ends_it(machine, server):
    server.statuses["/admin/version"] = [503]
    machine.start()
    until(lambda: server.calls)

    machine.process.send_signal(signal.SIGTERM)

    assert machine.end()[0] == 0


def test_a_canary_that_fails_stops_everything(machine, server):
    """There is no Prefect here."""
    server.canary = True

    refused(machine.start(), "the canary flow ended with 1")
    assert server.called("canary") == []


@pytest.mark.slow
def test_a_newer_start_ends_this_one_and_its_flow_run(machine, server):
    machine.up()
    (machine.here / "run").touch()
    until(lambda: machine.has("running"))
    boot = json.loads((machine.here / "started").read_text())["ROOST_FLOW_BOOT"]
    assert Processes(boot).flow_runs() == {"r1"}
    server.statuses = {"record": [409]}

    code, log = machine.end()

    assert code == 1
    assert "the server ended this start of the flow server nightly" in log
    assert Processes(boot).pids() == []


@pytest.mark.slow
def test_a_server_that_was_restored_gets_to_know_it_again(machine, server):
    machine.up()
    server.statuses = {"record": [404, 200]}

    until(lambda: len(server.called("online")) == 2)

    first, again = server.called("online")
    assert first == again


def test_an_idle_machine_asks_fly_to_suspend_it(machine, server):
    machine.up(ROOST_IDLE_AFTER_S="0")

    until(lambda: machine.api.asked)
    assert machine.api.asked[0] == ("POST", "/v1/apps/acme/machines/m1/suspend")
    assert server.called("drain") == [{"draining": True}]


def test_a_start_waits_for_a_run_that_it_would_make_the_server_forget(machine, server):
    server.record = {"deployments": [{"id": "d1"}]}
    given = []
    answer = server.answer

    def soon(verb, path, body):
        """Answer that a run is due in a moment from now, however long the launcher took so far."""
        if path == "/flow_runs/filter" and not given:
            given.append(datetime.now(UTC) + timedelta(seconds=0.5))
            at = given[0].isoformat()
            return 200, [{"auto_scheduled": True, "next_scheduled_start_time": at}]
        return answer(verb, path, body)

    server.answer = soon
    machine.up()

    started = (machine.here / "started").stat().st_mtime
    assert started >= given[0].timestamp()
