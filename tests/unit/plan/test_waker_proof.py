"""What the waker and its servers leave in their machines' metadata is read with care."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from roost.fly.models import Machine
from roost.plan.announced import ANNOUNCED_KEY, Announced, announced_of, read_announced
from roost.plan.waker_proof import PROOF_KEY, SelfWake, proof_of_start
from roost_server import waker_announcement
from roost_waker import proof

JUNK = ["", "{", "[]", "7", '"x"', "[" * 5000, '{"version": "01V"}']


STARTED_MS = 1_796_000_000_000


def started(at_ms=STARTED_MS):
    """The event of a start."""
    return {"id": "e1", "type": "start", "status": "started", "timestamp": at_ms}


def machine(key, value, *events):
    text = value if isinstance(value, str) else json.dumps(value)
    return Machine(
        id="m1",
        name="app-1",
        state="started",
        region="iad",
        instance_id="01V",
        config={"metadata": {key: text}},
        events=events,
    )


def test_machines_leave_it_where_it_is_looked_for():
    assert (proof.KEY, waker_announcement.KEY) == (PROOF_KEY, ANNOUNCED_KEY)


def test_a_proof_is_that_of_one_version():
    left = machine(PROOF_KEY, {"version": "01V", "seconds": 1.5, "error": ""})

    assert proof_of_start(left, "01V") == SelfWake(1.5, "")
    assert proof_of_start(left, "01W") is None


@pytest.mark.parametrize(
    ("at_s", "counts"),
    [pytest.param(-60, False, id="of an earlier start"), pytest.param(2, True, id="of this one")],
)
def test_a_proof_is_that_of_the_last_start(at_s, counts):
    """A waker that was stopped by hand is started with the version that it proved before."""
    at = datetime.fromtimestamp(STARTED_MS / 1000 + at_s, UTC).isoformat()
    left = {"version": "01V", "at": at, "seconds": 1.5, "error": ""}
    events = [started(STARTED_MS - 3_600_000), started()]

    found = proof_of_start(machine(PROOF_KEY, left, *events), "01V")

    assert found == (SelfWake(1.5, "") if counts else None)


def test_a_proof_of_an_image_that_names_no_time_counts():
    left = {"version": "01V", "at": "soon", "seconds": 1.5, "error": ""}

    assert proof_of_start(machine(PROOF_KEY, left, started()), "01V") == SelfWake(1.5, "")


@pytest.mark.parametrize(
    "value",
    [
        *JUNK,
        {"version": "01V", "seconds": True, "error": ""},
        {"version": "01V", "seconds": "1", "error": ""},
        {"version": "01V", "seconds": 1, "error": None},
    ],
)
def test_a_proof_of_another_form_is_none(value):
    assert proof_of_start(machine(PROOF_KEY, value), "01V") is None


def test_an_error_is_shortened_to_a_line():
    left = machine(PROOF_KEY, {"version": "01V", "seconds": 0, "error": "a\nb" + "x" * 999})

    found = proof_of_start(left, "01V")
    assert found is not None
    assert "\n" not in found.error
    assert len(found.error) <= 200


def test_an_announcement_has_a_time_or_none():
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    found = announced_of([machine(ANNOUNCED_KEY, {"at": "2026-11-30T13:00:00+01:00", "error": ""})])

    assert found == Announced(at)
    assert found.document() == {"at": "2026-11-30T12:00:00Z", "error": ""}
    assert read_announced({"at": None, "error": "full"}) == Announced(None, "full")


@pytest.mark.parametrize("value", [*JUNK, {"at": "soon", "error": ""}, {"at": 7, "error": ""}])
def test_an_announcement_of_another_form_is_none(value):
    assert announced_of([machine(ANNOUNCED_KEY, value)]) is None
