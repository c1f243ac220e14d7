"""A real Prefect that found another database than its file names is never called good, nor backed up."""

from __future__ import annotations

import subprocess

import pytest

from helpers.prefect_process import PrefectProcess
from helpers.prefect_site import APP, NAME, PrefectSite
from helpers.waiting import LIMIT_S

PASSWORD = "p4ssw0rd-of-bob"
PARTS = (
    '{"driver": "postgresql+asyncpg", "host": "db.internal", "user": "bob", "name": "railway", '
    f'"password": "{PASSWORD}"}}'
)
ELSEWHERE = {"PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////tmp/elsewhere.db"}


def test_the_gate_proves_that_the_database_is_the_file_on_the_volume(site):
    [found] = [check for check in site.first_apply["gate"] if check["name"] == "database"]

    assert (found["ok"], found["detail"]) == (True, "sqlite on the volume")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["PREFECT_SERVER_DATABASE", "prefect_server_database"],
)
def test_a_database_that_only_prefect_finds_ends_the_start_at_once(image, tmp_path, name):
    server = PrefectProcess(image, tmp_path, **{name: PARTS})

    done = subprocess.run(
        image.command,
        env=server.environ(),
        cwd=image.folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert done.returncode == 1
    assert "cannot start: Prefect uses postgres, and not the file on the volume" in done.stderr
    assert not [word for word in (PASSWORD, "db.internal", "railway") if word in done.stderr]


@pytest.mark.slow
def test_a_server_that_was_given_another_database_by_hand_fails_smoke_wake_and_backup(
    tmp_path, image_cache
):
    site = PrefectSite(tmp_path, image_cache)
    try:
        site.start(scaling={"idle_after": "1h"}).bring_up()
        site.daemon.call("POST", f"{APP}/secrets", {"values": ELSEWHERE})
        site.daemon.call("POST", f"{APP}/machines/{site.machine}/restart")
        site.daemon.wait(APP, site.machine, "started")

        smoke = site.roost.run("smoke", NAME, "--local", expect=1)
        wake = site.roost.run("wake", NAME, "--local", expect=1)
        awake = site.roost.run("backup", NAME, "--local", expect=1)
        site.rest("stop", "stopped")
        asleep = site.roost.run("backup", NAME, "--local", expect=1)
        taken = site.roost.json("backups", NAME, "--local")["backups"]
    finally:
        site.daemon.clean()

    wrong = "the server uses sqlite elsewhere, and its file names sqlite on the volume"
    assert wrong in " ".join(smoke.stdout.split())
    assert "ok   flow run" not in smoke.stdout
    assert wrong in " ".join(wake.stderr.split())
    assert "not on its volume: its database is sqlite elsewhere." in awake.stderr
    assert "by PREFECT_API_DATABASE_CONNECTION_URL. " in asleep.stderr
    assert taken == []
