"""The program that copies a database to a real PostgreSQL: every row, or nothing.

`MOVE_RUNS=5000 ./run slow tests/e2e/test_move_rows.py -k every_row -s` prints how long a large one takes.
"""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest

from helpers.database_move import Move
from helpers.filled_database import EVENTS, LOGS, STATES
from helpers.postgres import find_programs, postgres_server
from helpers.waiting import until

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


@pytest.fixture
def move(image, tmp_path):
    """A volume with a filled database, and an empty PostgreSQL."""
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS) as database:
        found = Move(image, tmp_path, database, PROGRAMS)
        found.fill(RUNS)
        try:
            yield found
        finally:
            found.close()


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

    assert move.counts(COUNTS) == COUNTS
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
    assert move.counts(COUNTS) == COUNTS


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
        assert set(move.counts(COUNTS).values()) == {0}
        assert move.stage == "copying"
        move.sql("DROP FUNCTION spoil CASCADE")

    process = move.begin()
    begun = (move.home / "roost-move.json").stat().st_mtime_ns
    until(lambda: (move.home / "roost-move.json").stat().st_mtime_ns > begun)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    move.run(0)
    assert move.counts(COUNTS) == COUNTS

    older = older_revision(move.image)
    move.sql(f"UPDATE alembic_version SET version_num = '{older}'")
    assert "the schema of another Prefect version" in move.run(1)
    assert move.counts(COUNTS) == COUNTS
