"""Before a migration the database is copied, and the previous image restores the copy."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from roost_server import upgrade
from roost_server.errors import BootError
from roost_server.upgrade import COPY, FAILED, NOTE, Note, finish_upgrade, guard_upgrade, read_note

DEPLOY = Path(__file__).parents[3] / "deploy"
OLD, NEW, NEWEST = "2025", "2026", "2027"
NOW = 1_000_000.0
KILLED = """
import os, pathlib, sqlite3, sys
from roost_server.upgrade import guard_upgrade

left = int(sys.argv[1])

def mortal(call):
    def run(*args, **kwargs):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*args, **kwargs)
    return run

os.fsync = mortal(os.fsync)
for name in ("replace", "unlink", "write_text"):
    setattr(pathlib.Path, name, mortal(getattr(pathlib.Path, name)))
guard_upgrade(os.environ, 1_000_000.0)
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def image(tmp_path, home, make_database):
    """Makes the environment of an image whose Prefect has this revision and knows those before."""

    def make(brought):
        root = tmp_path / f"image-{brought}"
        if not root.exists():
            make_database(root / "baked" / "prefect.db", brought)
            known = [revision for revision in (OLD, NEW, NEWEST) if revision <= brought]
            (root / "baked" / "revisions.json").write_text(json.dumps(known))
        return {"PREFECT_HOME": str(home), "IMAGE_ROOT": str(root)}

    return make


@pytest.fixture
def database(home, make_database):
    """A used database of the old Prefect."""
    return make_database(home / "prefect.db", OLD, "of a user")


def migrate(path, revision=NEW, note="of the gate"):
    """Migrate and write, as Prefect does next."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.execute("INSERT INTO note VALUES (?)", (note,))


def test_an_upgrade_leaves_a_copy_and_a_note_of_when_it_began(image, database, home, read_notes):
    guard_upgrade(image(NEW), NOW)

    assert read_note(home) == Note(OLD, NOW)
    assert read_notes(home / COPY) == read_notes(database) == ["of a user"]


def test_the_copy_has_what_is_only_in_the_write_ahead_log_yet(image, database, home, read_notes):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("INSERT INTO note VALUES ('late')")

        guard_upgrade(image(NEW), NOW)

    assert read_notes(home / COPY) == ["of a user", "late"]


def test_the_image_of_before_finds_the_database_of_before(image, database, home, read_notes):
    guard_upgrade(image(NEW), NOW)
    migrate(database)

    guard_upgrade(image(OLD), NOW)

    assert read_notes(database) == ["of a user"]
    assert read_notes(home / FAILED) == ["of a user", "of the gate"]
    assert read_note(home) is None


@pytest.mark.usefixtures("database")
def test_a_log_of_the_failed_database_is_not_taken_for_the_old_one_s(image, home):
    guard_upgrade(image(NEW), NOW)
    home.joinpath("prefect.db-wal").write_bytes(b"of the failed one")

    guard_upgrade(image(OLD), NOW)

    assert not home.joinpath("prefect.db-wal").exists()
    assert home.joinpath(f"{FAILED}-wal").read_bytes() == b"of the failed one"


def test_a_restart_in_the_middle_keeps_the_first_copy(image, database, home, read_notes):
    guard_upgrade(image(NEW), NOW)
    migrate(database, OLD, "half of the migration")

    guard_upgrade(image(NEW), NOW + 60)

    assert read_note(home) == Note(OLD, NOW)
    assert read_notes(home / COPY) == ["of a user"]


def test_an_upgrade_upon_one_that_was_never_proved_goes_back_to_before_both(
    image, database, read_notes
):
    guard_upgrade(image(NEW), NOW)
    migrate(database)
    guard_upgrade(image(NEWEST), NOW)
    migrate(database, NEWEST)

    guard_upgrade(image(OLD), NOW)

    assert read_notes(database) == ["of a user"]


def test_an_upgrade_that_was_proved_does_not_go_back(image, database, home, read_notes):
    guard_upgrade(image(NEW), NOW)
    migrate(database)
    finish_upgrade(home)

    with pytest.raises(BootError, match="newer Prefect"):
        guard_upgrade(image(OLD), NOW)
    assert read_notes(database) == ["of a user", "of the gate"]
    assert sorted(path.name for path in home.iterdir()) == ["prefect.db"]


@pytest.mark.parametrize("revision", [NEW, ""])
def test_a_database_that_needs_no_migration_is_not_copied(image, home, make_database, revision):
    """Nor is one without a revision, which is left to Prefect."""
    make_database(home / "prefect.db", revision)

    guard_upgrade(image(NEW), NOW)

    assert [path.name for path in home.iterdir()] == ["prefect.db"]


def test_an_empty_volume_stays_empty(image, home):
    home.mkdir()

    guard_upgrade(image(NEW), NOW)

    assert not list(home.iterdir())


@pytest.mark.usefixtures("database")
def test_a_database_elsewhere_is_not_ours_to_copy(image, home):
    guard_upgrade(image(NEW) | {"ROOST_DATABASE_URL_VARIABLE": "DATABASE_URL"}, NOW)

    assert not (home / COPY).exists()


def test_a_full_volume_refuses_the_upgrade_and_says_what_to_do(
    image, database, home, monkeypatch, read_notes
):
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(upgrade.shutil, "disk_usage", lambda _: usage._replace(free=100))

    with pytest.raises(BootError, match=r"raise database\.volume_gb"):
        guard_upgrade(image(NEW), NOW)
    assert read_notes(database) == ["of a user"]
    assert not (home / NOTE).exists()


def run_killed(environ, after):
    """Start a process that dies before its n-th change on the disk; return whether it did."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(after)],
        env={**os.environ, **environ, "PYTHONPATH": str(DEPLOY)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, 9}, done.stderr
    return done.returncode == 9


def test_a_start_killed_anywhere_while_it_copies_loses_nothing(
    image, home, make_database, read_notes
):
    after, killed = 0, True
    while killed:
        shutil.rmtree(home, ignore_errors=True)
        make_database(home / "prefect.db", OLD, "of a user")
        killed = run_killed(image(NEW), after)

        guard_upgrade(image(NEW), NOW)

        assert read_notes(home / "prefect.db") == read_notes(home / COPY) == ["of a user"]
        after += 1
    assert after > 4  # it was killed at several points, and at last not


def test_a_start_killed_anywhere_while_it_goes_back_loses_nothing(
    image, home, make_database, read_notes
):
    after, killed = 0, True
    while killed:
        shutil.rmtree(home, ignore_errors=True)
        make_database(home / "prefect.db", OLD, "of a user")
        guard_upgrade(image(NEW), NOW)
        migrate(home / "prefect.db")
        killed = run_killed(image(OLD), after)

        guard_upgrade(image(OLD), NOW)

        assert read_notes(home / "prefect.db") == ["of a user"]
        assert read_note(home) is None
        after += 1
    assert after > 4
