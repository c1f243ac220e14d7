"""Volumes are extended as the mounts of their machines ask."""

from __future__ import annotations

import asyncio
import threading

import pytest

from helpers.waiting import LIMIT_S
from localfly.api.volumes import show_volume
from localfly.api_errors import ApiError
from localfly.config.machine_config import check_config
from localfly.machines.volume_extension import GB, extend_due, extended_gb
from localfly.state.records import Machine, Volume
from localfly.state.world import World

MOUNT = {"extend_threshold_percent": 80, "add_size_gb": 2, "size_gb_limit": 4}


@pytest.mark.parametrize(
    ("size_gb", "mount", "used", "size"),
    [
        (1, MOUNT, 0.79, 1),
        (1, MOUNT, 0.8, 3),
        (3, MOUNT, 2.5, 4),  # not beyond the limit
        (4, MOUNT, 4, 4),
        (6, MOUNT, 6, 6),  # never smaller
        (1, {}, 1, 1),
        (1, {"add_size_gb": 2, "size_gb_limit": 4}, 1, 1),
        (1, {"extend_threshold_percent": 80, "add_size_gb": 2}, 1, 3),
    ],
)
def test_it_grows_by_what_is_added_up_to_the_limit(size_gb, mount, used, size):
    assert extended_gb(size_gb, mount, int(used * GB) + 1) == size


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_a_started_machine_s_volume_is_extended_and_says_so_truthfully(tmp_path, state):
    world = World(tmp_path)
    volume = world.create_volume_data(Volume("vol_1", "acme", "data", "iad", 1), None)
    world.add_volume(volume)
    with (world.volume_folder("vol_1") / "file").open("wb") as file:
        file.truncate(GB * 9 // 10)
    config = {"mounts": [{"volume": "vol_1", "path": "/data", **MOUNT}]}
    world.machines["m1"] = Machine("m1", "acme", "app-1", "iad", config, config, state=state)
    before = show_volume(world, volume)

    asyncio.run(extend_due(world))
    after = show_volume(world, volume)

    assert before["blocks_avail"] * before["block_size"] == pytest.approx(GB / 10, abs=4096)
    assert after["size_gb"] == (3 if state == "started" else 1)
    assert after["blocks"] * after["block_size"] == after["size_gb"] * GB


def test_a_volume_that_is_removed_while_it_is_looked_at_does_not_come_back(tmp_path):
    world = World(tmp_path)
    volume = world.create_volume_data(Volume("vol_1", "acme", "data", "iad", 1), None)
    world.add_volume(volume)
    config = {"mounts": [{"volume": "vol_1", "path": "/data", **MOUNT}]}
    world.machines["m1"] = Machine("m1", "acme", "app-1", "iad", config, config, state="started")

    def remove(removed):
        del world.volumes["vol_1"]
        world.store.delete("volume", "vol_1")
        removed.set()

    async def look():
        loop = asyncio.get_running_loop()

        def measure(_):  # in a thread, while the loop goes on
            removed = threading.Event()
            loop.call_soon_threadsafe(remove, removed)
            assert removed.wait(LIMIT_S)
            return GB

        await extend_due(world, measure)

    asyncio.run(look())

    assert World(tmp_path).volumes == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"extend_threshold_percent": 100, "add_size_gb": 1},
        {"extend_threshold_percent": 80},
        {"add_size_gb": 1},
        {"size_gb_limit": 5},
        {"extend_threshold_percent": 80, "add_size_gb": -1},
    ],
)
def test_fields_that_do_not_fit_together_are_refused(fields):
    mounts = [{"volume": "vol_1", "path": "/data", **fields}]

    with pytest.raises(ApiError) as refused:
        check_config({"image": "x", "mounts": mounts, "guest": {"cpu_kind": "shared"}})

    assert "mounts[]." in str(refused.value)
