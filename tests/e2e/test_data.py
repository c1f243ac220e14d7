"""What a server acknowledged is there after every kind of rest."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from helpers.prefect_site import APP


def suspend(site):
    """Freeze it."""
    site.rest("suspend", "suspended")


def restart_local_fly(site):
    """End every machine in order; the server ends in time, with its database whole."""
    site.daemon.stop()
    site.daemon.start()

    database = site.volume / "prefect.db"
    ending = site.daemon.machine(APP, site.machine)["events"][0]["request"]["exit_event"]
    assert (ending["exit_code"], ending["requested_stop"]) == (0, True)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.slow
@pytest.mark.parametrize("rest", [suspend, restart_local_fly])
def test_data_written_before_is_there_after(site, rest):
    name = f"before_{rest.__name__}"
    site.ask("POST", "/variables/", {"name": name, "value": "kept"})

    rest(site)

    assert site.ask("GET", f"/variables/name/{name}").json()["value"] == "kept"
