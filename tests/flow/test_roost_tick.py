"""On a local Fly, a tick wakes the sleeping server that has a run due, and lets the other sleep."""

from __future__ import annotations

import json

import pytest

from helpers.due_runs import next_due
from helpers.small_server import NAME, SMALL, SMALL_PREFECT
from roost.plan.next_due import NEXT_DUE_KEY

pytestmark = pytest.mark.slow

LATER = "later"
PREFECT = {"version": SMALL_PREFECT, "image": SMALL}
# It sleeps when it is put to sleep, and at no other time.
SLEEPY = {"autostop": "suspend", "idle_after": "1h"}


def leave(site, app, **far):
    """Leave in the machine of an app what a server leaves there for a run so far from now."""
    [machine] = site.daemon.call("GET", f"/apps/{app}/machines")
    due = json.dumps(next_due(**far))
    path = f"/apps/{app}/machines/{machine['id']}"
    site.daemon.call("POST", f"{path}/metadata/{NEXT_DUE_KEY}", {"value": due}, expect=204)


def state(site, app):
    [machine] = site.daemon.call("GET", f"/apps/{app}/machines")
    return machine["state"]


def test_who_has_a_run_due_is_woken_and_who_has_a_later_one_sleeps_on(site):
    due, later = site.name, f"{site.name}-later"
    for name, app in ((NAME, due), (LATER, later)):
        site.roost.write(name, app=app, prefect=PREFECT, scaling=SLEEPY)
        site.roost.run("apply", name, "--local")
        site.roost.run("sleep", name, "--local")
    leave(site, due, minutes=-2)
    leave(site, later, hours=2)

    asked = site.roost.run("status", NAME, "--local").stdout
    first = site.roost.json("tick", "--all", "--local")
    second = site.roost.json("tick", NAME, LATER, "--local")

    assert "To start it now: ./run roost wake demo --local." in asked
    found = {one["environment"]: one for one in first["environments"]}
    assert {name: one["decision"] for name, one in found.items()} == {NAME: "due", LATER: "later"}
    assert found[NAME]["woken_s"] > 0
    assert found[NAME]["late_s"] >= 120
    assert (state(site, due), state(site, later)) == ("started", "suspended")
    again = {one["environment"]: one["decision"] for one in second["environments"]}
    assert again == {NAME: "awake", LATER: "later"}
