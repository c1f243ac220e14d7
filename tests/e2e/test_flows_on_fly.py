"""Flows run on the local Fly from a folder of a repository, and everything sleeps in between."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.prefect_site import IDLE_S, NAME, PrefectSite
from helpers.waiting import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "flows" / "nightly"
FLOWS = "/apps/acme-prefect-nightly"
ENTRY = {
    "name": "nightly",
    "path": "flows/nightly",
    "command": ["python", "serve_flows.py"],
    "idle_after": f"{IDLE_S}s",
    "stop_limit": "20s",
}


def deployment(site, name):
    """Return a deployment of the example."""
    found = site.ask("POST", "/deployments/filter", {}).json()
    return next(each for each in found if each["name"] == name)


def flow_state(site):
    """Return the state of the flow server's machine."""
    [machine] = site.daemon.call("GET", f"{FLOWS}/machines")
    return machine["state"]


def are_asleep(site):
    """Return whether both machines sleep."""
    return {site.state, flow_state(site)} <= {"suspended", "stopped"}


@pytest.fixture
def flows_site(tmp_path, image_cache):
    """A server and a flow server with the example's flows, brought up by one apply."""
    site = PrefectSite(tmp_path, image_cache)
    shutil.copytree(EXAMPLE, tmp_path / "flows" / "nightly")
    try:
        site.start(flows=[ENTRY]).bring_up()
        yield site
    finally:
        site.daemon.clean()


@pytest.mark.slow
def test_a_run_from_the_ui_completes_while_both_sleep(flows_site):
    """One apply deploys both; then a person presses Run, and does nothing else."""
    site = flows_site
    until(lambda: are_asleep(site))

    run = site.ask(
        "POST", f"/deployments/{deployment(site, 'by-hand')['id']}/create_flow_run", {}
    ).json()["id"]

    until(lambda: site.ask("GET", f"/flow_runs/{run}").json()["state_type"] == "COMPLETED")
    chosen = {"logs": {"flow_run_id": {"any_": [run]}}}
    lines = [line["message"] for line in site.ask("POST", "/logs/filter", chosen).json()]
    assert any("rebuilt everything" in line for line in lines)
    until(lambda: are_asleep(site))
    assert site.roost.json("plan", NAME, "--local")["flows"][0]["steps"] == []
