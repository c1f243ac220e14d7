"""What Fly takes its time for: a machine between two states, and hosts that know less than the API."""

from __future__ import annotations

import time

import pytest

from helpers.local_daemon import LocalDaemon, tiny_config
from helpers.waiting import until

TAKES_S = 2.0  # time for a busy computer to look in between


@pytest.fixture(scope="module")
def slow_daemon(tmp_path_factory, image_cache):
    """A daemon on which things take a while."""
    found = LocalDaemon(tmp_path_factory.mktemp("slow") / "home", image_cache)
    try:
        yield found.start("--suspend-takes", str(TAKES_S), "--secrets-take", str(TAKES_S))
    finally:
        found.clean()


@pytest.fixture
def distant_daemon(tmp_path, image_cache):
    """A daemon that answers as slowly as one across the internet."""
    found = LocalDaemon(tmp_path / "home", image_cache)
    try:
        yield found.start("--answers-take", "0.3")
    finally:
        found.clean()


def test_each_answer_of_the_api_may_take_a_while(distant_daemon):
    began = time.monotonic()

    distant_daemon.call("GET", "/apps", params={"org_slug": "personal"})

    assert time.monotonic() - began >= 0.3


def left_behind(now, before):
    """Return the state of a machine, once it is another than before."""
    return now if now != before else None


def test_a_machine_is_suspending_before_it_is_suspended(slow_daemon):
    app = slow_daemon.new_app("suspending")
    machine = slow_daemon.new_machine(app)["id"]
    before = slow_daemon.ask(app, "/count")

    slow_daemon.call("POST", f"{app}/machines/{machine}/suspend")
    between = until(lambda: left_behind(slow_daemon.machine(app, machine)["state"], "started"))
    slow_daemon.call("POST", f"{app}/machines/{machine}/suspend")  # as if it were already
    resumed = slow_daemon.call("POST", f"{app}/machines/{machine}/start")

    assert between == "suspending"
    assert resumed["previous_state"] == "suspended"
    assert slow_daemon.machine(app, machine)["state"] == "started"
    assert slow_daemon.ask(app, "/count")["pid"] == before["pid"]


def test_a_request_that_comes_while_a_machine_is_suspended_is_held_and_wakes_it(slow_daemon):
    app = slow_daemon.new_app("visited")
    machine = slow_daemon.new_machine(app)["id"]
    before = slow_daemon.ask(app, "/count")

    slow_daemon.call("POST", f"{app}/machines/{machine}/suspend")
    until(lambda: left_behind(slow_daemon.machine(app, machine)["state"], "started"))
    after = slow_daemon.ask(app, "/count")

    assert after == {**before, "count": before["count"] + 1}


def test_a_machine_that_is_being_stopped_cannot_be_started_until_it_is(slow_daemon):
    app = slow_daemon.new_app("stopping")
    # A signal that the program does not heed: it ends with the timeout.
    config = tiny_config(stop_config={"signal": "SIGUSR2", "timeout": "3s"})
    deaf = (
        "import signal, time; signal.signal(12, print); print('deaf', flush=True); time.sleep(600)"
    )
    config["init"] = {"exec": ["python", "-c", deaf]}
    machine = slow_daemon.new_machine(app, config=config)["id"]
    until(lambda: "deaf" in (slow_daemon.home / "logs" / f"{machine}.log").read_text())

    slow_daemon.call("POST", f"{app}/machines/{machine}/stop")
    until(lambda: left_behind(slow_daemon.machine(app, machine)["state"], "started"))
    refused = slow_daemon.call("POST", f"{app}/machines/{machine}/start", expect=412)
    slow_daemon.wait(app, machine, "stopped")
    started = slow_daemon.call("POST", f"{app}/machines/{machine}/start")

    assert "unable to start machine from current state: 'stopping'" in refused["error"]
    assert started["previous_state"] == "stopped"


def test_a_machine_that_is_being_replaced_cannot_be_started_until_it_is(slow_daemon):
    app = slow_daemon.new_app("replacing")
    machine = slow_daemon.new_machine(app, config=tiny_config(stop_config={"timeout": "1s"}))["id"]
    slow_daemon.call("POST", f"{app}/machines/{machine}/stop")
    slow_daemon.wait(app, machine, "stopped")

    updated = slow_daemon.call("POST", f"{app}/machines/{machine}", {"config": tiny_config()})
    refused = slow_daemon.client.post(f"/v1{app}/machines/{machine}/start")
    slow_daemon.wait(app, machine, "started", version=updated["instance_id"])

    assert updated["state"] == "replacing"
    assert refused.status_code in (200, 412)  # it may be there by then
    assert slow_daemon.events(app, machine).count("start/started/user") == 2


def test_hosts_refuse_secrets_that_they_do_not_know_yet(slow_daemon):
    app = slow_daemon.new_app("secret")
    version = slow_daemon.call("POST", f"{app}/secrets", {"values": {"A": "1"}})["version"]
    body = {"config": tiny_config(), "min_secrets_version": version}

    refused = slow_daemon.call("POST", f"{app}/machines", body, expect=412)
    time.sleep(TAKES_S)
    machine = slow_daemon.new_machine(app, **body)["id"]

    assert f"secrets are at version {version - 1}, not {version}" in refused["error"]
    assert slow_daemon.machine(app, machine)["state"] == "started"
    assert slow_daemon.ask(app, "/env")["A"] == "1"
