"""`roost up --exit`, the newcomer's command, on a volume that has a database of an older Prefect."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

from helpers.local_daemon import LocalDaemon
from helpers.prefect_site import APP, NAME
from helpers.prefect_versions import NEWEST
from helpers.roost_command import RoostCommand

IDLE_S = 5


def older_database(image, folder):
    """Make a database at the schema before the newest, with something in it."""
    shutil.copy(image.folder / "baked" / "prefect.db", folder)
    subprocess.run(
        [image.bin / "prefect", *("server", "database", "downgrade", "-y", "-r", "-1")],
        env={**os.environ, "PREFECT_HOME": str(folder)},
        check=True,
        capture_output=True,
    )
    database = folder / "prefect.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("""INSERT INTO variable (name, value) VALUES ('old', '"kept"')""")
    return database


def put_on_volume(database, daemon):
    """Have an app with a volume that holds the database, and no machine; return its new path."""
    daemon.start()
    daemon.new_app(APP.removeprefix("/apps/"))
    fields = {"name": "data", "region": "iad", "size_gb": 1}
    volume = daemon.call("POST", f"{APP}/volumes", fields)["id"]
    daemon.stop()
    return shutil.copy(database, daemon.home / "volumes" / volume)


def read(database, query):
    """Ask a database for one value."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchone()[0]


REVISION = "SELECT version_num FROM alembic_version"


@pytest.mark.slow
def test_up_migrates_proves_sees_it_sleep_and_wake_and_leaves_nothing_running(
    tmp_path, image, image_cache
):
    roost = RoostCommand(tmp_path, image_cache)
    prefect, scaling = {"version": NEWEST}, {"idle_after": f"{IDLE_S}s"}
    roost.write(NAME, prefect=prefect, scaling=scaling)
    daemon = LocalDaemon(roost.home, image_cache)
    older = older_database(image, tmp_path)
    database = put_on_volume(older, daemon)

    try:
        done = roost.run("up", NAME, "--exit")
        left_running = daemon.machine_processes()
    finally:
        daemon.command("stop")
        daemon.clean()

    said = [
        "demo.yaml is valid.",
        "machine/app-1  create the machine app-1 in iad",
        "demo is healthy at http://127.0.0.1:",
        "export PREFECT_API_URL=http://127.0.0.1:",
        "export PREFECT_API_AUTH_STRING=USER:PASSWORD",
        f"It sleeps after {IDLE_S} s of quiet; the next request wakes it.",
        "Connect your Prefect: ./run roost connect demo --local",
        "Waiting until it sleeps by itself, for ",
        "It sleeps: suspended.",
        "A request woke it and was answered after ",
        "Stopping the local Fly. What it stored is kept.",
    ]
    assert re.search(".*".join(map(re.escape, said)), done.stdout, re.DOTALL)
    assert done.stderr.count("has no value here. For the local Fly it is: admin:") == 1
    assert left_running == []
    assert read(database, REVISION) == read(image.folder / "baked" / "prefect.db", REVISION)
    assert read(database, REVISION) != read(older, REVISION)
    assert read(database, "SELECT value FROM variable WHERE name = 'old'") == '"kept"'
