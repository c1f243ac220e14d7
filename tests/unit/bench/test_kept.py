"""What is counted as kept, lost and doubled of the work that clients did."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from bench.acknowledged_work import (
    LOG_START,
    Fate,
    Found,
    Work,
    compare,
    read_database,
    read_journals,
)
from bench.subjects.inflight import brief, rows

WORK = Work(frozenset({"a-1"}), frozenset({"a-1 0", "a-1 1"}))
ALL = Found(
    (("a-1", "Completed"),),
    (("a-1 0", "Completed"), ("a-1 1", "Completed")),
    ("a-1 0", "a-1 1"),
    ("a-1 1", "a-1 0"),
)


def test_what_is_all_there_is_neither_lost_nor_doubled():
    assert {(fate.lost, fate.doubled) for fate in compare(WORK, ALL).values()} == {(0, 0)}


def test_a_run_that_did_not_end_well_is_lost():
    found = Found((("a-1", "Crashed"),), (("a-1 0", "Running"), ("a-1 1", "Completed")), (), ())

    fates = compare(WORK, found)

    assert fates["flow runs"] == Fate(1, ("a-1",), 0)
    assert fates["task runs"] == Fate(2, ("a-1 0",), 0)
    assert fates["logs"].lost == fates["events"].lost == 2


def test_what_is_there_more_than_once_is_doubled_and_not_lost():
    found = Found(
        ALL.flow_runs * 2, ALL.task_runs, ("a-1 0", "a-1 0", "a-1 0", "a-1 1"), ALL.events
    )

    fates = compare(WORK, found)

    assert fates["flow runs"] == Fate(1, (), 1)
    assert fates["logs"] == Fate(2, (), 2)


@pytest.fixture
def database(tmp_path):
    """A database with what `read_database` reads of Prefect's."""
    file = tmp_path / "prefect.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        for table in ("flow_run", "task_run"):
            connection.execute(f"CREATE TABLE {table} (name, state_name)")
        connection.execute("CREATE TABLE log (message)")
        connection.execute("CREATE TABLE events (event, payload)")
        connection.execute("INSERT INTO flow_run VALUES ('a-1', 'Completed'), ('b-1', 'Failed')")
        for number in (0, 1):
            name = f"a-1 {number}"
            connection.execute("INSERT INTO task_run VALUES (?, 'Completed')", (name,))
            connection.execute("INSERT INTO log VALUES (?), ('another')", (LOG_START + name,))
            payload = json.dumps({"name": name})
            connection.execute("INSERT INTO events VALUES ('bench.tick', ?)", (payload,))
        connection.execute("INSERT INTO events VALUES ('prefect.other', '{}')")
    return file


def test_a_database_is_read_for_one_crowd_alone(database):
    found = read_database(database, "a-")

    assert (found.flow_runs, found.task_runs, found.logs) == (
        *(ALL.flow_runs, ALL.task_runs, ALL.logs),
    )
    assert set(found.events) == set(ALL.events)


def test_journals_say_which_runs_there_were_and_what_was_done(tmp_path):
    journal = tmp_path / "a-1.journal"
    journal.write_text("done a-1 0\ndone a-1 1\nend\n")

    assert read_journals([journal]) == WORK


def test_each_change_is_set_beside_the_restart_of_stock():
    lost = compare(WORK, Found(ALL.flow_runs, (), ALL.logs, ALL.events))

    found = {row.what: row for row in rows({"stop": [compare(WORK, ALL)]}, [lost])}

    assert found["stop: task runs lost"].ours.median == 0
    assert found["stop: task runs lost"].stock.median == 2
    assert found["stop: task runs lost"].met
    assert "2 of 2 lost (a-1 0, a-1 1)" in brief(lost)
