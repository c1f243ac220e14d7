"""An apply that is ended at a bad moment: what was done stays done, and the next one goes on."""

from __future__ import annotations

import signal
import time

import pytest

from helpers.api_door import counting
from helpers.roost_command import finish
from helpers.small_server import NAME

LEASE_S = 30
MANY = 20
STOPPED = "roost: stopped. What was done stays done; run the same command to go on.\n"
APPLY = ("apply", NAME, "--local")


@pytest.fixture
def door(site):
    """What stands between Roost and the API, and knows when a change was made."""
    with counting(str(site.daemon.client.base_url)) as found:
        site.lead_to(found.url)
        yield found


def apply_until(site, door, wanted, number):
    """Apply, and send a signal when a wanted call has done its work, before its answer is there."""
    process = site.roost.begin(*APPLY)
    sent = []

    def end(call):
        what = call.replace(f"/v1{site.app}", "")
        if wanted(what) and not sent:
            sent.append(what)
            process.send_signal(number)
            if number == signal.SIGKILL:
                process.wait()

    door.answered = end
    return finish(process), sent


def is_change(call):
    """Return whether a call of the API may change something."""
    return not call.startswith("GET")


def is_creation(call):
    """Return whether a call creates the machine."""
    return call == "POST /machines"


def is_look_of_gate(call):
    """Return whether a call is the gate's look at the machine that it watches."""
    return call.startswith("GET /machines/")


def lease_of(site, machine):
    """Return a machine's lease; None when nobody holds it."""
    path = f"/v1{site.app}/machines/{machine['id']}/lease"
    return site.daemon.client.get(path).json().get("data")


def end_leases(site):
    """Let the leases of who was killed run out for us, so that nobody need wait."""
    for machine in site.list("machines"):
        if lease := lease_of(site, machine):
            end_lease(site, machine, lease)


def keep_lease(site, machine, lease):
    """Have a lease outlast the start of the next command, however busy this computer is."""
    nonce = {"fly-machine-lease-nonce": lease["nonce"]}
    path = f"{site.app}/machines/{machine['id']}/lease"
    site.daemon.call("POST", path, {"ttl": 600}, headers=nonce, expect=201)


def end_lease(site, machine, lease):
    """End a lease as its holder would."""
    nonce = {"fly-machine-lease-nonce": lease["nonce"]}
    site.daemon.call("DELETE", f"{site.app}/machines/{machine['id']}/lease", headers=nonce)


def assert_whole(site):
    """Assert that nothing is missing, nothing doubled, and no lease held beyond its time."""
    site.assert_whole()
    [machine] = site.list("machines")
    lease = lease_of(site, machine)
    assert lease is None or lease["expires_at"] <= time.time() + LEASE_S


@pytest.mark.slow
def test_an_apply_that_is_killed_after_each_change_in_turn_gets_all_of_it_done_once(site, door):
    moments = []

    def is_progress(call):
        # Without a machine nothing remembers which value was set, so it is set again.
        again = call == "POST /secrets" and call in moments
        return is_change(call) and "lease" not in call and not again

    for _ in range(MANY):
        end_leases(site)
        done, sent = apply_until(site, door, is_progress, signal.SIGKILL)
        if not sent:
            break
        moments += sent

    assert done.returncode == 0, done.stderr
    [machine] = site.list("machines")
    assert moments == [
        *("POST /v1/apps", "POST /ip_assignments", "POST /ip_assignments"),
        *("POST /volumes", "POST /secrets", "POST /machines"),
        f"PATCH /machines/{machine['id']}/metadata",  # the verdict of the gate
    ]
    assert_whole(site)


@pytest.mark.slow
def test_ctrl_c_ends_an_apply_with_advice_and_the_next_one_goes_on(site, door):
    for wanted in (is_change, is_creation):
        done, [_] = apply_until(site, door, wanted, signal.SIGINT)

        assert done.returncode == 130
        assert done.stderr.endswith(STOPPED)

    end_leases(site)
    site.roost.run(*APPLY)
    assert_whole(site)


def test_ctrl_c_while_the_gate_runs_gives_the_lease_back(site, door):
    done, [_] = apply_until(site, door, is_look_of_gate, signal.SIGINT)

    [machine] = site.list("machines")
    assert done.stderr.endswith(STOPPED)
    assert lease_of(site, machine) is None
    assert_whole(site)


def test_an_apply_killed_while_its_gate_runs_leaves_nothing_to_do_twice(site, door):
    apply_until(site, door, is_look_of_gate, signal.SIGKILL)

    end_leases(site)
    site.roost.run(*APPLY)

    assert_whole(site)


@pytest.mark.slow
def test_the_lease_of_a_killed_apply_is_waited_for_by_the_next_one(site, door):
    apply_until(site, door, is_creation, signal.SIGKILL)
    [machine] = site.list("machines")
    lease = lease_of(site, machine)
    keep_lease(site, machine, lease)
    site.write(PREFECT_LOGGING_LEVEL="DEBUG")

    waiting = site.roost.begin(*APPLY)
    said = next(line for line in iter(waiting.stderr.readline, "") if "being changed by" in line)
    end_lease(site, machine, lease)

    assert "local@localfly; waiting for up to 60 s." in said
    assert lease["expires_at"] <= time.time() + LEASE_S
    assert finish(waiting).returncode == 0
    assert_whole(site)
