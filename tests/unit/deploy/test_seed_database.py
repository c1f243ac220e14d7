"""The seed database is copied to an empty volume, whole, once, and never over a file."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from roost_server.seed_database import MIGRATE, REGISTER, copy_once, seed

DEPLOY = Path(__file__).parents[3] / "deploy"
COPIED = {MIGRATE: "false", REGISTER: "false"}
UP_TO_DATE = {MIGRATE: "false"}
# What copying is made of, in this order; a start may be cut short before each of them.
STEPS = ("unlink", "copyfile", "fsync", "link", "unlink", "fsync")
KILLED = """
import os, pathlib, shutil, sys
from roost_server.seed_database import seed

left = int(sys.argv[1])

def mortal(call):
    def run(*args, **kwargs):
        global left
        if left == 0:
            if call is copyfile:  # half of it is the worst that it can leave behind
                pathlib.Path(args[1]).write_bytes(pathlib.Path(args[0]).read_bytes()[:1000])
            os._exit(9)
        left -= 1
        return call(*args, **kwargs)
    return run

copyfile = shutil.copyfile
shutil.copyfile = mortal(copyfile)
os.fsync, os.link = mortal(os.fsync), mortal(os.link)
pathlib.Path.unlink = mortal(pathlib.Path.unlink)
seed(os.environ)
"""


@pytest.fixture
def template(tmp_path, make_database):
    return make_database(tmp_path / "image" / "baked" / "prefect.db")


@pytest.fixture
def database(tmp_path):
    return tmp_path / "home" / "prefect.db"


@pytest.fixture
def environ(template, database):
    """An image with a seed database, and an empty volume."""
    return {"IMAGE_ROOT": str(template.parents[1]), "PREFECT_HOME": str(database.parent)}


def names(database):
    """The files in a database's folder."""
    return sorted(path.name for path in database.parent.iterdir())


def start_killed_before(step, environ):
    """Seed in a process that is killed at that point; return whether it was."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", KILLED, str(step)],
        env={"PYTHONPATH": str(DEPLOY)} | environ,
        check=False,
    )
    assert done.returncode in {0, 9}
    return done.returncode == 9


def test_an_empty_volume_gets_the_image_s_database(environ, template, database):
    settings = seed(environ)

    assert settings == COPIED
    assert database.read_bytes() == template.read_bytes()
    assert names(database) == ["prefect.db"]


@pytest.mark.parametrize("name", ["prefect.db", "prefect.db-wal", "prefect.db-journal"])
def test_nothing_that_is_there_is_written_over(environ, database, name):
    database.parent.mkdir()
    there = database.with_name(name)
    there.write_bytes(b"somebody's")

    settings = seed(environ)

    assert settings == {}
    assert there.read_bytes() == b"somebody's"
    assert names(database) == [name]


def test_a_database_that_appears_meanwhile_is_not_written_over(template, database, monkeypatch):
    def copy_slowly(source, target):
        target.write_bytes(source.read_bytes())
        database.write_bytes(b"somebody's")

    monkeypatch.setattr(shutil, "copyfile", copy_slowly)

    assert not copy_once(template, database)
    assert database.read_bytes() == b"somebody's"
    assert names(database) == ["prefect.db"]


@pytest.mark.parametrize("step", range(len(STEPS)), ids=lambda at: f"{at}-{STEPS[at]}")
def test_a_start_killed_before_any_step_leaves_it_whole_or_not_there(
    environ, template, database, read_notes, step
):
    assert start_killed_before(step, environ)
    there = database.exists()

    settings = seed(environ)

    assert there == (step > STEPS.index("link"))
    assert settings == (UP_TO_DATE if there else COPIED)
    assert database.read_bytes() == template.read_bytes()
    assert read_notes(database) == ["of the image"]


def test_there_are_no_more_steps_to_be_killed_before(environ):
    assert not start_killed_before(len(STEPS), environ)


def test_what_a_killed_start_left_aside_is_not_written_into(environ, template, database):
    assert start_killed_before(STEPS.index("link") + 1, environ)
    aside = database.with_name("prefect.db.new")
    assert aside.samefile(database)
    backup = database.rename(database.with_name("backup.db"))
    backup.write_bytes(b"a year of runs")

    seed(environ)

    assert backup.read_bytes() == b"a year of runs"
    assert database.read_bytes() == template.read_bytes()
    assert not aside.exists()


def test_of_starts_at_the_same_time_one_copies_and_all_find_it_whole(template, database):
    starts = 8
    together = Barrier(starts)

    def start(_):
        together.wait()
        return copy_once(template, database), database.read_bytes()

    with ThreadPoolExecutor(starts) as pool:
        results = list(pool.map(start, range(starts)))

    assert [copied for copied, _ in results].count(True) == 1
    assert {found for _, found in results} == {template.read_bytes()}
    assert names(database) == ["prefect.db"]


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        pytest.param("2026", UP_TO_DATE, id="the image's own"),
        pytest.param("2025", {}, id="an older one"),
        pytest.param("2027", {}, id="a newer one"),
        pytest.param("", {}, id="none"),
    ],
)
def test_only_a_database_at_the_image_s_revision_is_spared_migrations(
    environ, database, make_database, revision, expected
):
    make_database(database, revision)
    before = database.read_bytes()

    assert seed(environ) == expected
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.write_bytes(b"no database at all" * 99), id="garbage"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(Path.mkdir, id="a folder"),
    ],
)
def test_what_cannot_be_read_is_left_to_prefect(environ, template, database, spoil):
    database.parent.mkdir()
    spoil(database)

    assert seed(environ) == {}

    # Not even when nothing can be read of both.
    template.write_bytes(b"")
    assert seed(environ) == {}


def test_a_revision_that_is_in_the_log_only_counts(environ, database, make_database):
    make_database(database, "2025")
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE alembic_version SET version_num = '2026'")
        writer.commit()

        assert seed(environ) == UP_TO_DATE


@pytest.mark.parametrize("folder", ["c#", "what?", "100%41", "a b"])
def test_the_revision_is_read_in_a_folder_of_any_name(tmp_path, make_database, folder):
    image, home = tmp_path / folder / "image", tmp_path / folder / "home"
    make_database(image / "baked" / "prefect.db", "2026")
    make_database(home / "same" / "prefect.db", "2026")
    make_database(home / "older" / "prefect.db", "2025")

    settings = {
        name: seed({"IMAGE_ROOT": str(image), "PREFECT_HOME": str(home / name)})
        for name in ("same", "older")
    }

    assert settings == {"same": UP_TO_DATE, "older": {}}


@pytest.mark.parametrize(
    "setting",
    [
        {"PREFECT_SERVER_DATABASE_DRIVER": "postgresql+asyncpg"},
        {"PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////elsewhere.db"},
        {"PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://h/db"},
        {"ROOST_DATABASE_URL_VARIABLE": "DB_URL"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_another_database_gets_nothing(environ, database, setting):
    assert seed(environ | setting) == {}
    assert not database.parent.exists()


def test_an_image_that_brings_none_copies_none(environ, template, database):
    template.unlink()

    assert seed(environ) == {}
    assert not database.parent.exists()
