"""The local Fly's state without a daemon: records, files, ids."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

import pytest

from localfly.api_errors import ApiError
from localfly.state import ids
from localfly.state.records import MAX_EVENTS, App, Machine, Volume
from localfly.state.store import StateError, Store
from localfly.state.world import World, copy_folder, folder_bytes


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "home")
    yield made
    made.store.close()


def machine(**changes):
    about = {"id": "m1", "app": "acme", "name": "one", "region": "iad"}
    return Machine(**(about | {"config": {}, "user_config": {}} | changes))


def test_what_was_stored_is_there_for_whoever_opens_the_file_next(tmp_path):
    first = World(tmp_path)
    first.create_app("acme", "personal", "default")
    first.set_secrets(first.apps["acme"], {"A": "1"})
    digest = first.digest("1")

    second = World(tmp_path)  # the first was never closed: it may have been killed

    assert second.apps["acme"].document() == first.apps["acme"].document()
    assert second.digest("1") == digest
    first.store.close()
    second.store.close()


def test_the_file_is_for_its_owner_alone(tmp_path):
    store = Store(tmp_path / "state.db")
    store.put("app", "a", {"secret": "x"})

    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    store.close()
    assert modes == {0o600}


def test_a_damaged_file_is_told_with_what_to_do(tmp_path):
    (tmp_path / "state.db").write_bytes(b"this is no database, by any measure" * 100)

    with pytest.raises(StateError, match="reset") as caught:
        Store(tmp_path / "state.db")

    assert "cannot be read" in str(caught.value)


def test_a_record_of_another_version_of_us_is_read():
    document = {**machine().document(), "invented_later": 1}
    del document["cordoned"]

    assert Machine.read(document).cordoned is False


def test_only_the_newest_events_are_kept_and_the_newest_comes_first():
    kept = machine()
    for number in range(MAX_EVENTS + 5):
        kept.add_event("start", str(number), "user")

    assert len(kept.events) == MAX_EVENTS
    assert kept.events[0]["status"] == str(MAX_EVENTS + 4)


def test_ids_have_flys_forms_and_versions_sort_by_time():
    assert len(ids.machine_id()) == 14
    assert int(ids.machine_id(), 16) >= 0
    assert len(ids.ulid()) == 26
    assert ids.volume_id().startswith("vol_")
    assert ids.snapshot_id().startswith("vs_")
    assert len({ids.ulid() for _ in range(1000)}) == 1000


def test_versions_made_one_after_another_sort_in_that_order():
    made = [ids.ulid() for _ in range(1000)]

    assert made == sorted(made)


def test_a_secret_cannot_be_found_by_hashing_guesses(world, tmp_path):
    other = World(tmp_path / "other")

    assert world.digest("1") != other.digest("1")
    other.store.close()


def test_half_done_work_with_volumes_is_put_right(world):
    app = world.create_app("acme", "personal", "default")
    lost = Volume("vol_1", app.name, "data", "iad", 1, attached_machine_id="gone")
    held = Volume("vol_2", app.name, "data", "iad", 1)
    for volume in (lost, held):
        world.create_volume_data(volume, None)
        world.add_volume(volume)
    world.begin_snapshot(lost)
    holder = machine(config={"mounts": [{"volume": "vol_2", "path": "/data"}]})
    world.machines[holder.id] = holder
    for stray in ("volumes/vol_none", "snapshots/vs_none"):
        (world.home / stray).mkdir(parents=True)

    world.tidy()

    assert lost.attached_machine_id is None
    assert held.attached_machine_id == holder.id
    assert lost.snapshots[0]["status"] == "failed"
    assert {path.name for path in (world.home / "volumes").iterdir()} == {"vol_1", "vol_2"}
    assert list((world.home / "snapshots").iterdir()) == []


def test_a_copy_has_files_links_and_folders_but_no_sockets(tmp_path, monkeypatch):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_text("x" * 10)
    (source / "link").symlink_to("deep/file")
    (source / "dangling").symlink_to("nowhere")
    os.mkfifo(source / "pipe")
    monkeypatch.chdir(source)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        copy_folder(source, tmp_path / "copy")

    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert names == {"deep", "link", "dangling"}
    assert (tmp_path / "copy" / "link").read_text() == "x" * 10
    assert folder_bytes(tmp_path / "copy" / "deep") == 10


def test_a_snapshot_that_cannot_be_made_says_so(world):
    volume = Volume("vol_1", "acme", "data", "iad", 1)
    world.add_volume(volume)  # its folder is gone
    record = world.begin_snapshot(volume)

    asyncio.run(world.fill_snapshot(volume, record))

    assert volume.snapshots[0]["status"] == "failed"


def test_a_lease_is_refreshed_by_its_holder_only(world):
    held = machine()
    lease = world.take_lease(held, 60, "mine", "")

    assert world.take_lease(held, 90, "", lease.nonce).nonce == lease.nonce
    assert held.current_lease.description == "mine"
    with pytest.raises(ApiError) as caught:
        world.take_lease(held, 60, "theirs", "")
    assert caught.value.status == 409
    assert "mine" in caught.value.error


def test_an_app_knows_no_machine_of_another(world):
    world.create_app("acme", "personal", "default")
    world.machines["m1"] = machine(app="other")

    with pytest.raises(ApiError):
        world.machine("acme", "m1")
    assert App.read(world.apps["acme"].document()).name == "acme"
