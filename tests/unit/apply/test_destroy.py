"""A destroy copies what nobody writes to any more, whatever happened since it was asked for."""

from __future__ import annotations

import httpx
import pytest

from helpers import virtual_time
from helpers.applying import EveryName
from helpers.histories import desired_of
from helpers.releasing import World
from roost.apply.destroy import Destroyer
from roost.apply.snapshots import Snapshots
from roost.apply.work import Work, lease_holder
from roost.fly.client import FlyClient
from roost.plan.live import read_live
from roost.secret_text import SecretText

DESIRED = desired_of()


@pytest.fixture
def world():
    found = World()
    assert found.apply(DESIRED).error is None
    return found


def destroy(world, before, since):
    """Destroy a server that was in a state when it was looked at, and is in another since."""
    world.fly.settle(before)
    told = []

    async def run():
        transport = httpx.MockTransport(world.fly)
        async with (
            FlyClient("http://fly.test", SecretText("t"), transport=transport) as client,
            lease_holder(client, DESIRED.app, told.append, "roost destroy") as leases,
        ):
            live = await read_live(client, DESIRED.app)
            world.fly.settle(since)
            work = Work(client, leases, EveryName(), told.append)
            snapshots = Snapshots(world.proof(client), told.append)
            return await Destroyer(work, snapshots, DESIRED).destroy(live)

    world.fly.asked.clear()
    return virtual_time.run(run), told


def test_a_server_that_woke_since_is_stopped_before_it_is_copied(world):
    [machine], [volume] = world.fly.machines, world.fly.volumes

    [last], told = destroy(world, "stopped", "started")

    changes = world.fly.changes
    stopped, copied = (
        changes.index(f"POST machines/{machine}/stop"),
        changes.index(f"POST volumes/{volume}/snapshots"),
    )
    assert stopped < copied
    assert last.volume == volume
    assert not [line for line in told if "cannot freeze writes" in line]
    assert (world.fly.machines, world.fly.volumes) == ({}, {})


def test_a_server_that_sleeps_is_copied_as_it_lies(world):
    [machine] = world.fly.machines

    destroy(world, "started", "stopped")

    assert f"POST machines/{machine}/stop" not in world.fly.changes


def test_what_the_server_was_on_is_copied_last_as_a_restore_takes_the_newest(world):
    [used] = world.fly.volumes
    left = {"id": "vol_0", "name": "data", "state": "created", "attached_machine_id": None}
    left |= {"region": "iad", "size_gb": 1, "snapshot_retention": 5}
    world.fly.volumes = {used: world.fly.volumes[used], "vol_0": left}
    world.fly.data["vol_0"] = "from before a restore"

    last, _ = destroy(world, "started", "started")

    assert [(found.volume, found.in_use) for found in last] == [("vol_0", False), (used, True)]
