"""What the waker and its servers leave in their machines' metadata is read with care."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from roost.fly.models import Machine
from roost.plan.announced import ANNOUNCED_KEY, Announced, announced_of, read_announced
from roost.plan.waker_proof import PROOF_KEY, SelfWake, proof_of_version
from roost_server import waker_announcement
from roost_waker import proof

JUNK = ["", "{", "[]", "7", '"x"', "[" * 5000, '{"version": "01V"}']


def machine(key, value):
    text = value if isinstance(value, str) else json.dumps(value)
    return Machine(
        id="m1",
        name="app-1",
        state="started",
        region="iad",
        instance_id="01V",
        config={"metadata": {key: text}},
    )


def test_machines_leave_it_where_it_is_looked_for():
    assert (proof.KEY, waker_announcement.KEY) == (PROOF_KEY, ANNOUNCED_KEY)


def test_a_proof_is_that_of_one_version():
    left = machine(PROOF_KEY, {"version": "01V", "seconds": 1.5, "error": ""})

    assert proof_of_version(left, "01V") == SelfWake(1.5, "")
    assert proof_of_version(left, "01W") is None


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
    assert proof_of_version(machine(PROOF_KEY, value), "01V") is None


def test_an_error_is_shortened_to_a_line():
    left = machine(PROOF_KEY, {"version": "01V", "seconds": 0, "error": "a\nb" + "x" * 999})

    found = proof_of_version(left, "01V")
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
