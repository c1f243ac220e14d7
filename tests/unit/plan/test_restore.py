"""A restore keeps what runs, or goes back to the older Prefect that the file asks for with older data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.histories import FAILED, History, level
from roost.environment.prefect_objects import PrefectObject
from roost.errors import UnappliableError
from roost.plan.backups import Backup
from roost.plan.objects_record import OBJECTS_KEY, ObjectsRecord, decode
from roost.plan.restore import (
    Journal,
    Restoring,
    check_version,
    goes_back,
    moved_config,
    version_of,
)

OLDER, NEWER = level("INFO", "3.7.8"), level("INFO", "3.8.8")
BACKUP = Backup("vs_1", "vol_1", "", 0, 1, "created", "", "", "")


def upgraded():
    """A server of the newer Prefect that was made a snapshot before, and its one machine."""
    history = History().went(OLDER).went(NEWER, snapshot="vs_1")
    return history.live.machines[0]


def test_a_snapshot_made_for_an_upgrade_has_the_data_of_the_version_before():
    history = History().went(OLDER).went(NEWER, FAILED, snapshot="vs_0").went(OLDER)
    history.went(NEWER, snapshot="vs_1")

    assert version_of(BACKUP, history.releases) == "3.7.8"


def test_of_any_other_snapshot_the_time_tells():
    history = History().went(OLDER, at="2026-11-24T10:00:00+00:00")
    history.went(NEWER, at="2026-11-24T12:00:00+00:00")
    times = {"09": "", "11": "3.7.8", "13": "3.8.8"}

    for hour, version in times.items():
        backup = replace(BACKUP, snapshot="vs_9", at=f"2026-11-24T{hour}:00:00Z")
        assert version_of(backup, history.releases) == version


def test_older_data_is_migrated_unless_the_file_asks_for_the_older_prefect():
    machine = upgraded()

    assert not goes_back(BACKUP, machine, NEWER)
    assert "the server migrates it to 3.8.8" in check_version(BACKUP, machine, NEWER)
    assert goes_back(BACKUP, machine, OLDER)
    assert "the server changes to 3.7.8" in check_version(BACKUP, machine, OLDER)


@pytest.mark.parametrize("version", ["3.7.7", "3.9.0"])
def test_a_prefect_that_could_not_read_the_data_or_is_newer_is_not_gone_to(version):
    assert not goes_back(BACKUP, upgraded(), level("INFO", version))


def test_newer_data_is_refused_with_the_way_out():
    history = History().went(NEWER).went(OLDER, snapshot="vs_1")

    with pytest.raises(UnappliableError, match=r"which cannot read it") as found:
        check_version(BACKUP, history.live.machines[0], OLDER)
    assert found.value.advice == "Set prefect.version to 3.8.8 and apply, then restore it."


def test_the_machine_for_a_backups_data_knows_whose_the_objects_are_and_not_how_they_are():
    """Its database has the objects of the backup, so the next apply compares all with the server."""
    region = PrefectObject("variables", {"name": "region", "value": "eu"})
    history = History().went(level("INFO"))
    [machine] = history.live.machines
    metadata = {**machine.metadata, OBJECTS_KEY: ObjectsRecord((region,)).encoded()}
    old = machine.model_copy(update={"config": {**machine.config, "metadata": metadata}})
    journal = Journal("vs_1", 9, "2026-11-30T12:00:00+00:00")

    config = moved_config(Restoring(old, journal), "vol_2", history.releases[-1])

    assert decode(config["metadata"][OBJECTS_KEY]) == ObjectsRecord(others=(region.key,))
