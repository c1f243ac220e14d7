"""The windows of a machine: what they cost, when they are open, and what an override makes of them."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers.environments import environment_file
from helpers.pretend_fly import applied
from roost.environment.scale import scale_faults, with_fields
from roost.plan.awake_windows import window_hours, window_state, windows_of
from roost.plan.cost import cost_change, read_prices
from roost.plan.cost_table import cost_table
from roost.plan.desired import WINDOWS
from roost.plan.desired_state import desired_state
from roost.plan.live import Live
from roost.plan.machine_config import machine_config

PRICES = read_prices(Path(__file__).parents[3] / "deploy" / "prices.yaml")
IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
OFFICE = {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"}
HOURS = 50 / 7 * 30
SHARE = HOURS / 720


def file_with(*windows, **scaling):
    return environment_file(scaling={"windows": list(windows), **scaling})


def config_with(*windows, **scaling):
    return machine_config(file_with(*windows, **scaling), IMAGE, "app-1")


def desired_with(*windows):
    return desired_state(file_with(*windows), IMAGE)


def test_the_low_end_of_the_cost_is_awake_inside_windows():
    plain, windowed = (
        cost_change(PRICES, desired_with(*windows), Live()).then for windows in ((), (OFFICE,))
    )
    volume = PRICES.volume_gb
    asleep, awake = plain.low - volume, plain.high - volume

    assert windowed.low - volume == pytest.approx(awake * SHARE + asleep * (1 - SHARE))
    assert (windowed.high, windowed.window_hours) == (plain.high, pytest.approx(HOURS))
    assert plain.window_hours == 0


def test_a_plan_that_adds_windows_shows_what_it_was_before():
    live = applied(desired_with())

    change = cost_change(PRICES, desired_with(OFFICE), live).document()

    assert change["now"]["window_hours"] == 0
    assert change["then"]["window_hours"] == 214.3
    assert change["now"]["low"] < change["then"]["low"] < change["then"]["high"]
    unchanged = cost_change(PRICES, desired_with(OFFICE), applied(desired_with(OFFICE)))
    assert unchanged.now == unchanged.then


def test_each_column_of_a_table_has_at_least_the_hours_of_windows():
    table = cost_table("staging", desired_with(OFFICE), PRICES, (0, 2, 12, 24))
    plain = cost_table("staging", desired_with(), PRICES, (0, SHARE * 24, 12, 24))

    assert table.lines[0].amounts[0] == table.lines[0].amounts[1] > 0
    assert table.lines[0].amounts[0] == pytest.approx(plain.lines[0].amounts[1])
    assert table.total.amounts[2:] == plain.total.amounts[2:]
    assert table.document()["window_hours"] == 214.3


def test_a_machine_with_windows_may_sleep_and_one_that_is_kept_running_has_no_hours():
    desired = desired_with(OFFICE)
    kept = copy.deepcopy(desired.machines[0].config)
    kept["env"]["ROOST_IDLE_ACTION"] = "off"

    assert desired.always_on == 0
    assert (window_hours(desired.machines[0].config), window_hours(kept)) == (
        pytest.approx(HOURS),
        0,
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("garbage", 0),
        ("", 0),
        ("mon 08:00-18:00 Mars/Base", 0),
        ("mon 08:00-18:00 Mars/Base; mon 08:00-18:00 UTC", 1),
    ],
)
def test_windows_of_a_live_machine_that_cannot_be_read_count_as_none(text, count):
    config = config_with(OFFICE)
    config["env"][WINDOWS] = text

    assert len(windows_of(config)) == count
    assert (window_hours(config) > 0) == bool(count)


def test_a_state_says_what_is_open_and_what_comes_next():
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)

    assert window_state([config_with(OFFICE)], now).document() == {
        "open_until": "2026-11-30T17:00:00Z",
        "next": "2026-12-01T07:00:00Z",
    }
    assert window_state([config_with(), None], now) is None


def test_an_override_may_keep_the_server_awake_outside_of_windows_for_a_time():
    environment = file_with(OFFICE).environment
    fields = {"min_machines_running": 1}

    assert scale_faults(environment, fields) == ()
    overridden = desired_state(
        environment_file(
            scaling=with_fields(environment, fields).scaling.model_dump(by_alias=True)
        ),
        IMAGE,
    )
    before, after = (desired.machines[0].config for desired in (desired_with(OFFICE), overridden))
    changed = {name for name, value in after["env"].items() if before["env"].get(name) != value}
    assert (changed, overridden.always_on) == ({"ROOST_IDLE_ACTION"}, 1)
    assert after["services"][0] == {**before["services"][0], "min_machines_running": 1}
