"""Commands about an environment with windows: tick, status, sleep, plan, rollback and scale."""

from __future__ import annotations

import copy
import json
import re

import pytest

from helpers.due_runs import next_due
from helpers.window_times import LATER, OPEN, window_at
from roost.plan.next_due import NEXT_DUE_KEY

HEALTH = ("GET", "/api/health")


@pytest.fixture
def windowed(roost, fly, rewrite):
    """Apply the environment with one window so far from now; give its machine, asleep."""

    def apply(begins, ends):
        rewrite(scaling={"windows": [window_at(begins, ends)]})
        assert roost("apply", "staging").code == 0
        [machine] = fly.machines.values()
        machine["state"] = "suspended"
        return machine

    return apply


def leave_window(machine, **far):
    window = "daily 00:00-23:59 UTC"
    document = {"at": next_due(**far)["at"], "window": window}
    machine["config"]["metadata"][NEXT_DUE_KEY] = json.dumps(document)


def test_a_tick_wakes_a_server_for_a_window(roost, prefect, windowed):
    leave_window(windowed(*OPEN), seconds=20)
    prefect.asked.clear()

    said = roost("tick", "staging")
    found = json.loads(roost("tick", "staging", "--json").out)["environments"][0]

    assert (said.code, HEALTH in prefect.asked) == (0, True)
    assert re.search(r"woken in .* before a window opens at .*\(daily 00:00-23:59 UTC\)", said.out)
    assert found["due"]["window"] == "daily 00:00-23:59 UTC"


def test_a_tick_leaves_a_server_whose_window_is_later(roost, prefect, windowed):
    leave_window(windowed(*LATER), hours=3)
    prefect.asked.clear()

    said = roost("tick", "staging")

    assert "staging: asleep, the next window opens " in said.out
    assert prefect.asked == []


def test_status_says_what_is_open_and_what_comes_next_and_sleep_says_what_that_means(
    roost, windowed
):
    machine = windowed(*OPEN)
    asleep = roost("status", "staging")
    machine["state"] = "started"
    awake = roost("status", "staging")
    found = json.loads(roost("status", "staging", "--json").out)
    slept = roost("sleep", "staging")
    as_json = json.loads(roost("sleep", "staging", "--json").out)

    assert "and the server sleeps. The next request wakes it" in asleep.out
    assert "The server stays awake until then." in awake.out
    assert "Next window: " in awake.out
    assert found["windows"].keys() == {"open_until", "next", "faults"}
    assert "No tick wakes the server for this window again." in slept.out
    assert as_json["windows"]["open_until"] == found["windows"]["open_until"]


def test_outside_of_windows_sleep_says_nothing_of_them(roost, windowed):
    windowed(*LATER)["state"] = "started"

    assert "window" not in roost("sleep", "staging").out
    assert json.loads(roost("status", "staging", "--json").out)["windows"]["open_until"] is None


def test_a_plan_with_windows_says_that_something_has_to_wake_the_server(roost, rewrite):
    rewrite(scaling={"windows": [window_at(*OPEN)]})

    said = roost("plan", "staging")

    assert "and awake in windows for 90 h) to " in said.out
    assert "When a window opens, a waker, a tick or a request has to wake the server" in said.out


def test_the_windows_of_a_release_come_back_with_a_rollback(roost, fly, windowed, rewrite):
    machine = windowed(*OPEN)
    before = copy.deepcopy(machine["config"])
    machine["state"] = "started"
    rewrite(scaling={"windows": []})
    assert roost("apply", "staging").code == 0
    [without] = fly.machines.values()
    assert "ROOST_WINDOWS" not in without["config"]["env"]

    assert roost("rollback", "staging").code == 0

    [after] = fly.machines.values()
    assert after["config"]["env"]["ROOST_WINDOWS"] == before["env"]["ROOST_WINDOWS"]
    autostop = [each["services"][0]["autostop"] for each in (before, after["config"])]
    assert autostop == [False, False]


def test_an_override_keeps_a_server_with_windows_awake_for_a_time(roost, fly, windowed):
    windowed(*LATER)["state"] = "started"
    now = ("--until", "4h", "--reason", "demo")

    assert roost("scale", "staging", "--min-machines-running", "1", *now).code == 0
    [machine] = fly.machines.values()
    kept = copy.deepcopy(machine["config"]["env"])
    assert roost("scale", "staging", "--clear").code == 0

    assert kept["ROOST_IDLE_ACTION"] == "off"
    assert kept["ROOST_WINDOWS"] == machine["config"]["env"]["ROOST_WINDOWS"]
    assert machine["config"]["env"]["ROOST_IDLE_ACTION"] == "suspend"


def test_status_names_a_window_that_the_server_cannot_use(roost, prefect, windowed):
    windowed(*OPEN)["state"] = "started"
    fault = "the time zone Mars/Base is not known"
    prefect.report = {"windows": {"open_until": None, "faults": [fault, 7]}}

    said = roost("status", "staging")

    assert f"The server may sleep in one of its windows: {fault}." in said.out
    assert json.loads(roost("status", "staging", "--json").out)["windows"]["faults"] == [fault]
