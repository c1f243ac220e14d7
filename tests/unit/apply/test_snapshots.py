"""A snapshot is the one that was not there before, waited for, of a database that holds still."""

from __future__ import annotations

import httpx
import pytest

from helpers import virtual_time
from helpers.fake_fly import FakeFly
from helpers.fly_answers import says
from helpers.histories import desired_of
from helpers.releasing import World
from roost.apply.snapshots import Snapshots
from roost.errors import (
    FlyRejectedError,
    FlyUnavailableError,
    NotHeldStillError,
    OtherDatabaseError,
    SnapshotError,
)
from roost.fly.client import FlyClient
from roost.plan.backups import Rest
from roost.plan.live import read_live
from roost.secret_text import SecretText

STOCK = "docker.io/prefecthq/prefect:3.8.8-python3.12"
HOLD = ("POST", "/roost/hold")


class SlowFly(FakeFly):
    """A Fly whose snapshots come to be one look later, and are whole another look later."""

    looks: int
    whole: bool

    def _snapshots(self, verb, key):
        taken = self.snapshots.setdefault(key, [])
        if verb == "POST":
            self.looks = 0
            return says(200)
        self.looks += 1
        if self.looks == 2:
            taken.append({"id": "vs_ours", "status": "running"})
        if self.looks == 3 and self.whole:
            taken[-1]["status"] = "created"
        return says(200, taken)


@pytest.fixture
def world():
    found = World()
    found.fly = SlowFly()
    found.fly.looks, found.fly.whole = 9, True
    assert found.apply(desired_of()).error is None
    return found


def take(world, state="stopped", now="", *, must_hold=False):
    """Take a snapshot of a server that was in a state, and is in another now; return what was told, too."""
    world.fly.settle(state)
    told = []

    async def run():
        transport = httpx.MockTransport(world.fly)
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
            live = await read_live(client, "acme-prefect")
            world.fly.settle(now or state)
            found = Snapshots(world.proof(client), told.append)
            return await found.take(live.volumes[0].id, live.machines, must_hold=must_hold)

    return virtual_time.run(run), told


def test_it_is_waited_for_until_it_is_whole(world):
    taken, told = take(world)

    [volume] = world.fly.volumes
    assert (taken.snapshot, taken.rest) == ("vs_ours", Rest.STOPPED)
    assert told == [f"take a snapshot of the volume {volume}"]
    assert world.fly.looks == 3


@pytest.mark.parametrize("carried_out", [True, False])
def test_an_answer_that_is_lost_is_looked_for_and_nothing_is_asked_for_twice(
    world, monkeypatch, carried_out
):
    known, asked = world.fly._snapshots, []

    def lose(verb, key):
        if verb != "POST":
            return known(verb, key) if carried_out or not asked else says(200, [])
        asked.append(key)
        known(verb, key)
        return says(503)

    monkeypatch.setattr(world.fly, "_snapshots", lose)

    if carried_out:
        assert take(world)[0].snapshot == "vs_ours"
    else:
        with pytest.raises(FlyUnavailableError):
            take(world)
    assert len(asked) == 1


def test_those_that_were_there_are_not_taken_for_it_though_they_are_whole_first(world):
    [volume] = world.fly.volumes
    world.fly.snapshots[volume] = [{"id": "vs_before", "status": "created"}]

    assert take(world)[0].snapshot == "vs_ours"


def test_one_that_is_never_whole_ends_the_wait_and_nothing_was_changed(world):
    world.fly.whole = False

    with pytest.raises(SnapshotError, match=r"was not complete within 600 s\. Nothing was changed"):
        take(world)


def test_a_server_that_cannot_hold_still_is_copied_as_it_is_and_that_is_told(world):
    """Before an upgrade, which may be what mends it."""
    world.answers = {HOLD: httpx.Response(500)}

    taken, told = take(world, "started")

    assert taken.rest is Rest.RUNNING
    assert told[1].startswith("the server cannot freeze writes (it answered 500")
    assert HOLD in world.prefect.asked


def test_a_backup_of_a_server_that_does_not_hold_still_fails_and_says_what_to_do(world):
    world.answers = {HOLD: httpx.Response(500)}

    with pytest.raises(NotHeldStillError, match=r"No backup was made: .*\(it answered 500\)") as e:
        take(world, "started", must_hold=True)

    [machine] = world.fly.machines
    assert f"`fly machine stop {machine} -a acme-prefect`" in str(e.value)
    assert world.fly.looks == 9


def report(database):
    return {"database": database, "api_path": "/api", "last_error": ""}


@pytest.mark.parametrize("database", ["postgres", "sqlite elsewhere"])
@pytest.mark.parametrize("must_hold", [True, False], ids=["backup", "upgrade"])
def test_a_server_whose_data_is_elsewhere_is_not_copied(world, database, must_hold):
    world.prefect.report = report(database)
    world.answers = {HOLD: httpx.Response(200, text="held\n")}

    with pytest.raises(OtherDatabaseError, match=f"not on its volume: its database is {database}"):
        take(world, "started", must_hold=must_hold)

    assert world.fly.looks == 9


def test_a_server_that_reports_nothing_and_holds_nothing_is_not_copied(world):
    world.answers = {HOLD: httpx.Response(405)}

    with pytest.raises(OtherDatabaseError, match="it answered 405: it has no database on its vol"):
        take(world, "started")

    assert world.fly.looks == 9


CHOICES = {
    "a secret": ({}, "PREFECT_API_DATABASE_CONNECTION_URL"),
    "a secret in small letters": ({}, "prefect_server_database_connection_url"),
    "JSON in a secret": ({}, "PREFECT_SERVER_DATABASE"),
    "a driver": ({"PREFECT_SERVER_DATABASE_DRIVER": "postgresql+asyncpg"}, ""),
    "another file": ({"PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite:////tmp/x.db"}, ""),
}


@pytest.mark.parametrize(("env", "secret"), CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("image", ["ours, asleep", "stock, awake"])
def test_what_cannot_be_asked_is_judged_by_its_variables_and_secrets(world, env, secret, image):
    world.env.update(env)
    if secret:
        world.fly.secrets[secret] = "by:hand"
    if image.startswith("stock"):
        next(iter(world.fly.machines.values()))["config"]["image"] = STOCK

    with pytest.raises(OtherDatabaseError) as caught:
        take(world, "started" if image.endswith("awake") else "stopped")

    assert f"by {secret or next(iter(env))}. A snapshot of the volume would miss it" in str(
        caught.value
    )
    assert world.fly.looks == 9


def test_a_server_that_reports_the_volume_is_copied_whatever_its_variables_are_called(world):
    own = "sqlite+aiosqlite:////data/prefect.db"
    world.env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = own
    world.fly.secrets["PREFECT_SERVER_DATABASE_NAME"] = "by:hand"
    world.prefect.report = report("sqlite on the volume")
    world.answers = {HOLD: httpx.Response(200, text="held\n")}

    assert take(world, "started")[0].snapshot == "vs_ours"


def test_settings_that_choose_nothing_or_the_volume_itself_are_no_obstacle_asleep(world):
    world.env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = "sqlite+aiosqlite:////data/prefect.db"
    world.env["PREFECT_SERVER_DATABASE_DRIVER"] = "sqlite+aiosqlite"
    world.env["PREFECT_SERVER_DATABASE_TIMEOUT"] = "20"

    assert take(world)[0].rest is Rest.STOPPED


def test_a_server_that_holds_still_says_how_long(world):
    world.answers = {HOLD: httpx.Response(200, text="held\n")}

    assert take(world, "started")[0].rest is Rest.FLUSHED  # it went on before it was whole


def test_what_runs_decides_whether_it_is_asked_and_not_what_the_file_says(world):
    world.apply(desired_of(image=STOCK))
    world.prefect.asked.clear()

    taken, told = take(world, "started")

    assert (taken.rest, told[1:]) == (
        Rest.RUNNING,
        ["the image is not Roost's: writes are not frozen during the snapshot"],
    )
    assert HOLD not in world.prefect.asked


def test_a_refusal_of_fly_is_told_as_such(world, monkeypatch):
    monkeypatch.setattr(world.fly, "_snapshots", lambda *_: says(422, {"error": "no"}))

    with pytest.raises(FlyRejectedError):
        take(world)


def test_a_server_that_wakes_while_it_is_copied_is_copied_again(world, monkeypatch):
    def wake(verb, key):
        world.fly.settle("started")
        return FakeFly._snapshots(world.fly, verb, key)

    monkeypatch.setattr(world.fly, "_snapshots", wake)

    taken, told = take(world)

    assert taken.rest is Rest.FLUSHED
    assert "the server woke meanwhile: take another snapshot" in told


def test_what_the_server_was_before_does_not_count(world):
    taken, _ = take(world, "stopped", now="started")

    assert taken.rest is Rest.FLUSHED
    assert HOLD in world.prefect.asked
