"""Fixtures of the command line in a test's own process, with a fake Fly and a fake Prefect behind it.

A folder's conftest imports those that its tests use.
"""

from __future__ import annotations

from functools import partial

import httpx
import pytest
import stamina
import yaml

from helpers.environments import environment_data
from helpers.fake_fly import FakeFly
from helpers.fake_prefect import LOGIN, FakePrefect, opens
from helpers.fake_registry import full_registry
from helpers.roost_here import ClientsOfTest, RoostHere
from roost.apply import gate
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient

EXAMPLE = "acme-the-example"


@pytest.fixture
def clients():
    """How the command line of this test reaches Fly and the registry."""
    return ClientsOfTest()


@pytest.fixture
def fly(clients):
    """The Fly that commands talk to."""
    found = FakeFly()
    clients.use(
        fly=partial(FlyClient, transport=httpx.MockTransport(found)), registry=full_registry
    )
    with stamina.set_testing(True, attempts=2, cap=True):
        yield found


@pytest.fixture
def prefect(monkeypatch, clients):
    """The Prefect server that answers at every address."""
    found = FakePrefect()
    clients.use(prefect=opens(found))
    monkeypatch.setattr(gate, "WATCH_S", 0.01)
    return found


@pytest.fixture
def roost(tmp_path, capsys, monkeypatch, clients, fly, prefect):  # noqa: ARG001 - both stand behind it
    """The command line, with a token, the value of the one secret, and the environment `staging`."""
    command = RoostHere(tmp_path, capsys, monkeypatch, clients)
    monkeypatch.setenv("FLY_API_TOKEN", "fm2_token")
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    # The app of `staging` here is that of an example, and nobody would watch it.
    monkeypatch.setattr("roost.environment.starter.EXAMPLES", frozenset({EXAMPLE}))
    write(tmp_path)
    return command


def write(folder, *parts, **fields):
    """Write the environment `staging`."""
    data = environment_data(*parts, **fields)
    (folder / "staging.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


@pytest.fixture
def rewrite(tmp_path):
    """Return a function that rewrites the environment `staging`."""
    return partial(write, tmp_path)
