"""A run starts on time while everything sleeps but the waker, which is restarted in between."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers.prefect_site import IDLE_S, NAME, PrefectSite
from helpers.waiting import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "flows" / "nightly"
FLOWS, WAKER = "/apps/acme-prefect-nightly", "/apps/acme-waker"
ENTRY = {
    "name": "nightly",
    "path": "flows/nightly",
    "command": ["python", "serve_flows.py"],
    "idle_after": f"{IDLE_S}s",
    "stop_limit": "20s",
    # Its sockets close at once: the server does not have to find out that they are dead.
    "autostop": "stop",
}
FAR = timedelta(seconds=120)
"""Beyond what both take to fall asleep, and the minute that keeps them awake."""

ROUNDED = timedelta(seconds=0.5)
"""Prefect rounds how long a run has to wait to whole seconds, so that it may begin a little early."""


@pytest.fixture
def site(tmp_path, image_cache):
    """A server, a flow server and a waker, brought up by one apply."""
    found = PrefectSite(tmp_path, image_cache)
    shutil.copytree(EXAMPLE, tmp_path / "flows" / "nightly")
    try:
        yield found.start(flows=[ENTRY], waker={"app": "acme-waker"}).bring_up()
    finally:
        found.daemon.clean()


def machine_of(site, app):
    [machine] = site.daemon.call("GET", f"{app}/machines")
    return machine


def sleeps(site, app="/apps/acme-prefect"):
    return machine_of(site, app)["state"] in {"suspended", "stopped"}


def announced(site):
    """Return the time that the waker keeps for the server, if any."""
    kept = machine_of(site, WAKER)["config"]["metadata"].get("roost_wake_acme-prefect")
    return kept and datetime.fromisoformat(json.loads(kept)["at"])


def schedule(site, at):
    """Have a run of the example be due at a time; return its id."""
    deployments = site.ask("POST", "/deployments/filter", {}).json()
    deployment = next(each for each in deployments if each["name"] == "by-hand")
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}}
    path = f"/deployments/{deployment['id']}/create_flow_run"
    return site.ask("POST", path, {"state": state}).json()["id"]


@pytest.mark.slow
def test_a_run_starts_on_time_while_all_but_the_waker_sleep(site):
    at = datetime.now(UTC) + FAR
    run = schedule(site, at)
    until(lambda: sleeps(site, FLOWS) and sleeps(site) and announced(site) == at)
    shown = site.roost.json("status", NAME, "--local")

    # Killed and started again, it knows from its metadata alone whom to wake.
    waker = machine_of(site, WAKER)["id"]
    site.daemon.call("POST", f"{WAKER}/machines/{waker}/stop", {"signal": "SIGKILL"})
    site.daemon.wait(WAKER, waker, "stopped")
    site.daemon.call("POST", f"{WAKER}/machines/{waker}/start")

    until(lambda: not sleeps(site))
    found = until(lambda: ended(site, run))
    late = datetime.fromisoformat(found["start_time"]) - at
    print(f"started {late.total_seconds():.1f} s after it was due")  # noqa: T201 - the figure of docs/schedules.md
    assert found["state_type"] == "COMPLETED"
    assert late >= -ROUNDED
    assert shown["next_due"]["at"] == at.isoformat().replace("+00:00", "Z")
    assert shown["waker"] == {"at": shown["next_due"]["at"], "error": ""}
    # The waker did it, and nobody else: it holds the next time by the next sleep.
    until(lambda: sleeps(site) and announced(site) != at)


def ended(site, run):
    found = site.ask("GET", f"/flow_runs/{run}").json()
    return found if found["end_time"] else None
