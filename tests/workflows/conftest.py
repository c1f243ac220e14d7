"""What workflows run against: one Fly and one small image for all, and what `./run` sets up, set up once."""

from __future__ import annotations

import fcntl
import os
import subprocess
from itertools import count
from pathlib import Path

import pytest

from helpers.local_daemon import LocalDaemon
from helpers.small_server import build_small_server
from helpers.workflow_files import ROOT
from helpers.workflow_world import World, compile_scripts

_numbers = count(1)


@pytest.fixture(scope="session")
def run_state():
    """The folder in which `./run` finds everything installed, for every checkout of every job."""
    state = Path(os.environ.get("RUN_STATE") or ROOT / ".run")
    state.mkdir(exist_ok=True)
    with (state / "tests.lock").open("w") as lock:  # not twice at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (("roost", "--help"), ("sops", "--version"), ("--list",)):
            environ = {**os.environ, "RUN_STATE": str(state)}
            subprocess.run([ROOT / "run", *words], env=environ, check=True, capture_output=True)
    return state


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory):
    """A cache that has the image of the small server."""
    folder = tmp_path_factory.mktemp("small")
    build_small_server(folder / "parts", folder / "cache")
    return folder / "cache"


@pytest.fixture(scope="session")
def small_fly(tmp_path_factory, small_cache):
    """A Fly that all share; each world has apps of its own."""
    found = LocalDaemon(tmp_path_factory.mktemp("fly") / "home", small_cache)
    try:
        yield found.start()
    finally:
        found.clean()


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory, run_state):
    """What Python makes of `scripts/`, made once for all checkouts."""
    return compile_scripts(run_state / "roost" / "bin" / "python", tmp_path_factory.mktemp("code"))


@pytest.fixture
def world(tmp_path, small_fly, small_cache, run_state, bytecode):
    """A repository that begins with nothing; `found` begins it."""
    made = World(tmp_path, small_fly, small_cache, run_state, bytecode, f"acme{next(_numbers)}")
    try:
        yield made
        made.assert_no_secret_anywhere()
    finally:
        made.close()
