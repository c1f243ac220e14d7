"""Fixtures for tests of the launcher of flows: a server's answers, settings, and time that only sleeps pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from helpers.flow_server_api import LOGIN, serve_flow_server_api
from roost_flows.server_client import ServerClient
from roost_flows.settings import read_settings

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.fixture
def server():
    """A server of flow servers."""
    with serve_flow_server_api() as api:
        yield api


@pytest.fixture
def variables(server, tmp_path):
    """The variables of a machine that belongs to that server."""
    return {
        "ROOST_FLOW_SERVER": "nightly",
        "ROOST_FLOW_ADDRESS": "http://acme-nightly.flycast",
        "ROOST_FLOW_COMMAND": json.dumps(["python", "serve_flows.py"]),
        "ROOST_FLOW_HOST": "127.0.0.1",
        "ROOST_FLOW_PORT": "8080",
        "ROOST_IDLE_ACTION": "suspend",
        "ROOST_IDLE_AFTER_S": "120",
        "ROOST_STOP_LIMIT_S": "60",
        "ROOST_MISSED": "run_latest",
        "PREFECT_API_URL": server.url,
        "PREFECT_API_AUTH_STRING": LOGIN,
        "IMAGE_ROOT": str(tmp_path),
        "FLY_MACHINE_VERSION": "01V",
    }


@pytest.fixture
def settings(variables):
    """The settings of a start with the boot b1."""
    return read_settings(variables, "b1")


@pytest.fixture
def client(settings):
    """The launcher's client of the server."""
    return ServerClient(settings)


class SteppedClock:
    """Time that passes only in waits; happenings are run when their second has come."""

    def __init__(self):
        self.elapsed, self.stopping, self.happenings = 0.0, False, {}

    def seconds(self):
        """Return the seconds since the start."""
        return self.elapsed

    def now(self):
        """Return the time in UTC."""
        return NOON + timedelta(seconds=self.elapsed)

    def wait(self, seconds):
        """Let time pass; return whether a stop was asked for."""
        self.sleep(seconds)
        return self.stopping

    def sleep(self, seconds):
        """Let time pass."""
        self.elapsed += seconds
        for at in sorted(at for at in self.happenings if at <= self.elapsed):
            self.happenings.pop(at)()


class Running:
    """The processes of a start, as far as a test says."""

    def __init__(self):
        self.runs, self.killed = set(), False

    def flow_runs(self):
        """Return the flow runs that have a process."""
        return frozenset(self.runs)

    def kill(self):
        """Kill all of them."""
        self.runs, self.killed = set(), True


@pytest.fixture
def clock():
    """The stepped time."""
    return SteppedClock()


@pytest.fixture
def running():
    """The processes."""
    return Running()
