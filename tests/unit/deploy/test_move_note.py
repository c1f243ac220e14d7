"""Which of two databases a server may serve after a move."""

from __future__ import annotations

import pytest

from roost_server.errors import BootError
from roost_server.maintenance_mode import MaintenanceMode
from roost_server.move_note import MoveNote, Stage, guard_move, read_move, write_move

NOW = 1_000_000.0


@pytest.fixture
def settings(tmp_path):
    """The settings of a server on its volume, and of one that moved from it."""
    volume = {"PREFECT_HOME": str(tmp_path), "FLY_MACHINE_ID": "m1"}
    moved = {**volume, "ROOST_DATABASE_URL_VARIABLE": "DATABASE_URL", "ROOST_MOVED_FROM": "sqlite"}
    return {"sqlite": volume, "postgres": moved}


def noted(home, stage):
    write_move(home, MoveNote(stage, ("a",), NOW))


@pytest.mark.parametrize(
    ("stage", "served"),
    [
        (None, {"sqlite"}),
        (Stage.COPYING, {"sqlite"}),
        (Stage.COPIED, {"sqlite", "postgres"}),
        (Stage.OPENED, {"postgres"}),
        (Stage.STALE, {"sqlite"}),
    ],
)
def test_only_the_database_with_the_newest_data_is_served(settings, tmp_path, stage, served):
    found = set()
    for backend, environ in settings.items():
        if stage:
            noted(tmp_path, stage)
        try:
            guard_move(environ, NOW)
            found.add(backend)
        except BootError:
            pass
    assert found == served


def test_a_copy_is_out_of_date_once_the_volume_is_served_again(settings, tmp_path):
    noted(tmp_path, Stage.COPIED)
    guard_move(settings["sqlite"], NOW)

    with pytest.raises(BootError, match="apply again, which copies it"):
        guard_move(settings["postgres"], NOW)


def test_a_note_that_cannot_be_read_lets_no_server_start(settings, tmp_path):
    (tmp_path / "roost-move.json").write_text("{")

    for environ in settings.values():
        with pytest.raises(BootError, match="restore the file"):
            guard_move(environ, NOW)


def test_a_moved_server_admits_clients_after_its_proof_and_says_so_before_it_does(
    settings, tmp_path
):
    noted(tmp_path, Stage.COPIED)
    opened = []
    server = MaintenanceMode(
        tmp_path,
        settings["postgres"],
        clock=lambda: NOW,
        on_open=lambda: opened.append(read_move(tmp_path).stage),
    )

    assert not server.is_open()
    server.open()

    assert opened == [Stage.OPENED]
    with pytest.raises(BootError, match="clients have written there since"):
        guard_move(settings["sqlite"], NOW)
    assert MaintenanceMode(tmp_path, settings["postgres"], clock=lambda: NOW).is_open()
