"""A backup of a server that is being written to has every row acknowledged before it, and restores."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import httpx
import pytest

from helpers.prefect_site import NAME, PrefectSite

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

    def __init__(self, site):
        self.site = site
        self.acknowledged = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(WRITERS)]

    def write(self, number):
        """Make one variable after another."""
        count = 0
        with self.site.http() as http:
            while not self.over.is_set():
                name = f"row_{number}_{count}"
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
    """Give the names in a database that lies in a folder, which must be whole."""
    with closing(sqlite3.connect(folder / "prefect.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {name for (name,) in connection.execute("SELECT name FROM variable")}


def test_a_backup_under_load_has_every_row_acknowledged_before_it_in_the_database_alone(own_site):
    with Load(own_site) as load:
        while len(load.acknowledged) < 50:  # so that the log is not empty
            load.over.wait(0.01)
        before = set(load.acknowledged)
        made = own_site.roost.json("backup", NAME, "--local")
        after = len(load.acknowledged)

    copy = own_site.daemon.home / "snapshots" / made["snapshot"]
    assert made["rest"] == "held"
    assert not (copy / "prefect.db-wal").stat().st_size
    assert before <= rows(copy) <= set(load.acknowledged)
    assert len(load.acknowledged) > after > len(before)
    [listed] = own_site.roost.json("backups", NAME, "--local")
    assert listed == made
