"""Dumps of a real PostgreSQL: whole or not there, restored beside the database in use, and counted."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from helpers.bucket import KEYS, Bucket
from helpers.command_fixtures import clients, fly, prefect, rewrite, roost
from helpers.environments import POSTGRES
from helpers.local_daemon import SCRIPTS
from helpers.postgres import find_programs, postgres_server
from helpers.waiting import LIMIT_S

__all__ = ["clients", "fly", "prefect", "rewrite", "roost"]

PROGRAMS = find_programs()
NUMBERS = itertools.count(1)
# What Prefect's own schema has beside plain tables: an enumeration, trigrams, a sequence, a reference.
SCHEMA = """
CREATE DATABASE {0} OWNER owner;
\\connect {0} owner
CREATE EXTENSION pg_trgm;
CREATE TYPE state_type AS ENUM ('RUNNING', 'COMPLETED');
CREATE TABLE alembic_version (version_num text);
CREATE TABLE flow (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text);
CREATE INDEX ON flow USING gin (name gin_trgm_ops);
CREATE TABLE flow_run (id bigserial, flow uuid REFERENCES flow, state state_type, data jsonb);
INSERT INTO flow (name) SELECT 'flow-' || n FROM generate_series(1, 30) n;
INSERT INTO flow_run (flow, state, data) SELECT id, 'COMPLETED', '{{"a": 1}}' FROM flow;
"""
OLD = '#!/bin/sh\necho "pg_dump (PostgreSQL) 12.22"\n'
# Writes a part, and waits: what a dump looks like when its computer loses power.
SLOW = (
    '#!/bin/sh\n[ "$1" = --version ] && exec {0} --version\n{0} "$@"; touch "{1}"; exec sleep 60\n'
)

pytestmark = pytest.mark.skipif(
    PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"
)


@pytest.fixture(scope="module")
def server():
    """A server, and a user who may create databases."""
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS) as started:
        psql(started, "CREATE ROLE owner LOGIN CREATEDB PASSWORD 'hunter2';")
        yield started


def psql(server, script, database="postgres"):
    """Run statements as the administrator; gives what they print."""
    assert PROGRAMS is not None
    url = f"{server.url.removesuffix('postgres')}{database}"
    done = subprocess.run(
        [str(PROGRAMS / "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", url],
        input=script.replace(" owner\n", f" owner 127.0.0.1 {urlsplit(server.url).port}\n"),
        env={**os.environ, "PGPASSWORD": "hunter2"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def place(server, roost, rewrite, monkeypatch, tmp_path):
    """The command line of an environment on a database of the test's own; gives all three."""
    database = f"db{next(NUMBERS)}_"
    psql(server, SCHEMA.format(database))
    url = server.url.replace(f"postgres:{server.password}", "owner:hunter2")
    assert PROGRAMS is not None
    monkeypatch.setenv("DATABASE_URL", f"{url.removesuffix('postgres')}{database}")
    monkeypatch.setenv("ROOST_BACKUPS", str(tmp_path / "dumps"))
    monkeypatch.setenv("PATH", f"{PROGRAMS}:{os.environ['PATH']}")
    rewrite(POSTGRES)
    return roost, database, tmp_path / "dumps" / "staging"


def databases(server, beginning):
    """Return the databases whose name begins so."""
    found = psql(server, f"SELECT datname FROM pg_database WHERE datname LIKE '{beginning}%'")
    return sorted(found.split())


def test_a_dump_is_listed_drilled_and_restored_beside_the_database_in_use(server, place):
    roost, database, folder = place

    made = json.loads(roost("backup", "staging", "--json").out)
    psql(server, "DELETE FROM flow_run", database)
    listed = json.loads(roost("backups", "staging", "--json").out)["backups"]
    drilled = roost("restore", "staging", "--drill")
    after_drill = databases(server, database)
    restored = json.loads(roost("restore", "staging", "--json").out)

    assert made["rows"] == {"alembic_version": 0, "flow": 30, "flow_run": 30}
    assert [one["name"] for one in listed] == [made["name"]]
    assert "with all 60 rows of 3 tables" in " ".join(drilled.out.split())
    assert after_drill == [database]
    assert databases(server, database) == sorted([database, restored["database"]])
    runs = "SELECT count(*), count(DISTINCT id), min(state) FROM flow_run"
    assert psql(server, runs, restored["database"]) == "30|30|COMPLETED\n"
    assert psql(server, "SELECT nextval('flow_run_id_seq')", restored["database"]) == "31\n"
    assert psql(server, runs, database) == "0|0|\n"
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert {oct(path.stat().st_mode)[-3:] for path in folder.iterdir()} == {"600"}
    assert "hunter2" not in drilled.out + drilled.err


@pytest.mark.slow
def test_a_dump_in_a_bucket_is_listed_drilled_and_restored_and_leaves_no_file_here(
    server, place, rewrite, monkeypatch, tmp_path
):
    roost, database, folder = place
    bucket = Bucket(tmp_path)
    kept = {"url": bucket.url("prefect/staging"), "endpoint": bucket.endpoint}
    rewrite({**POSTGRES, "database": {**POSTGRES["database"], "backups": kept}})
    monkeypatch.setenv("GITHUB_ACTIONS", "true")  # whose disk ends with the job
    try:
        without = roost("backup", "staging")
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        made = json.loads(roost("backup", "staging", "--json").out)
        listed = json.loads(roost("backups", "staging", "--json").out)
        drilled = roost("restore", "staging", "--drill")
        after_drill = databases(server, database)
        restored = json.loads(roost("restore", "staging", "--json").out)
        bucket.spoil(f"prefect/staging/{made['name']}")
        spoiled = roost("restore", "staging", "--drill")
    finally:
        bucket.close()
    gone = roost("backups", "staging")

    assert without.code == 3
    assert "AWS_ACCESS_KEY_ID" in without.err
    assert made["path"] == f"{kept['url']}/{made['name']}"
    assert listed["folder"] == kept["url"]
    assert [one["sha256"] for one in listed["backups"]] == [made["sha256"]]
    assert "with all 60 rows of 3 tables" in " ".join(drilled.out.split())
    assert after_drill == [database]
    assert psql(server, "SELECT count(*) FROM flow_run", restored["database"]) == "30\n"
    assert "its sha256 is another one" in " ".join(spoiled.err.split())
    assert databases(server, database) == sorted([database, restored["database"]])
    assert list(folder.iterdir()) == []
    assert gone.code == 1
    assert "The bucket s3://copies/prefect/staging at" in " ".join(gone.err.split())
    said = "".join(one.out + one.err for one in (without, drilled, spoiled, gone))
    assert not any(value in said for value in (*KEYS.values(), "hunter2"))


@pytest.mark.slow
def test_a_killed_dump_leaves_nothing_that_looks_whole_and_shows_no_password(
    place, tmp_path, monkeypatch
):
    roost, _, folder = place
    programs, written = tmp_path / "programs", tmp_path / "written"
    script(programs, SLOW.format(PROGRAMS / "pg_dump", written))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    command = [sys.executable, "-m", "roost", "backup", "staging"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(SCRIPTS)}) as process:
        ends = time.monotonic() + LIMIT_S
        while not written.exists():
            assert time.monotonic() < ends
            assert process.poll() is None
            time.sleep(0.05)
        lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        process.send_signal(signal.SIGKILL)
    os.kill(int(children.stdout), signal.SIGKILL)

    assert "hunter2" not in lines.stdout
    assert [path.suffix for path in folder.iterdir()] == [".part"]
    assert json.loads(roost("backups", "staging", "--json").out)["backups"] == []
    assert roost("restore", "staging").code == 3


def script(folder, text):
    """Write a program in the place of pg_dump."""
    folder.mkdir()
    (folder / "pg_dump").write_text(text)
    (folder / "pg_dump").chmod(0o755)


def test_an_older_pg_dump_is_refused_before_anything_is_written(place, tmp_path, monkeypatch):
    roost, _, folder = place
    script(tmp_path / "programs", OLD)
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")

    said = roost("backup", "staging")

    assert said.code == 3
    assert "is of PostgreSQL 12, and the server is of" in " ".join(said.err.split())
    assert "postgresql-client-" in said.err
    assert not folder.exists()


def test_a_damaged_dump_and_a_user_who_may_not_are_refused_and_leave_no_database(server, place):
    roost, database, folder = place
    made = json.loads(roost("backup", "staging", "--json").out)
    psql(server, "ALTER ROLE owner NOCREATEDB")
    try:
        may_not = roost("restore", "staging")
    finally:
        psql(server, "ALTER ROLE owner CREATEDB")
    with (folder / made["name"]).open("ab") as dump:
        dump.write(b"x")
    damaged = roost("restore", "staging", "--drill")
    psql(server, "DROP TABLE flow_run", database)
    empty = roost("backup", "staging")

    assert (may_not.code, damaged.code, empty.code) == (1, 1, 1)
    assert "has no table flow_run of Prefect's" in " ".join(empty.err.split())
    assert [path.name for path in folder.glob("*.dump")] == [made["name"]]
    assert "permission denied to create database" in " ".join(may_not.err.split())
    assert "its sha256 is another one" in " ".join(damaged.err.split())
    assert databases(server, database) == [database]
