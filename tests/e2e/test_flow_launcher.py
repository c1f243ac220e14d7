"""A flow server's image with the real Prefect: its launcher announces itself, runs flows, and stops."""

from __future__ import annotations

import json

import pytest

from helpers.flow_machine import EXAMPLE, PROGRAM, ROOT, FlowMachine, build_flow_image
from helpers.machine_api import serving
from helpers.prefect_process import PrefectProcess
from helpers.waiting import LIMIT_S, until

pytestmark = pytest.mark.slow

DEPLOYMENTS = ["by-hand", "nightly"]


@pytest.fixture(scope="module")
def flow_image(image_cache, tmp_path_factory):
    """The image of the example, which leaves it to the launcher to keep its schedules."""
    text = (ROOT / EXAMPLE / PROGRAM).read_text("utf-8")
    assert text.count("        pause_on_shutdown=False,\n") == 1
    program = text.replace("        pause_on_shutdown=False,\n", "")
    return build_flow_image(image_cache, tmp_path_factory.mktemp("flows"), program)


@pytest.fixture
def server(image, tmp_path):
    """A Prefect server of the test's own."""
    with PrefectProcess(image, tmp_path / "server") as found:
        yield found


@pytest.fixture
def machine(flow_image, server, tmp_path):
    with serving(tmp_path / "api.sock") as api:
        found = FlowMachine(flow_image, tmp_path / "machine", server.url, api.environ)
        found.api = api
        yield found
        if found.is_alive:
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
