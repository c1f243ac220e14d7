"""When a machine was awake, and what that costs in a month, from the events that Fly still has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from helpers.environments import environment_file
from roost.fly.models import Machine, MachineEvent, Volume
from roost.operations.context import PROJECT
from roost.plan.awake_time import (
    Span,
    awake_time,
    count_by_day,
    hours_by_day,
    last_days,
    reaches_back,
)
from roost.plan.cost import SECONDS_PER_MONTH, machine_month, read_prices
from roost.plan.machine_config import machine_config
from roost.plan.month_cost import Month, month_cost

PRICES = read_prices(PROJECT / "deploy" / "prices.yaml")
NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
T = NOW.timestamp()
HOUR, DAY = 3600.0, 86400.0
GUEST = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}
UP = machine_month(PRICES, GUEST, "iad") / SECONDS_PER_MONTH
DOWN = PRICES.image_gb * PRICES.rootfs_gb / SECONDS_PER_MONTH


def event(ago, kind, status):
    return MachineEvent(type=kind, status=status, timestamp=int((T - ago) * 1000))


def machine(*events, state="started", **fields):
    """A machine with events, so many seconds ago; the newest first, as Fly lists them."""
    found = tuple(sorted((event(*e) for e in events), key=lambda e: -e.timestamp))
    made = {"created_at": "2026-01-01T00:00:00Z", "region": "iad", "config": {"guest": GUEST}}
    return Machine(id="m1", state=state, events=found, **{**made, **fields})


def start(ago):
    return (ago, "start", "started")


def suspend(ago):
    return (ago, "suspend", "suspended")


def launch(ago):
    return (ago, "launch", "created")


def cost_of(one, volumes=()):
    return month_cost(PRICES, [one], volumes, {"m1": awake_time(one, T)}, Month.of(NOW))


def test_spans_are_from_each_start_to_the_sleep_after_it():
    found = awake_time(
        machine(launch(900), start(800), suspend(700), start(300), (200, "exit", "stopped")), T
    )

    assert found.spans == (Span(T - 800, T - 700), Span(T - 300, T - 200))
    assert (found.known_from, found.since, len(found.wakes)) == (T - 900, None, 2)
    assert found.seconds(T - 750, T - 250) == 100


def test_a_machine_that_is_awake_is_so_since_its_last_start():
    found = awake_time(machine(suspend(900), start(300), (100, "update", "started")), T)

    assert (found.since, found.spans) == (T - 300, (Span(T - 300, T),))


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), "started"),
        (((100, "update", "started"),), "started"),
        (((100, "stop", "stopping"),), "stopping"),
    ],
    ids=["forgotten", "only an update", "only its stop"],
)
def test_a_start_that_fly_has_forgotten_is_unknown(events, state):
    found = awake_time(machine(*events, state=state), T)

    assert (found.since, found.spans) == (None, ())


def test_a_sleeping_machine_without_the_event_of_its_sleep_was_awake_up_to_the_last_one():
    found = awake_time(machine(start(900), (500, "update", "started"), state="suspended"), T)

    assert found.spans == (Span(T - 900, T - 500),)


def test_times_that_no_event_can_have_are_left_out():
    broken = machine(start(900), (-HOUR, "exit", "stopped"), (T, "launch", "created"))

    assert awake_time(broken, T).spans == (Span(T - 900, T),)


def test_events_reach_back_to_a_launch_or_to_the_time():
    assert reaches_back(machine(launch(10)), T - DAY)
    assert reaches_back(machine(start(2 * DAY)), T - DAY)
    assert not reaches_back(machine(start(10)), T - DAY)
    assert not reaches_back(machine(), T - DAY)


def test_hours_and_wakes_are_counted_by_the_day_in_utc():
    days = last_days(3, NOW)
    midnight = datetime(2026, 11, 16, tzinfo=UTC).timestamp()

    assert [str(day) for day in days] == ["2026-11-14", "2026-11-15", "2026-11-16"]
    assert hours_by_day([Span(midnight - HOUR, midnight + 2 * HOUR)], days) == (0, 1, 2)
    assert count_by_day([midnight - 1, midnight, midnight + 5], days) == (0, 1, 2)


def test_a_server_that_was_always_awake_costs_the_price_of_its_seconds():
    found = cost_of(machine(start(40 * DAY)))

    assert found.so_far == pytest.approx(15.5 * DAY * UP)
    assert found.at_end == pytest.approx(30 * DAY * UP)
    assert not found.at_least


def test_the_rest_of_the_month_is_expected_to_be_as_awake_as_the_last_week():
    """One day in the last seven."""
    found = cost_of(machine(suspend(40 * DAY), start(3 * DAY), suspend(2 * DAY), state="suspended"))

    assert found.so_far == pytest.approx(DAY * UP + 14.5 * DAY * DOWN)
    rest = 14.5 * DAY * (UP / 7 + DOWN * 6 / 7)
    assert found.at_end == pytest.approx(found.so_far + rest)


def test_what_fly_has_forgotten_makes_it_at_least_so_much():
    found = cost_of(machine(start(2 * DAY), suspend(DAY), state="suspended"))

    assert found.at_least
    assert found.so_far == pytest.approx(DAY * UP + 14.5 * DAY * DOWN)


def test_a_machine_of_this_month_costs_from_its_first_day():
    made = datetime.fromtimestamp(T - DAY, UTC).isoformat()
    found = cost_of(machine(launch(DAY), start(DAY), created_at=made))

    assert found.so_far == pytest.approx(DAY * UP)
    assert not found.at_least


def test_windows_count_even_if_the_last_week_had_none():
    """A week of holidays, in which nobody woke the server."""
    office = {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "UTC"}
    config = machine_config(environment_file(scaling={"windows": [office]}), "image", "app-1")
    asleep = machine(suspend(40 * DAY), state="suspended", config=config)

    found = cost_of(asleep)

    share = 50 / (7 * 24)
    assert found.at_end == pytest.approx(15.5 * DAY * DOWN + _rest(share))


def _rest(share):
    return 14.5 * DAY * (share * UP + (1 - share) * DOWN)


def test_a_volume_costs_its_size_from_the_day_it_was_made():
    made = (NOW - timedelta(days=5)).isoformat()
    volumes = [Volume(id="v1", size_gb=10), Volume(id="v2", size_gb=10, created_at=made)]

    found = month_cost(PRICES, [], volumes, {}, Month.of(NOW))

    a_day = 10 * PRICES.volume_gb / 30
    assert found.so_far == pytest.approx((15.5 + 5) * a_day)
    assert found.at_end == pytest.approx((30 + 19.5) * a_day)


@pytest.mark.parametrize(("day", "days"), [("2026-12-31", 31), ("2028-02-01", 29)])
def test_a_month_ends_where_the_next_one_begins(day, days):
    month = Month.of(datetime.fromisoformat(f"{day}T08:00:00+00:00"))

    assert month.end - month.begin == days * DAY
