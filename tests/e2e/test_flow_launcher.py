"""A flow server's image with the real Prefect: its launcher announces itself, runs flows, and stops."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest

from helpers.machine_api import serving
from helpers.prefect_process import LOGIN, PrefectProcess, free_port
from helpers.waiting import LIMIT_S, until
from localfly.images.builder import Images
from roost.environment.flow_folder import read_flow_folder
from roost.plan.image import flow_image_parts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DEPLOY, EXAMPLE = ROOT / "deploy", "examples/flows/nightly"
DEPLOYMENTS = ["by-hand", "nightly"]


@pytest.fixture(scope="module")
def flow_image(image_cache, tmp_path_factory):
    """The image of the example, which leaves it to the launcher to keep its schedules."""
    folder = tmp_path_factory.mktemp("flows")
    for name, content in flow_image_parts(DEPLOY, read_flow_folder(ROOT, EXAMPLE)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    program = folder / "code" / "serve_flows.py"
    text = program.read_text("utf-8")
    assert text.count("        pause_on_shutdown=False,\n") == 1
    program.write_text(text.replace("        pause_on_shutdown=False,\n", ""), "utf-8")
    ref = "registry.fly.io/acme-nightly:test"
    return asyncio.run(Images(image_cache).build(folder, "1.0", ref)).image


@pytest.fixture
def server(image, tmp_path):
    """A Prefect server of the test's own."""
    with PrefectProcess(image, tmp_path / "server") as found:
        yield found


class FlowMachine:
    """A machine that runs the image's command."""

    def __init__(self, image, folder, server, api):
        self.image, self.log_file, self.process = image, folder / "log", None
        (folder / "tmp").mkdir(parents=True)
        self.environ = {
            "PATH": f"{image.bin}:/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            **image.env,
            **api.environ,
            "IMAGE_ROOT": str(image.folder),
            "FLY_MACHINE_VERSION": "01V",
            "PREFECT_API_URL": f"{server.url}/api",
            "PREFECT_API_AUTH_STRING": LOGIN,
            "ROOST_FLOW_SERVER": "nightly",
            "ROOST_FLOW_COMMAND": json.dumps(["python", "serve_flows.py"]),
            "ROOST_FLOW_HOST": "127.0.0.1",
            "ROOST_IDLE_ACTION": "suspend",
            "ROOST_IDLE_AFTER_S": "3600",
            "ROOST_STOP_LIMIT_S": "60",
            "ROOST_MISSED": "run_latest",
        }

    def start(self, **variables):
        """Start the machine on a free port."""
        port = free_port()
        own = {"ROOST_FLOW_PORT": str(port), "ROOST_FLOW_ADDRESS": f"http://127.0.0.1:{port}"}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                # A shell starts what it runs in the background with SIGINT ignored.
                ["env", "--default-signal=INT", *self.image.command],
                env={**self.environ, **own, **variables},
                cwd=self.image.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def log(self):
        """Return all that it has written."""
        return self.log_file.read_text("utf-8", "replace")

    def stop(self, number=signal.SIGTERM):
        """Stop it as Fly does, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


@pytest.fixture
def machine(flow_image, server, tmp_path):
    with serving(tmp_path / "api.sock") as api:
        found = FlowMachine(flow_image, tmp_path / "machine", server, api)
        found.api = api
        yield found
        if found.process and found.process.poll() is None:
            found.stop()


def ask(http, verb, path, body=None):
    return http.request(verb, path, json=body).raise_for_status().json()


def deployments(http):
    """The deployments by name, when both are registered."""
    found = {each["name"]: each for each in ask(http, "POST", "/deployments/filter", {})}
    return found if sorted(found) == DEPLOYMENTS else None


def record(http):
    url = f"{str(http.base_url).removesuffix('/api/')}/roost/flow-servers/nightly"
    return http.get(url).raise_for_status().json()


def run_by_hand(http, served):
    body = {"state": {"type": "SCHEDULED"}}
    path = f"/deployments/{served['by-hand']['id']}/create_flow_run"
    return ask(http, "POST", path, body)["id"]


def scheduled_runs(http):
    """The ids of the runs that wait for their time."""
    runs = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    found = ask(http, "POST", "/flow_runs/filter", {"flow_runs": runs})
    return sorted(each["id"] for each in found)


def state(http, run):
    return ask(http, "GET", f"/flow_runs/{run}")["state_type"]


def logs(http, run):
    body = {"logs": {"flow_run_id": {"any_": [run]}}}
    return [each["message"] for each in ask(http, "POST", "/logs/filter", body)]


def test_a_flow_server_comes_online_with_a_canary_runs_flows_and_stops(machine, server):
    machine.start(PREFECT_API_AUTH_STRING="admin:wrong")
    assert machine.process.wait(LIMIT_S) == 1
    (body,) = machine.api.bodies
    assert "refuses the login (status 401)" in json.loads(body["value"])["error"]

    machine.start()
    with server.http() as http:
        served = until(lambda: deployments(http))
        (canary,) = ask(http, "POST", "/flow_runs/filter", {})
        assert (canary["name"], canary["state_type"]) == ("roost-canary-01V", "COMPLETED")
        assert canary["tags"] == ["roost"]
        assert "roost canary of nightly, version 01V" in logs(http, canary["id"])

        run = run_by_hand(http, served)
        until(lambda: state(http, run) == "COMPLETED")
        # Logs are sent every 2 s, and by the end of the flow's process at the latest.
        until(lambda: "rebuilt everything since 2026-01-01" in "\n".join(logs(http, run)))
        known = record(http)
        assert sorted(each["name"] for each in known["deployments"]) == DEPLOYMENTS

        scheduled = until(lambda: scheduled_runs(http))
        assert machine.stop() == 0
        assert scheduled_runs(http) == scheduled
        assert [each["paused"] for each in deployments(http).values()] == [False, False]
        assert record(http)["draining"]
        assert "Traceback" not in machine.log()

        # The same version again: no canary, and it gets work.
        machine.start()
        run = run_by_hand(http, served)
        until(lambda: state(http, run) == "COMPLETED")
        names = [each["name"] for each in ask(http, "POST", "/flow_runs/filter", {})]
        assert names.count("roost-canary-01V") == 1
        assert machine.api.bodies == [body]
