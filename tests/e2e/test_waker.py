"""Two projects' runs start on time while everything sleeps but the waker, which is restarted in between."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers.prefect_site import APP, IDLE_S, NAME, PrefectSite
from helpers.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples" / "flows"
NIGHTLY, REPORTS, WAKER = (
    "/apps/acme-prefect-nightly",
    "/apps/acme-prefect-reports",
    "/apps/acme-waker",
)
PROJECTS = {"nightly": NIGHTLY, "reports": REPORTS}
ENTRIES = [
    {
        "name": name,
        "path": f"flows/{name}",
        "command": ["python", "serve_flows.py"],
        "idle_after": f"{IDLE_S}s",
        "stop_limit": "20s",
        # Its sockets close at once: the server does not have to find out that they are dead.
        "autostop": "stop",
    }
    for name in PROJECTS
]
FAR, APART = timedelta(seconds=120), timedelta(seconds=30)
"""The first run is beyond what all take to fall asleep, and the minute that keeps them awake."""

EARLY = timedelta(seconds=10)
"""A flow server is requested 5 s before its run; the server looks every 2 s."""

ROUNDED = timedelta(seconds=0.5)
"""Prefect rounds how long a run has to wait to whole seconds, so that it may begin a little early."""


@pytest.fixture
def site(tmp_path, image_cache):
    """A server, the flow servers of two projects and a waker, brought up by one apply."""
    found = PrefectSite(tmp_path, image_cache)
    shutil.copytree(EXAMPLES, tmp_path / "flows")
    try:
        yield found.start(flows=ENTRIES, waker={"app": "acme-waker"}).bring_up()
    finally:
        found.daemon.clean()


def machine_of(site, app):
    [machine] = site.daemon.call("GET", f"{app}/machines")
    return machine


def sleeps(site, app=APP):
    return machine_of(site, app)["state"] in {"suspended", "stopped"}


def all_sleep(site):
    return all(sleeps(site, app) for app in (*PROJECTS.values(), APP))


def started_at(site, app):
    """Return when a machine was started last."""
    events = machine_of(site, app)["events"]
    newest = next(each for each in events if (each["type"], each["status"]) == ("start", "started"))
    return datetime.fromtimestamp(newest["timestamp"] / 1000, UTC)


def announced(site):
    """Return the time that the waker keeps for the server, if any."""
    kept = machine_of(site, WAKER)["config"]["metadata"].get("roost_wake_acme-prefect")
    return kept and datetime.fromisoformat(json.loads(kept)["at"])


def start_run(site, name, at=None):
    """Start a run of a deployment of the examples, or have it be due at a time; return its id."""
    deployments = site.ask("POST", "/deployments/filter", {}).json()
    deployment = next(each for each in deployments if each["name"] == name)
    state = at and {"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}}
    path = f"/deployments/{deployment['id']}/create_flow_run"
    return site.ask("POST", path, {"state": state} if state else {}).json()["id"]


@pytest.mark.slow
def test_the_runs_of_two_projects_start_on_time_while_all_but_the_waker_sleep(site):
    at = datetime.now(UTC) + FAR
    nightly = start_run(site, "nightly", at + APART)
    reports = start_run(site, "office-hours", at)
    until(lambda: all_sleep(site) and announced(site) == at)
    shown = site.roost.json("status", NAME, "--local")

    # Killed and started again, it knows from its metadata alone whom to wake.
    waker = machine_of(site, WAKER)["id"]
    site.daemon.call("POST", f"{WAKER}/machines/{waker}/stop", {"signal": "SIGKILL"})
    site.daemon.wait(WAKER, waker, "stopped")
    site.daemon.call("POST", f"{WAKER}/machines/{waker}/start")

    until(lambda: not sleeps(site))
    expect_on_time(site, reports, at)
    expect_on_time(site, nightly, at + APART)
    assert shown["next_due"]["at"] == at.isoformat().replace("+00:00", "Z")
    assert shown["waker"] == {"at": shown["next_due"]["at"], "error": ""}
    # Each project was woken for its own run only.
    assert at - EARLY <= started_at(site, REPORTS)
    assert at + APART - EARLY <= started_at(site, NIGHTLY)
    # The waker did it, and nobody else: it holds the next time by the next sleep.
    until(lambda: all_sleep(site) and announced(site) not in {at, at + APART})

    woken = started_at(site, REPORTS)
    expect_completed(site, start_run(site, "by-hand"))
    assert started_at(site, REPORTS) == woken


def expect_on_time(site, run, at):
    found = expect_completed(site, run)
    late = datetime.fromisoformat(found["start_time"]) - at
    print(f"started {late.total_seconds():.1f} s after it was due")  # noqa: T201 - the figure of docs/schedules.md
    assert late >= -ROUNDED


def expect_completed(site, run):
    """Wait for the end of a run that is executed once, and return the run."""
    found = until(lambda: ended(site, run))
    assert (found["state_type"], found["run_count"]) == ("COMPLETED", 1)
    return found


def ended(site, run):
    found = site.ask("GET", f"/flow_runs/{run}").json()
    return found if found["end_time"] else None
