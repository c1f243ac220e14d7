"""A drill restores beside the server, tells how it went, and leaves nothing, not even when it is killed."""

from __future__ import annotations

import signal

import pytest

from flow.test_roost_restore import kept, write
from helpers.api_door import counting
from helpers.local_daemon import tiny_config
from helpers.roost_command import finish
from helpers.small_server import NAME

pytestmark = pytest.mark.slow

DRILL = ("restore", NAME, "--drill", "--local")


@pytest.fixture
def server(site):
    """A server that has a backup."""
    site.roost.run("apply", NAME, "--local")
    write(site)
    site.backup = site.roost.json("backup", NAME, "--local")
    [site.drilled] = site.list("machines")
    site.saved = kept(site)
    return site


def drill_app(site):
    """Return whether the app of a drill is there."""
    return site.daemon.client.get(f"/v1{site.app}-drill").is_success


def assert_only_the_server(site):
    """Assert that no drill is left, and that the server is as it was."""
    assert not drill_app(site)
    [machine] = site.list("machines")
    assert machine["instance_id"] == site.drilled["instance_id"]
    assert len(site.list("volumes")) == 1
    assert kept(site) == site.saved


def test_a_backup_that_comes_back_to_life_says_so_and_nothing_stays(server):
    done = server.roost.json(*DRILL)

    assert (done["environment"], done["app"]) == (NAME, server.name)
    assert done["snapshot"] == server.backup["snapshot"]
    assert {check["name"] for check in done["gate"]} >= {"health", "auth closed", "flow run"}
    assert all(check["ok"] for check in done["gate"])
    assert_only_the_server(server)


def test_one_that_does_not_come_back_to_life_fails_the_drill_and_nothing_stays(server):
    broken = server.daemon.home / "snapshots" / server.backup["snapshot"] / "flow-runs"
    broken.unlink()
    broken.mkdir()  # what the server cannot write to

    done = server.roost.run(*DRILL, expect=1)

    assert f"error [drill-failed]: demo: The backup {server.backup['snapshot']} " in done.stderr
    assert_only_the_server(server)


def test_a_drill_that_was_killed_is_removed_by_the_next_one(server):
    with counting(str(server.daemon.client.base_url)) as door:
        server.lead_to(door.url)
        process = server.roost.begin(*DRILL)

        def end(call):
            if call == f"POST /v1{server.app}-drill/machines":
                process.send_signal(signal.SIGKILL)
                process.wait()

        door.answered = end
        finish(process)
    server.lead_to(str(server.daemon.client.base_url))
    [left] = server.daemon.call("GET", f"{server.app}-drill/machines")
    lease = f"{server.app}-drill/machines/{left['id']}/lease"
    nonce = server.daemon.call("GET", lease)["data"]["nonce"]
    # Its time runs out for us, so that the test need not wait for it.
    server.daemon.call("DELETE", lease, headers={"fly-machine-lease-nonce": nonce})

    done = server.roost.run(*DRILL)

    assert f"remove the app {server.name}-drill, which an earlier drill left" in done.stderr
    assert_only_the_server(server)


def test_an_app_of_that_name_that_no_drill_made_is_left_alone(server):
    theirs = server.daemon.new_app(f"{server.name}-drill")
    stranger = {"config": tiny_config(), "skip_launch": True}
    machine = server.daemon.call("POST", f"{theirs}/machines", stranger)

    done = server.roost.run(*DRILL, expect=3)

    assert f"exists, and no drill created it: {machine['id']}" in done.stderr
    assert server.daemon.machine(theirs, machine["id"])["state"] == "stopped"
