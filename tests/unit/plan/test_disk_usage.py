"""A volume that Fly may extend, and one that fills up: what plans, drift and status say of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.environments import environment_file
from helpers.pretend_fly import applied, with_volume_fields
from roost.environment.rules import findings
from roost.fly.models import Volume
from roost.plan.cost import cost_change, read_prices
from roost.plan.desired import DesiredVolume
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.disk_usage import fullness_notes, used_percent
from roost.plan.drift import find_drift
from roost.plan.live import Live

PRICES = read_prices(Path(__file__).parents[3] / "deploy" / "prices.yaml")
IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
EXTEND = {"at_percent": 80, "add_gb": 1, "limit_gb": 10}
BLOCKS = 1000


def desired_of(**database):
    return desired_state(environment_file(database={"backend": "sqlite", **database}), IMAGE)


def volume(percent, size_gb=1):
    free = BLOCKS * (100 - percent) // 100
    size = {"block_size": size_gb * 1024**3 // BLOCKS, "blocks": BLOCKS, "blocks_avail": free}
    return Volume(id="vol_1", size_gb=size_gb, **size)


def notes(percent, size_gb=1, limit_gb=0):
    wanted = DesiredVolume("data", "iad", 1, 5, limit_gb)
    return tuple(fullness_notes(wanted, volume(percent, size_gb)))


# Extension by Fly itself


def test_the_mount_says_when_fly_extends_it():
    [mount] = desired_of(extend=EXTEND).machines[0].config["mounts"]

    assert mount == {
        "name": "data",
        "path": "/data",
        "extend_threshold_percent": 80,
        "add_size_gb": 1,
        "size_gb_limit": 10,
    }


def test_nothing_extends_a_volume_unless_the_file_says_so():
    assert desired_of().machines[0].config["mounts"] == [{"name": "data", "path": "/data"}]


def test_a_plan_shows_the_fields_and_says_what_they_mean():
    plan = diff(desired_of(extend=EXTEND), applied(desired_of()))

    [step] = plan.steps
    assert [(c.field, c.old, c.new) for c in step.changes] == [
        ("mounts[0].extend_threshold_percent", None, 80),
        ("mounts[0].add_size_gb", None, 1),
        ("mounts[0].size_gb_limit", None, 10),
    ]
    [told] = plan.warnings
    assert told.startswith("Fly extends the volume by 1 GB whenever 80 % of it is used, up to 10")


def test_a_volume_that_fly_extended_is_as_the_file_asks():
    desired = desired_of(extend=EXTEND)
    live = with_volume_fields(applied(desired), size_gb=4)

    plan = diff(desired, live)

    assert (plan.steps, plan.refusals, plan.warnings) == ((), (), ())
    assert find_drift(plan, desired, live, None) == ()


def test_one_beyond_the_limit_is_refused_with_what_to_write():
    live = with_volume_fields(applied(desired_of(extend=EXTEND)), size_gb=11)

    [refused] = diff(desired_of(extend=EXTEND), live).refusals

    assert refused.advice == "Set limit_gb to 11 or more."


def test_once_it_may_not_be_extended_any_more_its_size_is_the_file_s_to_name():
    live = with_volume_fields(applied(desired_of(extend=EXTEND)), size_gb=4)

    [refused] = diff(desired_of(), live).refusals

    assert refused.advice == "Set volume_gb to 4."
    assert diff(desired_of(volume_gb=4), live).refusals == ()


def test_cost_is_what_it_has_to_what_it_may_have():
    change = cost_change(PRICES, desired_of(extend=EXTEND), Live())
    without = cost_change(PRICES, desired_of(), Live())

    assert change.then.low == without.then.low
    assert change.then.high == pytest.approx(without.then.high + 9 * PRICES.volume_gb)


def test_cost_of_one_that_was_extended_counts_what_it_has_now():
    desired = desired_of(extend=EXTEND)
    live = with_volume_fields(applied(desired), size_gb=4)

    change = cost_change(PRICES, desired, live)

    assert change.now == change.then
    assert change.then.low - cost_change(PRICES, desired, Live()).then.low == pytest.approx(
        3 * PRICES.volume_gb
    )


def test_a_limit_that_is_no_larger_than_the_volume_is_a_fault():
    data = {"backend": "sqlite", "volume_gb": 3, "extend": {"limit_gb": 3}}
    [(path, told)] = findings(environment_file(database=data).environment)

    assert path == ("database", "extend", "limit_gb")
    assert told == "limit_gb must be more than volume_gb, which is 3"


# Filling up


@pytest.mark.parametrize(("percent", "told"), [(79, 0), (80, 1), (95, 1), (100, 1)])
def test_it_is_told_of_from_80_percent_on(percent, told):
    assert len(notes(percent)) == told


def test_what_is_told_ends_with_what_helps():
    [without] = notes(83)
    [extends] = notes(83, limit_gb=10)
    [at_limit] = notes(83, size_gb=10, limit_gb=10)

    assert without.startswith("The volume vol_1 is 83 % full: 0.2 of 1 GB are free.")
    assert without.endswith(
        "Raise database.volume_gb, let Fly extend it with database.extend, or keep less with "
        "database.retention."
    )
    assert extends.endswith("Fly extends it by itself, up to 10 GB.")
    assert "raise database.extend.limit_gb" in at_limit


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"block_size": 4096},
        {"block_size": 4096, "blocks": 0, "blocks_avail": 0},
        {"block_size": 4096, "blocks": 10, "blocks_avail": 11},
        {"block_size": -1, "blocks": 10, "blocks_avail": 1},
    ],
)
def test_what_fly_does_not_say_is_not_made_up(sizes):
    assert used_percent(Volume(id="vol_1", size_gb=1, **sizes)) is None


def test_a_plan_without_steps_still_warns():
    desired = desired_of()
    live = applied(desired)
    sizes = {name: getattr(volume(91), name) for name in ("block_size", "blocks", "blocks_avail")}
    full = live.volumes[0].model_copy(update=sizes)

    plan = diff(desired, replace(live, volumes=(full,)))

    assert plan.steps == ()
    assert "is 91 % full" in plan.warnings[0]
