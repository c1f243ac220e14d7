"""Flows run on the local Fly from a folder of a repository, and everything sleeps in between."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers.prefect_site import IDLE_S, NAME, PrefectSite
from helpers.waiting import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "flows" / "nightly"
FLOWS = "/apps/acme-prefect-nightly"
# Nobody listens there: what is private on Fly is reached without the proxy, or not at all.
PROXIED = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
ENTRY = {
    "name": "nightly",
    "path": "flows/nightly",
    "command": ["python", "serve_flows.py"],
    "idle_after": f"{IDLE_S}s",
    "stop_limit": "20s",
    "environment": PROXIED,
}


def deployment(site, name):
    """Return a deployment of the example."""
    found = site.ask("POST", "/deployments/filter", {}).json()
    return next(each for each in found if each["name"] == name)


def log_of(site, run):
    """Return the lines of a run's log at the server."""
    chosen = {"logs": {"flow_run_id": {"any_": [run]}}}
    return [line["message"] for line in site.ask("POST", "/logs/filter", chosen).json()]


def flow_state(site):
    """Return the state of the flow server's machine."""
    [machine] = site.daemon.call("GET", f"{FLOWS}/machines")
    return machine["state"]


def are_asleep(site):
    """Return whether both machines sleep."""
    return {site.state, flow_state(site)} <= {"suspended", "stopped"}


@pytest.fixture
def bring_up(tmp_path, image_cache):
    """Brings up a server and a flow server with the example's folder, by one apply."""
    site = PrefectSite(tmp_path, image_cache)
    shutil.copytree(EXAMPLE, tmp_path / "flows" / "nightly")
    try:
        yield lambda **fields: site.start(
            flows=[{**ENTRY, **fields}], environment=PROXIED
        ).bring_up()
    finally:
        site.daemon.clean()


@pytest.fixture
def flows_site(bring_up):
    """A server and a flow server that serves the example's flows."""
    return bring_up()


@pytest.mark.slow
def test_a_run_from_the_ui_completes_while_both_sleep(flows_site):
    """One apply deploys both; then a person presses Run, and does nothing else."""
    site = flows_site
    until(lambda: are_asleep(site))

    run = site.ask(
        "POST", f"/deployments/{deployment(site, 'by-hand')['id']}/create_flow_run", {}
    ).json()["id"]

    until(lambda: site.ask("GET", f"/flow_runs/{run}").json()["state_type"] == "COMPLETED")
    # A run is Completed before its process has sent its last logs.
    until(lambda: any("rebuilt everything" in line for line in log_of(site, run)))
    until(lambda: are_asleep(site))
    assert site.roost.json("plan", NAME, "--local")["flows"][0]["steps"] == []


FAR = timedelta(seconds=210)
"""Beyond what both take to fall asleep, also on a busy computer, and the minute that keeps them awake."""


@pytest.mark.slow
def test_a_tick_wakes_both_for_a_run_that_is_due_and_not_before(flows_site):
    """The server leaves the time when it sleeps; from there on only the tick asks, and only Fly."""
    site = flows_site
    at = datetime.now(UTC) + FAR
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}}
    path = f"/deployments/{deployment(site, 'by-hand')['id']}/create_flow_run"
    run = site.ask("POST", path, {"state": state}).json()["id"]
    until(lambda: are_asleep(site))

    shown = site.roost.json("status", NAME, "--local")
    early = site.roost.json("tick", NAME, "--local")["environments"][0]
    slept_on = are_asleep(site)
    woken = until(lambda: woken_by_a_tick(site))

    assert shown["next_due"]["deployment"] == "rebuild/by-hand"
    assert shown["next_due"]["flow_server"] == "nightly"
    assert (early["decision"], early["due"], slept_on) == ("later", shown["next_due"], True)
    assert woken["due"] == shown["next_due"]
    until(lambda: flow_state(site) == "started")
    until(lambda: site.ask("GET", f"/flow_runs/{run}").json()["state_type"] == "COMPLETED")
    until(lambda: are_asleep(site))
    after = site.roost.json("status", NAME, "--local")
    assert after["next_due"]["deployment"] == "nightly-report/nightly"


def woken_by_a_tick(site):
    """Tick, and return what it did once it woke the server."""
    [found] = site.roost.json("tick", NAME, "--local")["environments"]
    assert found["decision"] in {"later", "due"}, found
    return found if found["woken_s"] is not None else None


WORKER = ["prefect", "worker", "start", "--pool", "nightly", "--type", "process"]
IN_THE_FOLDER = {
    "prefect.deployments.steps.set_working_directory": {"directory": "{{ $IMAGE_ROOT }}/code"}
}


@pytest.mark.slow
def test_a_worker_runs_what_is_due_in_its_pool(bring_up):
    """The flow server is woken for a pool as for deployments that it serves itself."""
    site = bring_up(command=WORKER)
    wanted = {
        "name": "worked",
        "flow_id": site.ask("POST", "/flows/", {"name": "rebuild"}).json()["id"],
        "work_pool_name": "nightly",
        "entrypoint": "serve_flows.py:rebuild",
        "pull_steps": [IN_THE_FOLDER],
    }
    deployed = site.ask("POST", "/deployments/", wanted).json()["id"]
    until(lambda: are_asleep(site))

    run = site.ask("POST", f"/deployments/{deployed}/create_flow_run", {}).json()["id"]

    until(lambda: site.ask("GET", f"/flow_runs/{run}").json()["end_time"])
    assert site.ask("GET", f"/flow_runs/{run}").json()["state_type"] == "COMPLETED"
    until(lambda: are_asleep(site))
