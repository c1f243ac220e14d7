"""A restore moves the server to a new machine on a new volume, and converges wherever it was cut."""

from __future__ import annotations

import signal
import uuid

import httpx
import pytest

from helpers.api_door import counting
from helpers.fake_prefect import LOGIN
from helpers.plain_http import NO_TLS
from helpers.roost_command import finish
from helpers.small_server import NAME
from helpers.waiting import LIMIT_S

pytestmark = pytest.mark.slow

RESTORE = ("restore", NAME, "--local")
APPLY = ("apply", NAME, "--local")
USER, _, PASSWORD = LOGIN.partition(":")
MANY = 20


def address(site):
    """Return the address of the server."""
    port = site.daemon.client.get("/localfly/status").json()["apps"][site.name]["port"]
    return f"http://127.0.0.1:{port}"


def write(site):
    """Have the server keep a flow run, and return the id it acknowledged."""
    answer = httpx.post(
        f"{address(site)}/api/flow_runs/",
        json={"name": str(uuid.uuid4())},
        auth=(USER, PASSWORD),
        timeout=LIMIT_S,
        trust_env=False,
        verify=NO_TLS,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def kept(site):
    """Return every id that the server kept, in order."""
    return httpx.get(
        f"{address(site)}/kept", timeout=LIMIT_S, trust_env=False, verify=NO_TLS
    ).text.split()


def in_use(site):
    """Return the volumes that are there and those that a machine holds."""
    there = [v for v in site.list("volumes") if v["state"] == "created"]
    return {v["id"] for v in there}, {v["id"] for v in there if v["attached_machine_id"]}


@pytest.fixture
def backed_up(site):
    """A server whose backup has a flow run, and which has been given one more since."""
    site.roost.run(*APPLY)
    site.saved = [*kept(site), write(site)]
    site.backup = site.roost.json("backup", NAME, "--local")
    site.later = [*kept(site), write(site)]
    [site.old] = site.list("machines")
    return site


@pytest.fixture
def door(backed_up):
    """What stands between Roost and the API."""
    with counting(str(backed_up.daemon.client.base_url)) as found:
        backed_up.lead_to(found.url)
        yield found


def assert_restored(site, old_volume):
    """Assert that one machine serves the data of the backup, and that the volume of before is kept."""
    [machine] = site.list("machines")
    there, used = in_use(site)
    assert machine["id"] != site.old["id"]
    assert there == {old_volume, *used}
    assert len(used) == 1
    assert old_volume not in used
    assert kept(site)[: len(site.saved)] == site.saved
    assert site.later[-1] not in kept(site)
    assert not site.steps_left()


def assert_put_back(site):
    """Assert that the old machine serves its own data, and nothing else is left."""
    [machine] = site.list("machines")
    assert (machine["id"], machine.get("cordoned", False)) == (site.old["id"], False)
    assert machine["state"] == "started"
    there, used = in_use(site)
    left = machine["config"]["metadata"].get("roost_kept_volumes", "")
    assert there - used == set(left.split(",")) - {""}
    assert kept(site)[: len(site.later)] == site.later
    assert "roost_restore" not in machine["config"]["metadata"]
    assert not site.steps_left()


def volume_of(machine):
    """Return the id of the volume that a machine mounts."""
    return machine["config"]["mounts"][0]["volume"]


def test_the_data_is_that_of_the_backup_and_the_volume_of_before_is_kept_until_confirmed(backed_up):
    site = backed_up
    old = volume_of(site.old)

    done = site.roost.run(*RESTORE, "--snapshot", site.backup["snapshot"])
    assert_restored(site, old)
    plan = site.roost.run("plan", NAME, "--local").stdout
    site.roost.run(*RESTORE, "--confirm", old)

    assert f"remove it: ./run roost restore demo --local --confirm {old}" in done.stdout
    assert f"The volume {old} (1 GB) is from before a restore and costs money" in plan
    assert old not in in_use(site)[0]
    assert "kept" not in site.roost.run("plan", NAME, "--local").stdout


def test_a_restore_is_a_release_with_a_snapshot_of_what_was_there(backed_up):
    site = backed_up
    site.roost.run(*RESTORE, "--snapshot", site.backup["snapshot"])

    found = {b["snapshot"]: b for b in site.roost.json("backups", NAME, "--local")["backups"]}
    [safety] = [b for b in found.values() if b["why"] == "before release 2"]
    assert safety["volume"] == volume_of(site.old)
    assert found[site.backup["snapshot"]]["why"] == "roost backup"
    site.roost.run(*RESTORE, "--snapshot", safety["snapshot"])  # the way back from a restore
    assert kept(site)[: len(site.later)] == site.later


def test_the_newest_backup_is_restored_when_none_is_named(backed_up):
    done = backed_up.roost.run(*RESTORE)

    assert f"Restoring {backed_up.backup['snapshot']} of " in done.stderr


def test_only_a_volume_that_a_restore_left_can_be_removed(backed_up):
    volume = volume_of(backed_up.old)

    done = backed_up.roost.run(*RESTORE, "--confirm", volume, expect=3)

    assert f"{volume} is not a volume that a restore retained." in done.stderr
    assert volume in in_use(backed_up)[1]


def spoil(site):
    """Have the backup be one that the server cannot write to."""
    snapshot = site.daemon.home / "snapshots" / site.backup["snapshot"] / "flow-runs"
    snapshot.unlink()
    snapshot.mkdir()


def test_a_server_that_is_no_good_on_the_restored_data_is_put_back(backed_up):
    site = backed_up
    spoil(site)

    done = site.roost.run(*RESTORE, "--snapshot", site.backup["snapshot"], expect=4)

    assert "The restore failed: " in done.stderr
    assert "The old machine serves its own data again and passed the gate." in done.stderr
    assert_put_back(site)
    assert len(in_use(site)[0]) == 1


def restore_until(site, door, wanted):
    """Restore, and kill it when a wanted call has done its work, before its answer is there."""
    process = site.roost.begin(*RESTORE)
    sent = []

    def end(call):
        what = call.replace(f"/v1{site.app}", "")
        if wanted(what) and not sent:
            sent.append(what)
            process.send_signal(signal.SIGKILL)
            process.wait()

    door.answered = end
    done = finish(process)
    door.answered = lambda _: None
    return done, sent


def free_leases(site):
    """Let the leases of the killed one run out."""
    for machine in site.list("machines"):
        path = f"/v1{site.app}/machines/{machine['id']}/lease"
        lease = site.daemon.client.get(path).json().get("data")
        if lease:
            release = {"fly-machine-lease-nonce": lease["nonce"]}
            site.daemon.call(
                "DELETE", f"{site.app}/machines/{machine['id']}/lease", headers=release
            )


def is_change(call):
    """Return whether a call may change something but a lease."""
    return not call.startswith("GET") and not call.endswith("/lease")


def test_a_restore_that_is_killed_after_each_change_in_turn_gets_there(backed_up, door):
    site, moments = backed_up, []
    last = f"DELETE /machines/{site.old['id']}?force=true"

    def is_new(call):
        return is_change(call) and call not in moments

    while last not in moments:
        assert len(moments) < MANY
        done, sent = restore_until(site, door, is_new)
        assert sent, done.stderr
        moments += sent
        free_leases(site)

    assert [moment.partition(" ")[0] for moment in moments].count("POST") >= 5
    assert_restored(site, volume_of(site.old))


@pytest.mark.parametrize("change", [2, 3, 4, 5])
def test_an_apply_ends_what_a_killed_restore_left(backed_up, door, change):
    site, seen = backed_up, []

    def is_nth(call):
        seen.append(call) if is_change(call) else None
        return len(seen) == change

    restore_until(site, door, is_nth)
    free_leases(site)

    refused = site.roost.run("plan", NAME, "--local").stdout
    site.roost.run(*APPLY)

    assert f"a restore of the snapshot {site.backup['snapshot']} was interrupted" in refused
    assert_put_back(site)


def test_an_apply_goes_on_with_a_restore_whose_new_machine_is_there(backed_up, door):
    restore_until(backed_up, door, lambda call: call == "POST /machines")
    free_leases(backed_up)

    backed_up.roost.run(*APPLY)

    assert_restored(backed_up, volume_of(backed_up.old))


def test_going_back_that_is_killed_after_each_change_in_turn_puts_the_old_machine_back(
    backed_up, door
):
    site, moments, there = backed_up, [], []
    spoil(site)
    last = f"DELETE /machines/{site.old['id']}/metadata/roost_restore"

    def is_new_on_the_way_back(call):
        there.extend([call] if call == "POST /machines" else [])
        return bool(there) and is_change(call) and call not in (*moments, "POST /machines")

    while last not in moments:
        assert len(moments) < MANY
        done, sent = restore_until(site, door, is_new_on_the_way_back)
        assert sent, done.stderr
        moments += sent
        free_leases(site)

    assert_put_back(site)
    assert any("uncordon" in moment for moment in moments)
