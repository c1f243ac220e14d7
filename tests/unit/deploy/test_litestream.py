"""Litestream beside the server: it sends everything, comes back when it ends, and its trouble is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from roost_server import litestream
from roost_server.litestream import Replicator, Trouble
from roost_server.replica import read_replica, restore_lost
from roost_server.upgrade import COPY, guard_upgrade

DEPLOY = Path(__file__).parents[3] / "deploy"
PATIENCE_S = 60
# A server that writes, and is killed the moment after the last write was acknowledged.
KILLED = """
import os, signal, sqlite3, sys
from roost_server.litestream import Replicator
from roost_server.replica import read_replica

replicator = Replicator(read_replica(os.environ))
replicator.start()
while replicator.sync():
    pass
connection = sqlite3.connect(os.environ["PREFECT_HOME"] + "/prefect.db", isolation_level=None)
for number in range(50):
    connection.execute("INSERT INTO note VALUES (?)", (f"row {number}",))
print(*replicator._threads, replicator._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def database(replicated, make_database):
    """A database as a server has it while it runs."""
    return make_database(Path(replicated["PREFECT_HOME"]) / "prefect.db", note="the first")


@pytest.fixture
def begin(replicated):
    """Starts what copies the database, and waits until it has taken hold."""
    started = []

    def run(**extra):
        replicator = Replicator(read_replica(replicated | extra))
        started.append(replicator)
        replicator.start()
        until(lambda: replicator.sync() == "")
        return replicator

    yield run
    for replicator in started:
        replicator.stop()


def until(reached):
    """Wait for something that comes by itself."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def write(path, *notes):
    """Write notes as Prefect writes rows: each is acknowledged by itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for note in notes:
            connection.execute("INSERT INTO note VALUES (?)", (note,))


@pytest.fixture
def copied(bucket, place, tmp_path, read_notes):
    """Reads the notes that come back from the bucket."""
    return lambda: read_notes(bucket.fetch(place, tmp_path / "back.db"))


def test_before_a_sleep_everything_that_was_acknowledged_is_sent(begin, database, copied):
    replicator = begin(ROOST_REPLICA_EVERY_S="3600")  # by itself it would come too late
    write(database, "just now")

    replicator.flush()

    assert copied() == ["the first", "just now"]


def test_at_the_end_everything_that_was_acknowledged_is_sent(begin, database, copied):
    replicator = begin(ROOST_REPLICA_EVERY_S="3600")
    write(database, "the last")

    replicator.stop()

    assert copied() == ["the first", "the last"]
    assert threading.active_count() == len(threading.enumerate())
    assert not [t for t in threading.enumerate() if t.name.startswith("litestream")]


def test_a_server_that_is_killed_loses_nothing_as_litestream_outlives_it(
    replicated, database, copied
):
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=replicated | {"PYTHONPATH": str(DEPLOY), "ROOST_REPLICA_EVERY_S": "3600"},
        capture_output=True,
        text=True,
        check=False,
    )
    child = int(done.stdout.split()[-1])
    until(lambda: not psutil.pid_exists(child))

    assert done.returncode == -signal.SIGKILL
    assert copied() == ["the first", *(f"row {number}" for number in range(50))]
    assert database.exists()


def test_one_that_ends_is_started_again_and_goes_on(begin, database, copied, capfd):
    replicator = begin()
    first = replicator._process

    first.kill()
    until(lambda: replicator._process is not first and replicator.sync() == "")
    write(database, "after its end")
    replicator.flush()

    assert copied() == ["the first", "after its end"]
    told = capfd.readouterr().out
    assert "roost: Litestream ended (exit code -9); it is started again in 1 s" in told


def test_without_the_program_the_server_goes_on_and_it_is_told(replicated, database, capfd):
    told = []
    replicator = Replicator(read_replica(replicated | {"PATH": "/nonexistent"}))
    replicator.start()

    until(lambda: told.append(capfd.readouterr().out) or "Litestream ended (" in "".join(told))
    replicator.stop()

    assert "No such file or directory" in "".join(told)
    assert replicator.sync() == "Litestream does not run"
    assert database.exists()


def test_a_bucket_that_does_not_answer_is_trouble_and_passes(
    begin, bucket, database, copied, capfd, monkeypatch
):
    monkeypatch.setattr(litestream, "SYNC_LIMIT_S", 1.0)
    replicator = begin()
    bucket.hang()
    try:
        write(database, "meanwhile")
        reason = replicator.sync(1.0)
        replicator._trouble.note(reason)
    finally:
        bucket.go_on()
    until(lambda: replicator.sync() == "")
    replicator.flush()

    assert reason
    assert copied() == ["the first", "meanwhile"]
    told = capfd.readouterr().out
    assert f" is behind: {reason}; the server goes on" in told
    assert " has everything again" in told


def test_lost_notes_do_not_keep_it_from_going_on(begin, database, copied, monkeypatch, capfd):
    monkeypatch.setattr(litestream, "LOOK_S", 0.1)
    replicator = begin()
    shutil.rmtree(replicator._replica.state / "ltx")
    write(database, "after the loss")

    until(lambda: replicator.sync() == "")

    assert copied() == ["the first", "after the loss"]
    assert "is behind" in capfd.readouterr().out


def test_a_database_that_an_upgrade_put_back_takes_the_place_of_the_migrated_one(
    begin, replicated, database, copied, make_database, tmp_path
):
    old, new = (tmp_path / name for name in ("old", "new"))
    for image, revision, known in ((old, "2026", ["2026"]), (new, "2027", ["2026", "2027"])):
        make_database(image / "baked" / "prefect.db", revision)
        (image / "baked" / "revisions.json").write_text(json.dumps(known))
    begin().stop()
    guard_upgrade(replicated | {"IMAGE_ROOT": str(new)}, time.time())
    write(database, "of the migrated one")
    begin().stop()  # nobody proved it for long, so that it was copied too
    assert copied()[-1] == "of the migrated one"

    guard_upgrade(replicated | {"IMAGE_ROOT": str(old)}, time.time())
    replicator = begin()
    write(database, "after it was put back")
    replicator.stop()

    assert copied() == ["the first", "after it was put back"]
    assert not database.with_name(COPY).exists()


def test_an_older_volume_that_comes_back_takes_the_place_of_the_newer(
    begin, database, copied, tmp_path
):
    """So it is after `roost restore`: what was copied since stays in the bucket's history."""
    replicator = begin()
    write(database, "kept")
    replicator.stop()
    shutil.copytree(database.parent, tmp_path / "snapshot")
    replicator = begin()
    write(database, *(f"given up {number}" for number in range(20)))
    replicator.stop()

    shutil.rmtree(database.parent)
    shutil.copytree(tmp_path / "snapshot", database.parent)
    replicator = begin()
    write(database, "after the restore")
    replicator.stop()

    assert copied() == ["the first", "kept", "after the restore"]


def test_a_new_volume_goes_on_where_the_lost_one_was(begin, replicated, database, copied):
    replicator = begin()
    write(database, "before the loss")
    replicator.stop()
    shutil.rmtree(database.parent)

    restore_lost(replicated)
    replicator = begin()
    write(database, "after the loss")
    replicator.stop()

    assert copied() == ["the first", "before the loss", "after the loss"]


def test_another_place_gets_the_whole_database(begin, bucket, place, database, copied, tmp_path):
    begin().stop()
    replicator = begin(ROOST_REPLICA_URL=bucket.url(f"{place}/moved"))
    write(database, "in the new place")
    replicator.stop()

    moved = bucket.fetch(f"{place}/moved", tmp_path / "moved.db")

    with closing(sqlite3.connect(moved)) as connection:
        assert connection.execute("SELECT count(*) FROM note").fetchone() == (2,)
    assert copied() == ["the first"]


def test_a_signal_to_the_server_s_group_does_not_reach_it(begin, database):
    """An init passes the signal of a stop on to all, and the server writes until its own end."""
    replicator = begin()

    assert os.getpgid(replicator._process.pid) != os.getpgid(os.getpid())
    assert database.exists()


def test_trouble_is_told_once_then_now_and_again_until_its_end(capfd, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(litestream.time, "monotonic", lambda: now[0])
    trouble = Trouble("s3://b/x")

    def note(reason, later=0.0):
        now[0] += later
        trouble.note(reason)
        return capfd.readouterr().out

    assert note("") == ""
    assert "s3://b/x is behind: no such bucket; the server goes on" in note("no such bucket")
    assert note("no such bucket", later=600) == ""
    assert "is behind" in note("no such bucket", later=600)
    assert "has everything again" in note("", later=1)
    assert note("") == ""
