"""A backup of a server that is being written to has every row acknowledged before it, and restores."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import httpx
import pytest

from helpers.prefect_site import APP, NAME, PrefectSite

pytestmark = pytest.mark.slow

WRITERS = 4


@pytest.fixture(scope="module")
def own_site(tmp_path_factory, image_cache):
    """A local Fly of this module's own: volumes come and go here."""
    found = PrefectSite(tmp_path_factory.mktemp("backups"), image_cache)
    try:
        yield found.start().bring_up()
    finally:
        found.daemon.clean()


class Load:
    """Clients that write without pause, and remember what was acknowledged."""

    def __init__(self, site, name="row"):
        self.site, self.name = site, name
        self.acknowledged = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(WRITERS)]

    def write(self, number):
        """Make one variable after another."""
        count = 0
        with self.site.http() as http:
            while not self.over.is_set():
                name = f"{self.name}_{number}_{count}"
                answer = http.post("/variables/", json={"name": name, "value": "kept"})
                if answer.status_code == httpx.codes.CREATED:
                    self.acknowledged.append(name)
                    count += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def rows(folder):
    """Return the names in a database that lies in a folder, which must be whole."""
    with closing(sqlite3.connect(folder / "prefect.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {name for (name,) in connection.execute("SELECT name FROM variable")}


@pytest.fixture(scope="module")
def backed_up(own_site):
    """A server whose backup was taken under load; what was acknowledged before it, and in all."""
    with Load(own_site) as load:
        while len(load.acknowledged) < 50:  # so that the log is not empty
            load.over.wait(0.01)
        own_site.before = set(load.acknowledged)
        own_site.made = own_site.roost.json("backup", NAME, "--local")
        mark = len(load.acknowledged)
        while len(load.acknowledged) < mark + 20:  # it goes on afterwards
            load.over.wait(0.01)
    own_site.all = set(load.acknowledged)
    return own_site


def test_a_backup_under_load_has_every_row_acknowledged_before_it_in_the_database_alone(backed_up):
    copy = backed_up.daemon.home / "snapshots" / backed_up.made["snapshot"]

    assert backed_up.made["rest"] == "held"
    assert not (copy / "prefect.db-wal").stat().st_size
    assert backed_up.before <= rows(copy) < backed_up.all
    assert backed_up.roost.json("backups", NAME, "--local")["backups"] == [backed_up.made]


def test_a_drill_proves_the_backup_beside_a_server_that_goes_on_answering(backed_up):
    machine = backed_up.machine
    copy = backed_up.daemon.home / "snapshots" / backed_up.made["snapshot"]
    saved = len(rows(copy))

    with Load(backed_up, "late") as load:
        done = backed_up.roost.json("restore", NAME, "--drill", "--local")
    backed_up.all |= set(load.acknowledged)

    assert all(check["ok"] for check in done["gate"])
    assert done["rows"]["variables"] == saved
    assert done["live_rows"]["variables"] > saved
    assert load.acknowledged
    assert (backed_up.machine, backed_up.state) == (machine, "started")
    assert list(backed_up.status()["apps"]) == ["acme-prefect"]


def test_a_restore_brings_exactly_the_rows_of_the_backup_and_keeps_what_was_there(backed_up):
    old, [volume] = backed_up.machine, backed_up.daemon.call("GET", f"{APP}/volumes")
    saved = rows(backed_up.daemon.home / "snapshots" / backed_up.made["snapshot"])

    done = backed_up.roost.json("restore", NAME, "--local")

    names = backed_up.ask("POST", "/variables/filter", {"limit": 200}).json()
    count = backed_up.ask("POST", "/variables/count", {}).json()
    assert count == len(saved)
    assert {row["name"] for row in names} <= saved
    assert backed_up.machine != old
    assert all(check["ok"] for check in done["gate"])
    assert done["gate"][-1]["name"] == "opened to all"
    assert done["kept_volume"] == volume["id"]
    assert rows(backed_up.daemon.home / "volumes" / volume["id"]) == backed_up.all
