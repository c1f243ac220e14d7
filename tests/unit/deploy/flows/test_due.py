"""What keeps a flow server awake, and for how long its command must not start yet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from roost_flows.due import hold_s, read_time, reason_to_stay_awake
from unit.deploy.flows.conftest import NOON


def at(seconds):
    return (NOON + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, ""),
        ({"running": [], "due": None, "overdue": 0}, ""),
        ({"due": at(121)}, ""),
        ({"due": at(120)}, f"a run is due at {at(120)}"),
        ({"due": at(-5)}, f"a run is due at {at(-5)}"),
        ({"due": "2026-11-30T13:01:00+01:00"}, "a run is due at 2026-11-30T13:01:00+01:00"),
        ({"due": "soon"}, ""),
        ({"overdue": 2}, "2 runs are overdue"),
        ({"overdue": 2, "gave_up": True}, ""),
        ({"running": ["r1"], "overdue": 2}, "1 flow runs are running"),
    ],
)
def test_what_runs_or_is_due_keeps_awake(record, reason):
    assert reason_to_stay_awake(record, NOON, 120) == reason


def run(seconds, *, auto=True):
    return {"auto_scheduled": auto, "next_scheduled_start_time": at(seconds)}


@pytest.mark.parametrize(
    ("runs", "seconds"),
    [
        ([], 0),
        ([run(-1)], 0),
        ([run(5)], 5),
        ([run(5), run(15), run(25)], 15),
        ([run(5, auto=False)], 0),
        ([{"auto_scheduled": True, "next_scheduled_start_time": None}], 0),
    ],
)
def test_a_start_waits_for_the_runs_that_it_would_make_the_server_forget(runs, seconds):
    assert hold_s(runs, NOON) == seconds


@pytest.mark.parametrize("value", [None, 5, "", "2026-11-30", "2026-11-30T12:00:00"])
def test_what_is_no_time_with_a_zone_is_none(value):
    assert read_time(value) is None


def test_prefect_writes_utc_as_a_letter():
    assert read_time("2026-11-30T12:00:00Z") == NOON
