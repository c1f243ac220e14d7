"""Litestream beside the server: it sends everything, is restarted, and its failures are logged."""

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

from helpers.waiting import until
from roost_server import litestream
from roost_server.litestream import LagReport, NotCopiedError, Replicator, empty_log
from roost_server.replica_config import read_replica, restore_lost
from roost_server.upgrade import COPY, guard_upgrade

DEPLOY = Path(__file__).parents[3] / "deploy"
# A server that writes, and is killed the moment after the last write was acknowledged.
KILLED = """
import os, signal, sqlite3, sys
from roost_server.litestream import NotCopiedError, Replicator
from roost_server.replica_config import read_replica

replicator = Replicator(read_replica(os.environ))
replicator.start()
while True:
    try:
        replicator.send()
        break
    except NotCopiedError:
        pass
connection = sqlite3.connect(os.environ["PREFECT_HOME"] + "/prefect.db", isolation_level=None)
for number in range(50):
    connection.execute("INSERT INTO note VALUES (?)", (f"row {number}",))
print(replicator._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def database(replicated, make_database):
    """A database as a server has it while it runs."""
    return make_database(Path(replicated["PREFECT_HOME"]) / "prefect.db", note="the first")


@pytest.fixture
def begin(replicated):
    """Starts the replicator, and waits until it has opened the database."""
    started = []

    def run(**extra):
        replicator = Replicator(read_replica(replicated | extra))
        started.append(replicator)
        replicator.start()
        until(lambda: is_complete(replicator))
        return replicator

    yield run
    for replicator in started:
        replicator.stop()


def litestream_of(replicator):
    """Return Litestream's process."""
    children = psutil.Process(replicator._process.pid).children()
    [found] = [child for child in children if child.name() == "litestream"]
    return found


def is_complete(replicator):
    """Return whether everything is in the bucket."""
    try:
        replicator.send()
    except NotCopiedError:
        return False
    return True


def write(path, *notes):
    """Write notes as Prefect writes rows: each in its own transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for note in notes:
            connection.execute("INSERT INTO note VALUES (?)", (note,))


@pytest.fixture
def copied(bucket, place, tmp_path, read_notes):
    """Reads the notes that are restored from the bucket."""
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

    litestream_of(replicator).kill()
    until(lambda: replicator._process is not first and is_complete(replicator))
    write(database, "after its end")
    replicator.flush()

    assert copied() == ["the first", "after its end"]
    told = capfd.readouterr().out
    assert "roost: Litestream ended with exit code 137; it is started again in 1 s" in told


def test_without_the_program_the_server_goes_on_and_it_is_told(replicated, database, capfd):
    told = []
    replicator = Replicator(read_replica(replicated | {"PATH": "/usr/bin:/bin"}))
    replicator.start()

    until(lambda: told.append(capfd.readouterr().out) or "is started again" in "".join(told))
    replicator.stop()

    assert "ended with exit code 127" in "".join(told)
    with pytest.raises(NotCopiedError, match="Litestream does not run"):
        replicator.send()
    assert database.exists()


def test_a_bucket_that_does_not_answer_is_trouble_and_passes(
    begin, bucket, database, copied, capfd, monkeypatch
):
    replicator = begin()
    bucket.hang()
    try:
        write(database, "meanwhile")
        monkeypatch.setattr(Replicator.send, "__defaults__", (0.5,))
        replicator.flush()
    finally:
        bucket.go_on()
    until(lambda: is_complete(replicator))
    replicator.flush()

    assert copied() == ["the first", "meanwhile"]
    told = capfd.readouterr().out
    assert (
        " is behind: nothing was sent for 0.5 s; see Litestream's messages above; the server continues"
        in told
    )
    assert " is complete again" in told


def test_a_bucket_that_is_gone_is_told_in_the_bucket_s_words(replicated, database, capfd):
    replicator = Replicator(read_replica(replicated | {"ROOST_REPLICA_URL": "s3://nobodys/x"}))
    replicator.start()

    until(lambda: replicator._folder is not None and "bucket" in trouble_of(replicator))
    replicator.stop()

    assert "NoSuchBucket" in trouble_of(replicator) or "does not run" in trouble_of(replicator)
    assert database.exists()
    capfd.readouterr()


def test_a_copy_that_never_begins_is_told_soon(replicated, database, capfd, monkeypatch):
    monkeypatch.setattr(litestream, "LOOK_S", 0.4)
    told = []
    missing = {"ROOST_REPLICA_URL": "s3://nobodys/x", "ROOST_REPLICA_EVERY_S": "3600"}
    replicator = Replicator(read_replica(replicated | missing))
    replicator.start()

    until(lambda: told.append(capfd.readouterr().out) or "is behind" in "".join(told))
    replicator.stop()

    assert "the replica s3://nobodys/x is behind: " in "".join(told)
    assert database.exists()


def trouble_of(replicator):
    """Return why the replica is incomplete, if it is."""
    try:
        replicator.send(0.5)
    except NotCopiedError as error:
        return str(error)
    return ""


def churn(path, rows):
    """Write so much that SQLite checkpoints and restarts its log, as with Prefect."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for number in range(rows):
            connection.execute("INSERT INTO note VALUES (?)", (f"{number} " + "x" * 3000,))


def test_the_log_is_copied_without_a_gap_when_it_is_full(begin, database, bucket, place, tmp_path):
    """Prefect writes like this; tests/e2e also shows whether Litestream releases the log."""
    replicator = begin()
    other = sqlite3.connect(database)  # a server's own: the log is not removed with the last writer
    other.execute("SELECT * FROM note").fetchall()
    for _ in range(4):
        churn(database, 400)
        replicator.flush()
    replicator.stop()
    other.close()

    back = bucket.fetch(place, tmp_path / "back.db")

    assert dump(back) == dump(database)


def test_what_was_written_while_it_did_not_run_leaves_no_gap(
    begin, database, bucket, place, tmp_path
):
    """SQLite restarted the log meanwhile, and Litestream's last position is still in it."""
    with closing(sqlite3.connect(database)) as other:
        replicator = begin()
        churn(database, 100)
        replicator.flush()
        replicator._ending.set()  # or it would be started again
        litestream_of(replicator).kill()
        replicator._process.wait()
        other.execute("SELECT * FROM note").fetchall()
        churn(database, 30)
        other.rollback()
        with closing(sqlite3.connect(database)) as full:
            full.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
        write(database, "the first of the new log")

        begin().stop()

    assert dump(bucket.fetch(place, tmp_path / "back.db")) == dump(database)


def dump(path):
    """Return the notes of a database in order, after an integrity check."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT rowid, text FROM note").fetchall()


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
    """This is the state after `roost restore`; later changes stay in the bucket's history."""
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


def test_the_log_is_emptied_whole_or_it_is_told(database, read_notes):
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO note VALUES ('in the log')")
        empty_log(database)
        assert database.with_name("prefect.db-wal").stat().st_size == 0
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            empty_log(database, limit_s=0.01)
        writer.execute("ROLLBACK")

    assert read_notes(database) == ["the first", "in the log"]


def test_no_database_is_made_where_there_is_none(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        empty_log(tmp_path / "prefect.db")

    assert list(tmp_path.iterdir()) == []


def test_it_is_looked_at_no_more_often_than_it_is_to_send(begin, database, monkeypatch):
    monkeypatch.setattr(litestream, "LOOK_S", 0.05)
    replicator = begin(ROOST_REPLICA_EVERY_S="3600")
    looked = []
    monkeypatch.setattr(replicator, "_check", lambda: looked.append("look"))
    time.sleep(0.5)

    assert looked == []
    assert database.exists()


def test_a_signal_to_the_server_s_group_does_not_reach_it(begin, database):
    """An init sends the signal of a stop to all processes, and the server writes until its end."""
    replicator = begin()

    assert os.getpgid(litestream_of(replicator).pid) != os.getpgid(os.getpid())
    assert database.exists()


def test_trouble_is_told_once_then_now_and_again_until_its_end(capfd, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(litestream.time, "monotonic", lambda: now[0])
    trouble = LagReport("s3://b/x")

    def note(reason, later=0.0):
        now[0] += later
        trouble.note(reason)
        return capfd.readouterr().out

    assert note("") == ""
    assert "s3://b/x is behind: no such bucket; the server continues" in note("no such bucket")
    assert note("no such bucket", later=600) == ""
    assert "is behind" in note("no such bucket", later=600)
    assert "is complete again" in note("", later=1)
    assert note("") == ""
