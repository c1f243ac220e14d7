"""A database that is copied to a bucket comes back on a new volume when the old one is gone."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing, contextmanager

import httpx
import pytest

from helpers.bucket import KEYS, Bucket
from helpers.prefect_site import APP, NAME, PrefectSite
from helpers.waiting import until
from roost.environment.model import AUTH_SECRET

pytestmark = pytest.mark.slow

PLACE = "prefect/demo"


class CopiedSite(PrefectSite):
    """A Prefect server whose database is copied to a bucket."""

    def __init__(self, folder, cache, bucket):
        super().__init__(folder, cache)
        self.roost.env.update(KEYS)
        self.bucket = bucket
        self.folder = folder

    def copy_every(self, interval):
        """Have the file ask for copies that often, and apply it."""
        replicate = {
            "url": self.bucket.url(PLACE),
            "endpoint": self.bucket.endpoint,
            "region": "us-east-1",
            "sync_interval": interval,
        }
        self.roost.write(
            NAME,
            scaling={"idle_after": "5s"},
            database={"backend": "sqlite", "replicate": replicate},
            secrets=[AUTH_SECRET, *KEYS],
        )
        self.apply()

    def apply(self):
        """Make it so."""
        return self.roost.json("apply", NAME, "--local")

    @property
    def volume(self):
        """The one volume that is in use, and its folder."""
        [volume] = [
            volume
            for volume in self.daemon.call("GET", f"{APP}/volumes")
            if volume["state"] != "pending_destroy"
        ]
        return volume["id"]

    @property
    def log(self):
        """What the machine has said so far."""
        return self.roost.run("local", "logs", APP.removeprefix("/apps/")).stdout

    def lose_volume(self):
        """Take the machine away, killed at once where it runs, and its volume."""
        volume, machine = self.volume, self.machine
        self.daemon.call("DELETE", f"{APP}/machines/{machine}?force=true")
        self.daemon.call("DELETE", f"{APP}/volumes/{volume}")

    def kill_machine(self):
        """End all of its processes at one moment, as a host that fails does."""
        processes = self.daemon.machine_processes()
        assert "litestream" in {process.name() for process in processes}
        for process in processes:
            process.suspend()
        for process in processes:
            process.kill()

    def in_bucket(self):
        """Return the notes that would come back now."""
        return notes_in(self.bucket.fetch(PLACE, self.folder / "fetched.db"))

    def served(self, names):
        """Ask the server itself which of the notes it has."""
        return {name for name in names if self.has(name)}

    def has(self, name):
        """Ask the server for one note."""
        with self.http() as http:
            return http.get(f"/variables/name/{name}").is_success


def notes_in(database):
    """Return the names of Prefect's variables in a database that is whole."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {name for (name,) in connection.execute("SELECT name FROM variable")}


@contextmanager
def writing(site, prefix):
    """Write notes all the time; gives the list of those acknowledged, with the moment of each."""
    over = threading.Event()
    acknowledged = []

    def write():
        number = 0
        with site.http() as http:
            while not over.is_set():
                name = f"{prefix}_{number:05}"
                try:
                    answer = http.post("/variables/", json={"name": name, "value": number})
                except httpx.HTTPError:  # it was killed in the midst of it
                    return
                if answer.is_success:
                    acknowledged.append((name, time.monotonic()))
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield acknowledged
    finally:
        over.set()
        writer.join()


@pytest.fixture(scope="module")
def site(tmp_path_factory, image_cache):
    folder = tmp_path_factory.mktemp("copied")
    bucket = Bucket(folder)
    found = CopiedSite(folder, image_cache, bucket)
    try:
        found.daemon.start()
        found.copy_every("1s")
        yield found
    finally:
        found.daemon.clean()
        bucket.close()


def test_after_a_machine_was_killed_and_its_volume_lost_what_was_copied_is_back(site, capsys):
    site.copy_every("1s")
    site.wake()
    with writing(site, "killed") as acknowledged:
        until(lambda: len(acknowledged) > 100)
        copied = site.in_bucket()
        until(lambda: len(acknowledged) > 200)
        killed = time.monotonic()
        site.kill_machine()
        site.lose_volume()
    acknowledged = [(name, at) for name, at in acknowledged if at < killed]

    site.apply()

    back = notes_in(site.daemon.home / "volumes" / site.volume / "prefect.db")
    lost = [(name, at) for name, at in acknowledged if name not in back]
    oldest = max((killed - at for _, at in lost), default=0.0)
    with capsys.disabled():
        print(  # noqa: T201 - a figure for people; the bench measures it
            f"\nmachine killed, volume lost: {len(lost)} of {len(acknowledged)} writes lost, "
            f"the oldest {oldest:.2f} s before the end"
        )
    # Nothing that was copied is lost, and what is lost is the end: there is no hole.
    assert copied
    assert copied <= back
    assert lost == acknowledged[len(acknowledged) - len(lost) :]
    assert len(lost) < len(acknowledged)
    assert site.served([name for name, _ in acknowledged[:5]]) == {
        name for name, _ in acknowledged[:5]
    }
    assert "its database is back from s3://copies/prefect/demo" in site.log


def test_after_a_stop_in_order_nothing_is_lost_with_the_volume(site):
    site.copy_every("1h")  # by itself it would come too late
    site.wake()
    with writing(site, "stopped") as acknowledged:
        until(lambda: len(acknowledged) > 50)
    site.rest("stop", "stopped")  # a writer would wake it
    ending = site.daemon.machine(APP, site.machine)["events"][0]["request"]["exit_event"]
    site.lose_volume()

    site.apply()

    assert (ending["exit_code"], ending["requested_stop"]) == (0, True)
    written = {name for name, _ in acknowledged}
    back = notes_in(site.daemon.home / "volumes" / site.volume / "prefect.db")
    assert written - back == set()
    assert site.has(acknowledged[-1][0])


def test_before_it_sleeps_everything_is_copied_and_after_it_wakes_it_goes_on(site):
    site.copy_every("1h")
    site.ask("POST", "/variables/", {"name": "before_sleep", "value": 1})

    until(lambda: site.state == "suspended")
    asleep = site.in_bucket()
    site.wake()
    site.ask("POST", "/variables/", {"name": "after_sleep", "value": 1})
    until(lambda: site.state == "suspended")

    assert "before_sleep" in asleep
    assert "after_sleep" in site.in_bucket()
    assert "is behind" not in site.log
