"""Flow servers of a real Prefect server: known by their polls, woken, drained, fenced, settled."""

from __future__ import annotations

import http.server
import json
import secrets
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from helpers.machine_api import serving
from helpers.postgres import find_programs, postgres_server
from helpers.prefect_process import LOGIN
from helpers.process_trees import end_tree
from helpers.waiting import until
from roost_server.flow_servers import FlowServer, from_json

# The first attempt never ends; the second one does.
SERVED = """
import time
from pathlib import Path
from prefect import flow

begun = Path(__file__).with_name("begun")

@flow(retries=1, log_prints=True)
def hello():
    if not begun.exists():
        begun.touch()
        time.sleep(3600)
    print("hello from Fly")

if __name__ == "__main__":
    hello.serve(name="nightly", pause_on_shutdown=False)
"""

PROGRAMS = find_programs()

pytestmark = pytest.mark.slow


@contextmanager
def listening():
    """An address where a flow server would be; remembers who asked for it."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Keep the test's output free of it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", asked=asked)
        finally:
            server.shutdown()
            thread.join()


class Launcher:
    """Speaks to the server as one start of a flow server's launcher does."""

    def __init__(self, http, boot, address="http://127.0.0.1:9"):
        self.http, self.boot, self.address = http, boot, address
        self.headers = {"X-Roost-Flow-Server": f"nightly/{boot}"}

    def call(self, method, what="", **body):
        """Call an endpoint of the flow server."""
        url = f"{str(self.http.base_url).removesuffix('/api/')}/roost/flow-servers/nightly{what}"
        return self.http.request(method, url, json=body or None, headers=self.headers)

    def online(self, version="v1", **more):
        """Come online."""
        body = {"boot": self.boot, "version": version, "address": self.address, "prefect": "3.9.1"}
        return self.call("POST", "/online", **body, missed="run_latest", **more)

    def record(self):
        """Read the record."""
        return self.call("GET").raise_for_status().json()

    def poll(self, *deployments):
        """Ask for work as a runner does; return the ids of the runs."""
        body = {"deployment_ids": list(deployments), "scheduled_before": after(10)}
        path = "/deployments/get_scheduled_flow_runs"
        found = self.http.post(path, json=body, headers=self.headers)
        return [run["id"] for run in found.raise_for_status().json()]

    def poll_pool(self, pool, *queues):
        """Ask for work as a worker does."""
        path, body = f"/work_pools/{pool}/get_scheduled_flow_runs", {"work_queue_names": queues}
        self.http.post(path, json=body, headers=self.headers).raise_for_status()

    def set_state(self, run, kind):
        """Propose a state of a run, as who executes it does."""
        path, body = f"/flow_runs/{run}/set_state", {"state": {"type": kind}}
        return self.http.post(path, json=body, headers=self.headers)


def after(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def deploy(http):
    """Make a deployment; return its id."""
    flow = http.post("/flows/", json={"name": "hello"}).json()["id"]
    made = http.post("/deployments/", json={"name": "nightly", "flow_id": flow})
    return made.raise_for_status().json()["id"]


def begin_run(http, deployment, retries=None, due_s=0.0, retry_delay=3600, **more):
    """Make a run of a deployment; return its id."""
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": after(due_s)}}
    policy = {"retries": retries, "retry_delay": retry_delay}
    body = {"state": state, "empirical_policy": policy, **more}
    made = http.post(f"/deployments/{deployment}/create_flow_run", json=body)
    return made.raise_for_status().json()["id"]


def begin_subflow(http, parent, state):
    """Make a subflow of a run, as a flow does that calls another; return its id."""
    flow = http.get(f"/flow_runs/{parent}").json()["flow_id"]
    body = {"flow_id": flow, "state": {"type": state}, "parent_task_run_id": stand_in(http, parent)}
    return http.post("/flow_runs/", json=body).raise_for_status().json()["id"]


def stand_in(http, parent):
    """Make the task run that stands for a called run in its parent; return its id."""
    body = {"flow_run_id": parent, "task_key": "hello", "dynamic_key": secrets.token_hex(4)}
    return http.post("/task_runs/", json=body).raise_for_status().json()["id"]


def state_of(http, run):
    return http.get(f"/flow_runs/{run}").raise_for_status().json()["state"]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request):
    """The settings of each kind of database."""
    if request.param == "sqlite":
        yield {}
        return
    if PROGRAMS is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with postgres_server(PROGRAMS) as postgres:
        yield {"ROOST_DATABASE_URL_VARIABLE": "DB_URL", "DB_URL": postgres.url}


def test_a_new_start_takes_over_from_one_that_is_gone(serve, database):
    server = serve(**database)
    with server.http() as api:
        first, second = Launcher(api, "b1"), Launcher(api, "b2")
        assert first.call("GET").status_code == 404
        assert first.online().json()["canary"] is True
        assert first.call("POST", "/canary", version="v1").status_code == 200
        deployment = deploy(api)
        assert first.poll(deployment) == []
        known = first.record()
        assert known["deployments"] == [{"id": deployment, "name": "nightly", "flow": "hello"}]
        states = {}
        for kind, retries in (("RUNNING", None), ("RUNNING", 1), ("PENDING", None)):
            run = begin_run(api, deployment, retries)
            assert run in first.poll(deployment)
            for each in ("PENDING", "RUNNING")[: 1 if kind == "PENDING" else 2]:
                assert first.set_state(run, each).json()["status"] == "ACCEPT"
            states[run] = {(None, "RUNNING"): "Crashed"}.get((retries, kind), "AwaitingRetry")
        cancelled = begin_run(api, deployment)
        first.set_state(cancelled, "RUNNING")
        api.post(f"/flow_runs/{cancelled}/set_state", json={"state": {"type": "CANCELLING"}})
        states[cancelled] = "Cancelled"
        of_another = begin_run(api, deployment)
        api.post(f"/flow_runs/{of_another}/set_state", json={"state": {"type": "RUNNING"}})
        states[of_another] = "Running"
        # Somebody else executes it already, so a refused claim must not make it ours.
        assert first.set_state(of_another, "PENDING").json()["status"] != "ACCEPT"
        # A flow calls one that calls a third, in one process; only the first is known to be ours.
        called = begin_subflow(api, next(iter(states)), "RUNNING")
        states |= dict.fromkeys((called, begin_subflow(api, called, "PENDING")), "Crashed")
        # Started by a flow with run_deployment: it has a process of its own.
        child = begin_run(
            api, deployment, retries=1, parent_task_run_id=stand_in(api, next(iter(states)))
        )
        first.set_state(child, "RUNNING")
        states[child] = "AwaitingRetry"
        # Its process waits for the time of its next attempt.
        between = begin_run(api, deployment, retries=1)
        first.set_state(between, "RUNNING")
        assert first.set_state(between, "FAILED").json()["state"]["name"] == "AwaitingRetry"
        states[between] = "AwaitingRetry"
        assert len(first.record()["running"]) == 6
        drained = first.call("POST", "/drain", draining=True).json()
        waiting = begin_run(api, deployment)
        polled = first.poll(deployment)

        assert (drained["draining"], polled) == (True, [])
        server.kill()
        server.start()
        assert first.poll(deployment) == []
        assert second.online().json()["canary"] is False
        assert {run: state_of(api, run)["name"] for run in states} == states
        assert "started again" in state_of(api, cancelled)["message"]
        # A worker's pool hands out no run that its process is to try again.
        policy = api.get(f"/flow_runs/{between}").json()["empirical_policy"]
        assert policy.get("retry_type") != "in_process"
        assert first.set_state(waiting, "PENDING").status_code == 409
        assert first.call("GET").status_code == 409
        assert waiting in second.poll(deployment)
        assert second.record()["running"] == []
        assert Launcher(api, "b3").call("GET").status_code == 200


def test_what_is_due_while_it_sleeps_wakes_it_and_then_the_server(serve, tmp_path):
    with listening() as flow_server, serving(tmp_path / "api.sock") as fly:
        settings = {"ROOST_IDLE_ACTION": "stop", "ROOST_IDLE_AFTER_S": "1"}
        server = serve(**settings, **fly.environ)
        with server.http() as api:
            launcher = Launcher(api, "b1", flow_server.url)
            launcher.online()
            deployment = deploy(api)
            launcher.poll(deployment)
            launcher.call("POST", "/drain", draining=True)
            late = begin_run(api, deployment, due_s=7200)
            # The first stops may come before anything is known; then one follows what is left for it.
            until(lambda: fly.bodies and fly.asked[-1][1].endswith("/stop"))
            told = [json.loads(body["value"]) for body in fly.bodies]
            assert told[-1]["flow_server"] == "nightly"
            assert told[-1]["deployment"] == "hello/nightly"
            assert launcher.record()["due"] == told[-1]["at"]
            assert flow_server.asked == []

            begin_run(api, deployment)
            until(lambda: flow_server.asked)
            until(lambda: "stays awake: the run" in server.log())

            assert flow_server.asked[0] == "/"
            assert state_of(api, late)["type"] == "SCHEDULED"


def overdue(server, api, deployment, count):
    """Make runs of a schedule that are overdue for hours, and a flow server that slept meanwhile."""
    runs = [begin_run(api, deployment, due_s=-3600 * (each + 1)) for each in range(count)]
    server.stop()
    with closing(sqlite3.connect(server.home / "prefect.db")) as database, database:
        database.executemany(
            "UPDATE flow_run SET auto_scheduled = 1 WHERE id = ?", [(run,) for run in runs]
        )
        key = "ROOST_FLOW_SERVER:nightly"
        query = "SELECT value FROM configuration WHERE key = ?"
        record = json.loads(database.execute(query, (key,)).fetchone()[0])
        slept = json.dumps(record | {"polled": time.time() - 7200})
        database.execute("UPDATE configuration SET value = ? WHERE key = ?", (slept, key))
    server.start()
    return runs, from_json(record)


def test_missed_runs_are_skipped_and_a_copy_of_the_database_knows_no_flow_server(serve):
    server = serve(FLY_APP_NAME="acme")
    with server.http() as api:
        launcher = Launcher(api, "b1")
        launcher.online()
        deployment = deploy(api)
        by_hand = begin_run(api, deployment, due_s=-7200)
        launcher.poll(deployment)

        runs, record = overdue(server, api, deployment, 45)

        assert isinstance(record, FlowServer)
        given = launcher.poll(deployment)
        assert set(given) == {runs[0], by_hand}
        states = [state_of(api, run) for run in runs[1:]]
        assert {(state["type"], state["name"]) for state in states} == {("CANCELLED", "Skipped")}
        assert "was due at" in states[0]["message"]
        server.kill()
        server.settings["FLY_APP_NAME"] = "acme-copy"
        server.start()
        assert launcher.call("GET").status_code == 404


def age(server, run):
    """Have a run that ended have done so an hour ago."""
    with closing(sqlite3.connect(server.home / "prefect.db", timeout=60)) as database, database:
        at = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
        database.execute("UPDATE flow_run SET end_time = ? WHERE id = ?", (at, run))


def test_what_lost_its_process_is_ended_and_what_nobody_takes_is_named(serve):
    server = serve()
    with server.http() as api:
        launcher = Launcher(api, "b1")
        launcher.online()
        deployment = deploy(api)
        launcher.poll(deployment)
        # Prefect's runner reports the run whose process was killed, and none that this run called.
        parent = begin_run(api, deployment)
        launcher.set_state(parent, "RUNNING")
        called = begin_subflow(api, parent, "PENDING")
        launcher.set_state(called, "RUNNING")
        inner = begin_subflow(api, called, "RUNNING")
        launcher.set_state(parent, "CRASHED")
        age(server, parent)

        until(lambda: state_of(api, called)["type"] == state_of(api, inner)["type"] == "CRASHED")
        until(lambda: not launcher.record()["running"])

        api.post("/work_pools/", json={"name": "pool", "type": "process"}).raise_for_status()
        api.post("/work_pools/pool/queues", json={"name": "urgent"}).raise_for_status()
        flow = api.get(f"/flow_runs/{parent}").json()["flow_id"]
        body = {"name": "pooled", "flow_id": flow, "work_pool_name": "pool"}
        pooled = api.post("/deployments/", json=body).raise_for_status().json()["id"]
        launcher.poll_pool("pool", "urgent")
        run = begin_run(api, pooled, due_s=-600)
        held = launcher.record()["untaken"]
        launcher.poll_pool("pool")
        both = launcher.record()
        api.patch("/work_pools/pool", json={"is_paused": True}).raise_for_status()
        paused = launcher.record()["untaken"]

        [named] = held
        assert (named["run"], named["deployment"]) == (run, "hello/pooled")
        assert named["why"] == "its queue default of pool is not polled, only urgent"
        assert (both["untaken"], both["overdue"]) == ([], 1)
        assert [each["why"] for each in paused] == ["its work pool pool is paused"]

        # Its command is a worker now: what it served before waits for nobody.
        api.patch("/work_pools/pool", json={"is_paused": False}).raise_for_status()
        second = Launcher(api, "b2")
        second.online()
        second.poll_pool("pool")
        left = begin_run(api, deployment, due_s=-600)
        changed = second.record()
        second.poll(deployment)
        assert [each["run"] for each in changed["untaken"]] == [left]
        assert changed["untaken"][0]["why"].startswith(
            "the flow server serves its deployment no more"
        )
        assert second.record()["untaken"] == []


class Runner:
    """A process of a flow server that serves a flow, with the header of one start."""

    def __init__(self, server, image, folder):
        self.server, self.image, self.folder = server, image, folder
        self.script, self.log_file = folder / "serve_flows.py", folder / "runner.log"
        self.script.write_text(SERVED)

    @contextmanager
    def run(self, launcher):
        """Run until the body ends, and then kill it, with the flow that it executes."""
        environ = {
            **{name: self.server.environ()[name] for name in ("PATH", "LANG", "DO_NOT_TRACK")},
            "HOME": str(self.folder),
            "PREFECT_HOME": str(self.folder / "client"),
            "PREFECT_API_URL": f"{self.server.url}/api",
            "PREFECT_API_AUTH_STRING": LOGIN,
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_CLIENT_CUSTOM_HEADERS": json.dumps(launcher.headers),
        }
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                [self.image.bin / "python", self.script],
                env=environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
        finally:
            end_tree(process, f"HOME={self.folder}")


def test_a_run_of_a_killed_flow_server_is_executed_again_by_the_next_one(serve, image, tmp_path):
    server = serve()
    runner = Runner(server, image, tmp_path)
    with server.http() as api:
        first, second = Launcher(api, "b1"), Launcher(api, "b2")
        first.online()
        with runner.run(first):
            known = until(lambda: first.record()["deployments"])
            assert [(each["flow"], each["name"]) for each in known] == [("hello", "nightly")]
            run = begin_run(api, known[0]["id"], retry_delay=0)
            until((tmp_path / "begun").exists)
            assert first.record()["running"] == [run]
            report = api.get(f"{server.url}/roost/report", headers={"X-Roost-Gate": "1"}).json()
            assert report["clients"]["polls_last_minute"] == report["clients"]["sockets"] == 0
            assert report["clients"]["flow_server_sockets"] > 0
            second.online()
            assert first.set_state(run, "RUNNING").status_code == 409
            assert state_of(api, run)["name"] == "AwaitingRetry"
        with runner.run(second):
            until(lambda: state_of(api, run)["type"] == "COMPLETED")
            until(lambda: not second.record()["running"])

        assert api.get(f"/flow_runs/{run}").json()["run_count"] == 2
