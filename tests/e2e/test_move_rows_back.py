"""The program that copies a PostgreSQL to an empty volume: every row as it was, or no database there."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing

import pytest

from helpers.database_move import Move
from helpers.pgbouncer import PROGRAM, pgbouncer
from helpers.postgres import find_programs, postgres_server
from helpers.waiting import until

PROGRAMS = find_programs()
RUNS = 40
BACK = "move-to-volume"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"),
]


@pytest.fixture
def there(image, tmp_path):
    """A PostgreSQL with the rows of a volume that moved there, and that volume."""
    assert PROGRAMS is not None
    (tmp_path / "before").mkdir()
    with postgres_server(PROGRAMS) as database:
        found = Move(image, tmp_path / "before", database, PROGRAMS)
        found.fill(RUNS)
        try:
            found.run(0)
            yield found
        finally:
            found.close()


@pytest.fixture
def back(there, tmp_path):
    """An empty volume for the way back."""
    (tmp_path / "after").mkdir()
    found = Move(there.image, tmp_path / "after", there.database, PROGRAMS)
    yield found
    found.close()


def content(file):
    """Return every row of every table of a database, with JSON as it is meant and not as it is written."""
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        return {table: sorted(rows_of(connection, table)) for (table,) in tables}


def rows_of(connection, table):
    """Return the rows of a table, each as text with its JSON in one form."""
    rows = connection.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in rows.description]
    for row in rows.fetchall():
        yield repr([*zip(names, map(in_one_form, row), strict=True)])


def in_one_form(value):
    """Return a value, with the keys sorted if it is JSON: PostgreSQL sorts them by its own order."""
    is_json = isinstance(value, str) and value[:1] in ("{", "[")
    return json.dumps(json.loads(value), sort_keys=True) if is_json else value


def schema(file):
    """Return the SQL of everything in a database."""
    with closing(sqlite3.connect(file)) as connection:
        return set(connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall())


def test_every_row_comes_back_as_it_was_and_postgres_is_not_changed(there, back):
    before = there.sql("SELECT md5(string_agg(f::text, '' ORDER BY id)) FROM flow_run f")

    printed = back.run(0, BACK)

    assert f"copied flow_run: {RUNS} rows" in printed
    assert schema(back.file) == schema(there.file)
    found, wanted = content(back.file), content(there.file)
    assert found.keys() == wanted.keys()
    for table in wanted:
        assert found[table] == wanted[table], table
    assert there.sql("SELECT md5(string_agg(f::text, '' ORDER BY id)) FROM flow_run f") == before
    assert (back.home / "machine-id").read_text() == "postgres"

    again = back.run(0, BACK)  # as after a command that was killed before it read the result
    assert f"copied flow_run: {RUNS} rows" in again
    (back.home / "machine-id").write_text("e286de")  # as the server does when it admits clients
    assert "clients have written since" in back.run(0, BACK)
    (back.home / "machine-id").unlink()
    assert "the volume has a database already, which is not overwritten" in back.run(1, BACK)


def test_what_cannot_be_copied_leaves_no_database_on_the_volume(there, back):
    there.sql("ALTER TABLE flow_run ADD COLUMN ours text; UPDATE flow_run SET ours = 'hunter2'")
    said = back.run(1, BACK)
    assert "SQLite's schema has no column flow_run.ours, which has values" in said
    assert "hunter2" not in said
    there.sql("ALTER TABLE flow_run DROP COLUMN ours")

    there.sql("UPDATE flow_run SET start_time = 'infinity'")
    assert "start_time is no time" in back.run(1, BACK)
    there.sql("UPDATE flow_run SET start_time = created")

    version = there.sql("SELECT version_num FROM alembic_version")[0]
    there.sql("UPDATE alembic_version SET version_num = 'another'")
    assert "has the schema of another Prefect" in back.run(1, BACK)
    there.sql(f"UPDATE alembic_version SET version_num = '{version}'")

    assert list(back.home.iterdir()) == []
    process = back.begin(BACK)
    until((back.home / "prefect.db.copying").exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not back.file.exists()
    back.run(0, BACK)
    assert content(back.file)["flow_run"]


@pytest.mark.skipif(PROGRAM is None, reason="no PgBouncer here: apt-get install pgbouncer")
def test_both_ways_go_through_a_pooler_in_session_mode_and_none_in_transaction_mode(there, back):
    refused = "DATABASE_URL names a pooler in transaction mode"
    with pgbouncer(there.database, "transaction") as pooled:
        there.url = back.url = pooled.url
        assert refused in there.run(1)
        assert refused in back.run(1, BACK)
    assert not back.file.exists()
    with pgbouncer(there.database, "session") as pooled:
        there.url = back.url = pooled.url
        assert f"copied flow_run: {RUNS} rows" in there.run(0)
        assert f"copied flow_run: {RUNS} rows" in back.run(0, BACK)
    assert content(back.file) == content(there.file)


def test_a_source_that_somebody_writes_to_meanwhile_is_refused(there, back):
    """The writer waits for the lock of the copy, which therefore sees it."""
    writer = there.writing("UPDATE log SET level = level + 1")

    said = back.run(1, BACK)

    assert "writes to the PostgreSQL meanwhile, whose rows would be missing" in said
    assert writer.poll() is None
    assert not back.file.exists()
