"""A destroy wants the app's name, keeps a last snapshot, and finishes what was cut short."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from flow.test_roost_restore import free_leases, is_change, kept, write
from helpers.api_door import counting
from helpers.local_daemon import tiny_config
from helpers.roost_command import finish
from helpers.small_server import NAME

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
DESTROY = ("destroy", NAME, "--local")
MANY = 20


@pytest.fixture
def server(site):
    """A server that has kept something."""
    site.roost.run(*APPLY)
    write(site)
    site.saved = kept(site)
    return site


def volumes(site):
    """Return the volumes that are not on their way out."""
    return [v for v in site.list("volumes") if v["state"] == "created"]


def assert_untouched(site):
    """Assert that the server is there, and serves what it kept."""
    [machine] = site.list("machines")
    assert (machine["state"], machine.get("cordoned", False)) == ("started", False)
    assert len(volumes(site)) == 1
    assert kept(site) == site.saved


def assert_gone(site):
    """Assert that nothing is left that costs money or could be misused, and the app is."""
    assert site.daemon.client.get(f"/v1{site.app}").is_success
    assert not site.list("machines")
    assert not volumes(site)
    assert not site.daemon.call("GET", f"{site.app}/ip_assignments")["ips"]
    assert not site.daemon.call("GET", f"{site.app}/secrets")["secrets"]


def last_snapshot(site):
    """Return the newest snapshot of the volume that went."""
    [volume] = site.list("volumes")
    return site.daemon.call("GET", f"{site.app}/volumes/{volume['id']}/snapshots")[0]


def test_a_destroyed_server_is_brought_back_from_its_last_snapshot(server):
    done = server.roost.run(*DESTROY, "--confirm", server.name)

    assert_gone(server)
    snapshot = last_snapshot(server)
    assert snapshot["retention_days"] == 60
    assert f"./run roost restore demo --local --snapshot {snapshot['id']}" in done.stdout
    server.roost.run("restore", NAME, "--local", "--snapshot", snapshot["id"])
    assert kept(server)[: len(server.saved)] == server.saved
    assert not server.steps_left()


def typed(site, name):
    """Run the command on a terminal on which a name is typed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "roost", *DESTROY],
        env=site.roost.env,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.write(ours, f"{name}\n".encode())
    done = finish(process)
    os.close(ours)
    assert f"Type {site.name} to go on: " in done.stderr
    return done


def test_without_the_app_s_name_it_only_names_all_that_would_go(server):
    done = server.roost.run(*DESTROY, expect=3)
    for given in ("demo", server.name[:-1]):
        server.roost.run(*DESTROY, "--confirm", given, expect=3)
    assert typed(server, "yes").returncode == 3

    [machine], [volume] = server.list("machines"), server.list("volumes")
    assert f"machine {machine['id']} (app-1) in iad, started" in done.stderr
    assert f"volume {volume['id']} (data), 1 GB in iad" in done.stderr
    assert "address 2" in done.stderr
    assert "secrets PREFECT_SERVER_API_AUTH_STRING" in done.stderr
    assert f"Confirm it by the app's name: --confirm {server.name}" in done.stderr
    assert_untouched(server)


def test_what_is_protected_or_not_ours_is_not_removed(server):
    stranger = {"name": "stranger", "config": tiny_config(), "skip_launch": True}
    machine = server.daemon.call("POST", f"{server.app}/machines", stranger)
    strange = server.roost.run(*DESTROY, "--confirm", server.name, expect=3)
    server.daemon.call("DELETE", f"{server.app}/machines/{machine['id']}?force=true")

    path = server.roost.write(NAME, app=server.name, protected=True)
    protected = server.roost.run(*DESTROY, "--confirm", server.name, expect=3)

    assert f"machine {machine['id']} (stranger)" in strange.stderr
    assert f"error [protected]: {path}: demo is protected." in protected.stderr
    assert_untouched(server)


def test_on_a_terminal_the_name_is_typed_and_what_is_gone_is_done(server):
    assert typed(server, server.name).returncode == 0

    assert_gone(server)
    assert "Nothing of demo is left to remove." in server.roost.run(*DESTROY).stderr


def test_one_that_is_killed_after_each_change_in_turn_is_finished_by_the_next(server):
    moments = []
    with counting(str(server.daemon.client.base_url)) as door:
        server.lead_to(door.url)
        for _ in range(MANY):
            process = server.roost.begin(*DESTROY, "--confirm", server.name)
            sent = []

            def end(call, process=process, sent=sent, before=tuple(moments)):
                if is_change(call) and call not in before and not sent:
                    sent.append(call)
                    process.send_signal(signal.SIGKILL)
                    process.wait()

            door.answered = end
            done = finish(process)
            moments += sent
            if not sent:
                break
            free_leases(server)

    assert done.returncode == 0, done.stderr
    assert len(moments) >= 7
    assert_gone(server)
    assert last_snapshot(server)["status"] == "created"
