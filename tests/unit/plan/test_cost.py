"""Prices agree with the table Fly publishes, and a plan shows what changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.environments import POSTGRES, environment_file
from helpers.pretend_fly import applied
from roost.environment.regions import REGIONS
from roost.fly.models import Machine, Volume
from roost.plan.cost import cost_change, machine_month, read_prices
from roost.plan.desired_state import desired_state
from roost.plan.live import Live
from roost.plan.machine_config import guest

PRICES = read_prices(Path(__file__).parents[3] / "deploy" / "prices.yaml")
IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
MB = 1024

# https://fly.io/docs/about/pricing, region iad, 30 days, by memory in GB.
PUBLISHED = {
    "shared-cpu-1x": {0.25: 1.94, 0.5: 3.19, 1: 5.70, 2: 10.70},
    "shared-cpu-2x": {0.5: 3.89, 1: 6.39, 2: 11.39, 4: 21.40},
    "shared-cpu-4x": {1: 7.78, 2: 12.78, 4: 22.78, 8: 42.79},
    "shared-cpu-8x": {2: 15.55, 4: 25.56, 8: 45.57, 16: 85.59},
    "performance-1x": {2: 31.00, 4: 41.01, 8: 61.02},
    "performance-2x": {4: 62.00, 8: 82.01, 16: 122.03},
    "performance-4x": {8: 124.00, 16: 164.02, 32: 244.06},
    "performance-8x": {16: 248.00, 32: 328.04, 64: 488.13},
    "performance-16x": {32: 496.01, 64: 656.09, 128: 976.25},
}
ELSEWHERE = {
    "ams": {0.25: 2.02, 0.5: 3.32, 1: 5.92, 2: 11.11},
    "lhr": {0.25: 2.21, 0.5: 3.62, 1: 6.46, 2: 12.14},
    "sjc": {0.25: 2.32, 0.5: 3.81, 1: 6.79, 2: 12.76},
    "nrt": {0.25: 2.54, 0.5: 4.18, 1: 7.45, 2: 13.99},
}


def desired_of(*parts, **fields):
    return desired_state(environment_file(*parts, **fields), IMAGE)


def month(size, gb, region):
    machine = {"size": size, "memory_mb": int(gb * MB)}
    return machine_month(PRICES, guest(environment_file(machine=machine).environment), region)


@pytest.mark.parametrize("size", PUBLISHED)
def test_prices_are_the_published_ones(size):
    assert {gb: round(month(size, gb, "iad"), 2) for gb in PUBLISHED[size]} == PUBLISHED[size]


@pytest.mark.parametrize("region", ELSEWHERE)
def test_prices_elsewhere_are_the_published_ones_within_a_cent(region):
    for gb, published in ELSEWHERE[region].items():
        assert month("shared-cpu-1x", gb, region) == pytest.approx(published, abs=0.0101)


def test_every_region_has_a_price():
    assert set(PRICES.markup) == set(REGIONS)


def test_the_price_list_says_where_it_is_from_and_when():
    assert PRICES.source.startswith("https://fly.io/")
    assert cost_change(PRICES, desired_of(), Live()).document()["date"] == str(PRICES.date)


def test_a_new_server_costs_its_volume_asleep_and_its_machine_awake():
    change = cost_change(PRICES, desired_of(), Live())

    assert (change.now.low, change.now.high) == (0, 0)
    assert change.then.low == pytest.approx(0.15 + PRICES.image_gb * PRICES.rootfs_gb)
    assert change.then.high == pytest.approx(0.15 + 3.19, abs=0.01)


@pytest.mark.parametrize(
    "scaling",
    [
        {"count": 3, "min_machines_running": 1},
        {"count": 2, "autostop": "off"},
        {"count": 2, "min_machines_running": 2, "autostop": "stop"},
        {"count": 0},
    ],
)
def test_an_applied_environment_costs_the_same_now_and_then(scaling):
    desired = desired_of(POSTGRES, scaling=scaling)

    change = cost_change(PRICES, desired, applied(desired))

    assert change.now == change.then


def test_what_must_run_costs_the_same_asleep_and_awake():
    change = cost_change(PRICES, desired_of(scaling={"autostop": "off"}), Live())

    assert change.then.low == change.then.high


def test_more_memory_and_a_larger_volume_show_as_a_change():
    live = applied(desired_of())
    larger = desired_of(machine={"memory_mb": 1024}, database={"backend": "sqlite", "volume_gb": 3})

    change = cost_change(PRICES, larger, live)

    assert change.then.low - change.now.low == pytest.approx(0.30)
    assert change.then.high - change.now.high == pytest.approx(5.70 - 3.19 + 0.30, abs=0.01)


def test_what_is_not_ours_is_paid_for_too_before_and_after():
    live = applied(desired_of())
    spare = Volume(id="vol_spare", name="data", size_gb=10)
    foreign = Machine(id="f", config={"image": "x", "guest": {"cpus": 1}}, region="iad")
    more = replace(live, volumes=(*live.volumes, spare), machines=(*live.machines, foreign))

    change = cost_change(PRICES, desired_of(), more)

    assert change.now == change.then
    assert change.now.low > cost_change(PRICES, desired_of(), live).now.low + 1.5
