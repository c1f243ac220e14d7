"""Fixtures for tests of the waker: a machine's metadata, the waker as a process, and a sleeping server."""

from __future__ import annotations

import pytest

from helpers.waker_machine import Sleeper, WakerMachine, metadata_api


@pytest.fixture
def api(tmp_path):
    """The metadata of the waker's machine."""
    with metadata_api(tmp_path / "api.sock") as found:
        yield found


@pytest.fixture
def waker(tmp_path, api):
    """A waker that runs."""
    found = WakerMachine(tmp_path, api)
    try:
        yield found.start()
    finally:
        found.kill()


@pytest.fixture
def sleeper():
    """A sleeping server."""
    with Sleeper() as found:
        yield found
