"""Trouble from outside while Roost works: somebody else applies, the local Fly dies, a port is taken."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest

from helpers.api_door import counting
from helpers.roost_command import finish
from helpers.small_server import NAME
from helpers.waiting import LIMIT_S

APPLY = ("apply", NAME, "--local")


@contextmanager
def door_of(site):
    """Stand between Roost and the API."""
    with counting(str(site.daemon.client.base_url)) as door:
        site.lead_to(door.url)
        yield door


def short(site, call):
    """Return a call without what those of an app share."""
    return call.replace(f"/v1{site.app}", "")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("GET ", id="planned"),
        pytest.param("POST /v1/apps", id="app made", marks=pytest.mark.slow),
    ],
)
def test_of_two_applies_at_once_the_overtaken_one_refuses_and_nothing_is_doubled(site, moment):
    """One is held at a moment while the other does everything."""
    held, go_on = threading.Event(), threading.Event()

    def hold(call):
        if short(site, call) == moment and not held.is_set():
            held.set()
            assert go_on.wait(LIMIT_S)

    with door_of(site) as door:
        door.answered = hold
        overtaken = site.roost.begin_patiently(*APPLY)
        assert held.wait(LIMIT_S)
        site.roost.run(*APPLY)
        go_on.set()
        done = finish(overtaken)

    assert done.returncode == 1
    assert "error [changed-meanwhile]: " in done.stderr
    assert "somebody else is applying too. Wait until they finish, then run the same" in done.stderr
    site.assert_whole()


def test_an_apply_goes_on_when_the_local_fly_is_killed_and_started_again(own_site):
    daemon = own_site.daemon
    with door_of(own_site) as door:
        moments = ["POST /volumes", "POST /machines"]
        door.answered = dying(own_site, moments, daemon.kill, daemon.start)
        own_site.roost.run(*APPLY)

    assert moments == []
    own_site.assert_whole()


@pytest.mark.slow
def test_an_apply_whose_local_fly_is_killed_says_so_and_the_next_one_finishes(own_site):
    with door_of(own_site) as door:
        door.answered = dying(own_site, ["POST /volumes"], own_site.daemon.kill)
        done = own_site.roost.run(*APPLY, expect=1)

        assert "error [fly-unavailable]: GET /apps/own-site/volumes: Fly " in done.stderr
        assert "run the same command again." in done.stderr.lower()
        own_site.daemon.start()
        own_site.roost.run(*APPLY)
    own_site.assert_whole()


def dying(site, moments, *acts):
    """Return what acts when each of the calls was answered, and loses the answer."""

    def act(call):
        if short(site, call) in moments:
            moments.remove(short(site, call))
            for each in acts:
                each()
            raise ConnectionError("the answer is lost")

    return act


def test_a_port_that_is_in_use_is_told_as_such(tmp_path, site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        home = {"LOCALFLY_HOME": str(tmp_path / "other")}

        done = site.roost.run("local", "start", "--port", port, expect=1, **home)

    assert done.stderr.startswith(
        f"roost: error [local-fly]: The local Fly: Port {port} is in use."
    )
    assert "Name another with --port, or leave it out." in done.stderr


def test_a_secret_without_a_value_stops_an_apply_to_fly_before_any_change(site):
    with counting(str(site.daemon.client.base_url)) as door:
        fly = {"FLY_FLAPS_BASE_URL": door.url, "FLY_API_TOKEN": "any"}
        done = site.roost.run("apply", NAME, expect=3, PREFECT_SERVER_API_AUTH_STRING="", **fly)

    assert "error [secret-missing]: No value for PREFECT_SERVER_API_AUTH_STRING" in done.stderr
    assert set(door.methods) == {"GET"}
