"""The program that copies a database to a real PostgreSQL: every row, or nothing.

`MOVE_RUNS=5000 ./run slow tests/e2e/test_move_rows.py -k every_row -s` prints how long a large one takes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from helpers.filled_database import EVENTS, LOGS, STATES, fill
from helpers.postgres import find_programs, postgres_server
from helpers.prefect_process import free_port
from helpers.waiting import LIMIT_S, until

PROGRAMS = find_programs()
RUNS = int(os.environ.get("MOVE_RUNS", "40"))
COUNTS = {
    "flow_run": RUNS,
    "flow_run_state": RUNS * len(STATES),
    "log": RUNS * LOGS,
    "events": RUNS * EVENTS,
    "event_resources": RUNS * EVENTS * 2,
}
ON_LOG = """
CREATE OR REPLACE FUNCTION spoil() RETURNS trigger AS $$ BEGIN {} RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER spoil BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION spoil();
"""
FULL = "RAISE EXCEPTION 'x' USING ERRCODE = 'disk_full';"
CUT = "PERFORM pg_terminate_backend(pg_backend_pid());"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"),
]


class Move:
    """A volume with a filled database, a PostgreSQL, and the program that copies."""

    def __init__(self, image, home, database):
        self.image, self.home, self.database = image, home, database
        self.file = home / "prefect.db"
        self.processes = []
        shutil.copyfile(image.folder / "baked" / "prefect.db", self.file)
        fill(self.file, RUNS)

    def begin(self):
        """Start the program."""
        process = subprocess.Popen(
            [self.image.bin / "python", "server.py", "move-database"],
            env={
                "PATH": f"{self.image.bin}:/usr/bin:/bin",
                "HOME": str(self.home),
                "LANG": "C.UTF-8",
                **self.image.env,
                "IMAGE_ROOT": str(self.image.folder),
                "PREFECT_HOME": str(self.home),
                "PREFECT_SERVER_API_PORT": str(free_port()),
                "ROOST_DATABASE_URL_VARIABLE": "DATABASE_URL",
                "DATABASE_URL": self.database.url,
            },
            cwd=self.image.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, code):
        """Run the program, check its exit code, and return what it printed."""
        process = self.begin()
        printed, _ = process.communicate(timeout=LIMIT_S * 60)
        assert process.returncode == code, printed
        assert self.database.password not in printed
        return printed

    def sql(self, statement):
        """Run SQL in PostgreSQL; return the first column of what it answers."""
        command = [PROGRAMS / "psql", self.database.url, "-qAtX", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*command, "-c", statement],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    def counts(self):
        """Return how many rows PostgreSQL has."""
        return {table: int(self.sql(f"SELECT count(*) FROM {table}")[0]) for table in COUNTS}

    def change(self, *statements):
        """Change the database on the volume."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    @property
    def stage(self):
        """How far the note on the volume says that the move is."""
        return json.loads((self.home / "roost-move.json").read_text())["stage"]


@pytest.fixture
def move(image, tmp_path):
    """A volume with a filled database, and an empty PostgreSQL."""
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS) as database:
        found = Move(image, tmp_path, database)
        try:
            yield found
        finally:
            for process in found.processes:
                process.kill()
                process.wait()


def tables_in(printed):
    """Return what was printed of each table."""
    return [line for line in printed.splitlines() if line.startswith("roost: copied ")]


def older_revision(image):
    """Return the first revision of PostgreSQL's schema that this Prefect knows."""
    folder = "lib/python*/site-packages/prefect/server/database/_migrations/versions/postgresql"
    first = min(image.bin.parent.glob(f"{folder}/*.py"))
    return re.search(r"^revision = [\"'](\w+)", first.read_text(), re.MULTILINE)[1]


def test_every_row_is_there_and_a_copy_may_be_repeated_but_not_over_the_data_of_others(move):
    printed = move.run(0)
    sys.stdout.write(printed)  # shown by -s

    assert move.counts() == COUNTS
    assert move.stage == "copied"
    assert f"copied flow_run: {RUNS} rows" in printed
    assert move.sql("SELECT extract(epoch FROM sum(total_run_time)) FROM flow_run") == [
        f"{RUNS * 5.25:.6f}"
    ]
    assert move.sql("SELECT value->>'fernet_key' FROM configuration") == ["x" * 44]
    references = move.sql("SELECT count(*) FROM pg_constraint WHERE contype = 'f'")
    if RUNS > 1000:
        return

    assert tables_in(move.run(0)) == tables_in(printed)
    assert move.sql("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == references
    (move.home / "roost-move.json").unlink()  # as on a volume that never made that copy
    said = move.run(1)

    assert "the target database is not empty: it has rows in event_resources" in said
    assert move.counts() == COUNTS


def test_what_cannot_be_copied_is_named_and_a_copy_that_ends_early_leaves_nothing(move):
    move.change(
        "UPDATE log SET message = 'hunter2' || char(0) WHERE rowid = 1",
        """UPDATE flow_run SET parameters = '{"a": NaN}' WHERE rowid = 1""",
        """UPDATE flow_run SET parameters = '["hunter2\\u0000"]' WHERE rowid = 2""",
    )
    said = move.run(1)

    assert "3 rows cannot be copied as they are: flow_run, row id " in said
    assert "parameters is JSON with NaN" in said
    assert "parameters is JSON with a NUL character" in said
    assert "message has a NUL character; nothing was written" in said
    assert "hunter2" not in said

    move.change(
        "UPDATE log SET message = 'well'",
        "UPDATE flow_run SET parameters = '{}'",
        "UPDATE flow_run SET flow_id = 'ffffffff-ffff-4fff-8fff-ffffffffffff' WHERE rowid = 3",
    )
    assert "flow_run, row rowid 3: refers to a row of flow that is not there" in move.run(1)

    move.change("UPDATE flow_run SET flow_id = (SELECT id FROM flow)")
    for spoiling, reason in ((FULL, "the disk of the database is full"), (CUT, "")):
        move.sql(ON_LOG.format(spoiling))
        said = move.run(1)
        assert reason in said
        assert "nothing was written" in said
        assert set(move.counts().values()) == {0}
        assert move.stage == "copying"
        move.sql("DROP FUNCTION spoil CASCADE")

    process = move.begin()
    begun = (move.home / "roost-move.json").stat().st_mtime_ns
    until(lambda: (move.home / "roost-move.json").stat().st_mtime_ns > begun)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    move.run(0)
    assert move.counts() == COUNTS

    older = older_revision(move.image)
    move.sql(f"UPDATE alembic_version SET version_num = '{older}'")
    assert "the schema of another Prefect version" in move.run(1)
    assert move.counts() == COUNTS
