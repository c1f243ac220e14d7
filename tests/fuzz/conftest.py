"""The command line in front of a fake Fly and a fake Prefect, whose answers tests spoil."""

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
from helpers.spoiling import Spoiler
from roost.apply import gate
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient


@pytest.fixture
def clients():
    """How the command line of this test reaches Fly and the registry."""
    return ClientsOfTest()


@pytest.fixture
def spoiler(monkeypatch, clients):
    """What stands between the command line and Fly."""
    found = Spoiler(FakeFly())
    clients.use(
        fly=partial(FlyClient, transport=httpx.MockTransport(found)),
        registry=full_registry,
        prefect=opens(FakePrefect()),
    )
    monkeypatch.setattr(gate, "WATCH_S", 0.01)
    with stamina.set_testing(True, attempts=2, cap=True):
        yield found


@pytest.fixture
def roost(tmp_path, capsys, monkeypatch, clients, spoiler):  # noqa: ARG001 - it stands behind
    """The command line, with a token, the value of the one secret, and the environment `staging`."""
    command = RoostHere(tmp_path, capsys, monkeypatch, clients)
    monkeypatch.setenv("FLY_API_TOKEN", "fm2_token")
    monkeypatch.setenv("ROOST_TRACEBACK", "1")  # what nobody foresaw shows itself to the test
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    (tmp_path / "staging.yaml").write_text(yaml.safe_dump(environment_data(), sort_keys=False))
    return command
