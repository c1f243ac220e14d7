"""A real server that sleeps by itself when it is quiet, and is woken by whoever comes."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from helpers.prefect_site import APP, IDLE_S, LOGIN, NAME
from helpers.waiting import LIMIT_S

# Longer than the server waits in quiet, and takes to fall asleep.
BEYOND_IDLE_S = IDLE_S + 2
CROWD = 20
SCALE = ("scale", NAME, "--local")


def test_a_suspended_server_answers_the_request_that_wakes_it(site):
    site.wake()
    site.rest("suspend", "suspended")
    mark = site.newest_event()

    site.wake()

    assert site.events_after(mark) == ["start/started/proxy"]


def test_a_crowd_that_finds_a_server_stopped_wakes_it_once_and_finds_what_was_written(site):
    site.ask("POST", "/variables/", {"name": "before_stop", "value": "kept"})
    site.rest("stop", "stopped")
    mark = site.newest_event()

    with site.http() as http, ThreadPoolExecutor(CROWD) as crowd:
        answers = list(crowd.map(lambda _: http.get("/variables/name/before_stop"), range(CROWD)))

    assert [answer.status_code for answer in answers] == [200] * CROWD
    assert {answer.json()["value"] for answer in answers} == {"kept"}
    assert site.events_after(mark) == ["start/starting/proxy", "start/started/proxy"]


def test_what_was_written_just_before_roost_sleep_is_in_the_database_alone(site, tmp_path):
    """A change drops the memory of a suspended machine, and what of SQLite's log is only there."""
    site.wake()
    site.ask("POST", "/variables/", {"name": "before_sleep", "value": "kept"})

    said = site.roost.run("sleep", NAME, "--local")

    assert (site.state, said.stderr) == ("suspended", "")
    copy = shutil.copy(site.volume / "prefect.db", tmp_path)
    with closing(sqlite3.connect(copy)) as database:
        found = database.execute("SELECT count(*) FROM variable WHERE name = 'before_sleep'")
        assert found.fetchall() == [(1,)]


@contextmanager
def open_websocket(site):
    """Listen to events, as a page of the UI and a worker do."""
    url = f"ws{site.url().removeprefix('http')}/api/events/out"
    with connect(url, subprotocols=["prefect"], proxy=None) as listening:
        listening.send(json.dumps({"type": "auth", "token": LOGIN}))
        assert json.loads(listening.recv(LIMIT_S))["type"] == "auth_success"
        yield


@contextmanager
def open_request(site, login=LOGIN):
    """Begin to send a request."""
    address = urlsplit(site.url())
    head = (
        "POST /api/flows/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        f"Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port)) as sending:
        sending.sendall(f"{head}{{".encode())
        yield


@pytest.mark.slow
@pytest.mark.parametrize("opened", [open_websocket, open_request])
def test_a_server_in_use_stays_awake_beyond_its_quiet(site, opened):
    site.wake()

    with opened(site):
        time.sleep(BEYOND_IDLE_S)
        assert site.state == "started"


@pytest.mark.slow
def test_a_stranger_who_begins_a_request_and_sends_no_more_keeps_no_server_awake(site):
    site.wake()

    with open_request(site, "admin:wrong"):
        site.daemon.wait(APP, site.machine, "suspended")


@pytest.mark.slow
def test_a_server_that_an_override_keeps_on_stays_awake_until_that_is_cleared(site):
    site.roost.run(*SCALE, "--min-machines-running", "1", "--until", "1h", "--reason", "demo")
    time.sleep(BEYOND_IDLE_S)
    assert site.state == "started"

    site.roost.run(*SCALE, "--clear")

    site.daemon.wait(APP, site.machine, "suspended")


def test_a_server_that_is_left_alone_sleeps_by_itself(site):
    site.wake()
    mark = site.newest_event()

    site.daemon.wait(APP, site.machine, "suspended")

    assert site.events_after(mark) == ["suspend/suspended/machine"]
