"""Litestream's configuration, and the restore of a database onto an empty volume."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing

import pytest

from helpers.bucket import KEYS
from roost_server.errors import BootError
from roost_server.replica_config import PROGRAM, read_replica, restore_lost, working_folder
from roost_server.settings import has_replica


def copy_once(replicated):
    """Let Litestream replicate the whole database to the bucket, and end."""
    replica = read_replica(replicated)
    with working_folder(replica) as folder:
        subprocess.run(
            [PROGRAM, "replicate", "-config", "litestream.json", "-no-expand-env", "-once"],
            cwd=folder,
            env=replica.environ(folder),
            check=True,
            capture_output=True,
        )
    return replica


def lose(replica):
    """Delete the volume."""
    folder = replica.database.parent
    folder.rename(folder.with_name("lost"))


def test_an_empty_volume_gets_the_database_back(
    replicated, tmp_path, make_database, read_notes, capfd
):
    make_database(tmp_path / "data" / "prefect.db", note="acknowledged")
    replica = copy_once(replicated)
    lose(replica)

    restore_lost(replicated)

    assert read_notes(replica.database) == ["acknowledged"]
    assert f"its database is back from {replicated['ROOST_REPLICA_URL']}" in capfd.readouterr().out
    assert [path.name for path in replica.database.parent.glob("*new*")] == []


def test_where_nothing_was_copied_yet_it_begins_anew_and_says_so(replicated, tmp_path, capfd):
    restore_lost(replicated)

    assert not (tmp_path / "data" / "prefect.db").exists()
    looking, outcome = capfd.readouterr().out.splitlines()
    assert looking.startswith("roost: the volume is empty; looking for its database at s3://")
    assert "starting with a new database" in outcome


@pytest.mark.parametrize("there", ["prefect.db", "prefect.db-wal"])
def test_a_volume_that_has_something_is_left_alone(
    replicated, tmp_path, make_database, there, capfd
):
    make_database(tmp_path / "data" / "prefect.db", note="in the bucket")
    replica = copy_once(replicated)
    lose(replica)
    replica.database.parent.mkdir()
    (replica.database.parent / there).write_bytes(b"something")

    restore_lost(replicated)

    assert [path.name for path in replica.database.parent.iterdir()] == [there]
    assert (replica.database.parent / there).read_bytes() == b"something"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"ROOST_REPLICA_URL": "s3://nobodys-bucket/x"}, id="no such bucket"),
        pytest.param({"AWS_SECRET_ACCESS_KEY": ""}, id="no key"),
    ],
)
def test_a_replica_that_cannot_be_read_is_not_taken_for_an_empty_one(replicated, tmp_path, wrong):
    """An empty database would otherwise replace the replica."""
    with pytest.raises(BootError) as caught:
        restore_lost(replicated | wrong)

    told = str(caught.value)
    assert told.startswith("the volume is empty, and the replica s3://")
    assert "fix database.replicate or the secrets" in told
    assert "\n" not in told
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in told
    assert list((tmp_path / "data").iterdir()) == []


def test_the_configuration_names_the_place_and_holds_no_key(replicated, bucket, tmp_path):
    replica = read_replica(replicated | {"ROOST_REPLICA_EVERY_S": "10"})
    text = replica.config(tmp_path)

    [database] = json.loads(text)["dbs"]
    assert database["path"] == str(replica.database)
    assert database["replica"] == {
        "url": replicated["ROOST_REPLICA_URL"],
        "endpoint": bucket.endpoint,
        "region": "us-east-1",
        "sync-interval": "250ms",
    }
    # What is looked for seldom is paid for seldom: each look makes one file, and so one request.
    assert database["monitor-interval"] == "10s"
    assert not [key for key in KEYS.values() if key in text]


def test_only_the_user_of_the_server_looks_into_the_working_folder(replicated):
    with working_folder(read_replica(replicated)) as folder:
        assert folder.stat().st_mode & 0o077 == 0

    assert not folder.exists()


def test_litestream_is_told_no_secret_but_its_own(replicated, tmp_path):
    login = {"PREFECT_SERVER_API_AUTH_STRING": "admin:s3cret"}
    given = read_replica(replicated | login).environ(tmp_path)

    assert KEYS.items() <= given.items()
    assert "s3cret" not in "".join(given.values())


def test_the_keys_are_in_no_text_that_people_see(replicated):
    replica = read_replica(replicated)

    assert not [key for key in KEYS.values() if key in repr(replica)]
    shown = replica.hide_keys(f"refused {KEYS['AWS_SECRET_ACCESS_KEY']}")
    assert shown == "refused (AWS_SECRET_ACCESS_KEY)"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, False),
        ({"ROOST_REPLICA_URL": "s3://b/x"}, True),
        ({"ROOST_REPLICA_URL": "s3://b/x", "ROOST_DATABASE_URL_VARIABLE": "DB_URL"}, False),
    ],
)
def test_only_a_database_of_ours_is_copied(settings, wanted):
    assert has_replica(settings) is wanted


def test_a_copy_that_is_not_whole_is_not_put_in_place(
    replicated, tmp_path, make_database, bucket, place
):
    with closing(sqlite3.connect(make_database(tmp_path / "data" / "prefect.db"))) as connection:
        connection.executemany("INSERT INTO note VALUES (?)", [("x" * 1000,)] * 500)
        connection.commit()
    replica = copy_once(replicated)
    lose(replica)
    for name in bucket.objects(place):
        bucket.spoil(name)

    with pytest.raises(BootError, match="cannot be read"):
        restore_lost(replicated)

    assert list((tmp_path / "data").iterdir()) == []
