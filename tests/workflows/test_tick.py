"""The tick: a sleeping server with a run due is woken by the schedule, where somebody switched that on."""

from __future__ import annotations

import json

import pytest

from helpers.due_runs import next_due
from helpers.workflow_world import PLAN_TOKEN
from roost.plan.next_due import NEXT_DUE_KEY

pytestmark = pytest.mark.workflows


def leave(world, name, **far):
    """Leave in a server's machine what it leaves there for a run so far from now."""
    due = json.dumps(next_due(**far))
    path = f"/apps/{world.app(name)}/machines/{world.machine(name)['id']}"
    world.fly.call("POST", f"{path}/metadata/{NEXT_DUE_KEY}", {"value": due}, expect=204)


def test_the_schedule_wakes_who_has_a_run_due_once_it_is_switched_on(world):
    sleepy = {"scaling": {"autostop": "suspend", "idle_after": "1h"}}
    world.found(staging=sleepy, demo=sleepy)
    assert world.deploy_all().good
    for name, far in (("staging", {"minutes": -2}), ("demo", {"days": 2})):
        assert world.press("server", environment=name, action="sleep").good
        leave(world, name, **far)

    off = world.schedule("tick")
    assert off.jobs == {}
    assert world.machine("staging")["state"] == "suspended"

    world.settings["ROOST_TICK"] = "on"
    # The token that deploys is not there for it: with the one that only reads it does all.
    on = world.schedule("tick")

    assert (on.good, on.jobs) == (True, {"tick": "success"})
    assert "staging: woken in " in on.log
    assert "demo: asleep, the next run is due " in on.log
    assert world.machine("staging")["state"] == "started"
    assert world.machine("demo")["state"] == "suspended"
    assert PLAN_TOKEN not in on.log
