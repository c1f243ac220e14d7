"""Backups are Fly's snapshots, with what we know of each: why, how still, and until when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.applying import desired_of
from helpers.pretend_fly import applied
from roost.fly.models import Machine, Snapshot
from roost.plan.backups import (
    KEPT_KEY,
    NOTES_KEPT,
    NOTES_KEY,
    Note,
    Rest,
    kept_until,
    list_backups,
    newest,
    read_notes,
    with_note,
)
from roost.plan.releases import draft

DESIRED = desired_of()
RELEASE = draft(DESIRED, applied(DESIRED), ())
GB = 1024**3


def snapshot(name, day, **fields):
    """Return a snapshot that was made on a day of November."""
    made = f"2026-11-{day:02}T08:00:00Z"
    base = {"status": "created", "size": 5, "volume_size": GB, "retention_days": 5}
    return Snapshot(id=name, created_at=made, **{**base, **fields})


def machine(**metadata):
    """Return a machine with this metadata."""
    return Machine(id="m1", config={"metadata": metadata})


def test_the_newest_comes_first_whatever_volume_it_is_of():
    found = {"vol_1": [snapshot("vs_1", 3)], "vol_2": [snapshot("vs_3", 9), snapshot("vs_2", 4)]}

    listed = list_backups(found, [], ())

    assert [(b.snapshot, b.volume) for b in listed] == [
        *(("vs_3", "vol_2"), ("vs_2", "vol_2"), ("vs_1", "vol_1")),
    ]


@pytest.mark.parametrize(
    ("fields", "until"),
    [
        ({}, "2026-11-08T08:00:00Z"),
        ({"retention_days": 60}, "2027-01-02T08:00:00Z"),
        ({"retention_days": None}, "2026-11-08T08:00:00Z"),  # Fly's default
        ({"created_at": "2026-11-03T08:00:00.123456789Z"}, "2026-11-08T08:00:00Z"),
        ({"created_at": ""}, ""),
        ({"created_at": "9999-12-30T00:00:00Z"}, ""),
    ],
)
def test_it_is_kept_for_as_many_days_as_its_volume_said_then(fields, until):
    assert kept_until(snapshot("vs_1", 3).model_copy(update=fields)) == until


def test_one_that_a_release_names_says_before_which_release_it_was_made():
    release = replace(RELEASE, number=4, snapshot="vs_1")

    [backup] = list_backups({"vol_1": [snapshot("vs_1", 3)]}, [], [release])

    assert backup.why == "before release 4"


def test_one_that_a_release_names_and_fly_deleted_is_told():
    release = replace(RELEASE, number=4, snapshot="vs_1")

    there, gone = list_backups({"vol_1": [snapshot("vs_2", 3)]}, [machine()], [release])

    assert (there.snapshot, there.why) == ("vs_2", "daily, by Fly")
    assert (gone.snapshot, gone.state, gone.why) == ("vs_1", "gone", "before release 4")
    assert not gone.usable


def test_of_one_whose_machine_is_gone_nobody_knows_why_it_was_made():
    """The notes went with the machine: it may be anything, a last one before a destroy as well."""
    [backup] = list_backups({"vol_1": [snapshot("vs_1", 3)]}, [], ())

    assert backup.why == "unknown: its note was removed with the machine"
    assert newest([backup]) == backup


def test_what_fly_copies_of_a_volume_from_before_a_restore_is_passed_over():
    mounts = [{"volume": "vol_new", "path": "/data"}]
    metadata = {KEPT_KEY: "vol_old,vol_new"}
    carrier = Machine(id="m1", config={"mounts": mounts, "metadata": metadata})
    found = {"vol_old": [snapshot("vs_old", 9)], "vol_new": [snapshot("vs_new", 8)]}

    old, new = list_backups(found, [carrier], ())

    assert old.why == "daily, by Fly, of the volume from before a restore"
    assert newest([old, new]) == new


def test_a_safety_copy_of_a_restore_that_failed_is_passed_over():
    note = Note("before a restore of vs_1 that failed", before_restore=True)
    carrier = machine(**with_note(machine(), "vs_2", note))

    found = list_backups({"vol_1": [snapshot("vs_2", 9), snapshot("vs_1", 3)]}, [carrier], ())

    assert [b.why for b in found] == ["before a restore of vs_1 that failed", "daily, by Fly"]
    assert newest(found) == found[1]


def test_one_that_a_person_asked_for_says_so_and_how_still_it_was():
    noted = with_note(machine(), "vs_1", Note("roost backup", Rest.HELD))

    [backup] = list_backups({"vol_1": [snapshot("vs_1", 3)]}, [machine(**noted)], ())

    assert (backup.why, backup.rest) == ("roost backup", "held")


def test_only_a_whole_one_can_be_restored():
    running, whole = snapshot("vs_2", 9, status="running"), snapshot("vs_1", 3)
    found = list_backups({"vol_1": [running, whole]}, [], ())

    assert newest(found) == found[1]
    assert newest(found[:1]) is None


def test_to_restore_twice_does_not_bring_back_what_the_first_time_replaced():
    release = replace(RELEASE, number=4, snapshot="vs_2", why="restore of vs_1")
    found = list_backups({"vol_1": [snapshot("vs_2", 9), snapshot("vs_1", 3)]}, [], [release])

    assert [b.snapshot for b in found] == ["vs_2", "vs_1"]
    assert newest(found) == found[1]


def test_notes_are_kept_without_the_oldest_of_too_many():
    carrier = machine()
    for number in range(NOTES_KEPT + 2):
        carrier = machine(**with_note(carrier, f"vs_{number}", Note("roost backup")))

    names = list(read_notes([carrier]))
    assert names == [f"vs_{number}" for number in range(2, NOTES_KEPT + 2)]


@pytest.mark.parametrize("text", ["", "no", "[", "[1]", '[["vs",1]]', '[["vs","w","x"]]', "{}"])
def test_what_is_no_note_whoever_wrote_it_is_none(text):
    assert read_notes([machine(**{NOTES_KEY: text})]) == {}
