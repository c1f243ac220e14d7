"""A value that is missing, of whatever stands beside the server, is found before anything is changed."""

from __future__ import annotations

from functools import partial

import httpx
import pytest

from helpers.fake_registry import full_registry
from helpers.flow_folders import NIGHTLY, write_flow_folder
from helpers.fly_of_apps import FlyOfApps
from roost.environment.sops_file import repository_of
from roost.fly.client import FlyClient

SERVER = "acme-prefect"
FLOWS = f"{SERVER}-nightly"


@pytest.fixture
def fly(clients):
    """A Fly with two apps and no machine."""
    found = FlyOfApps(SERVER, FLOWS)
    clients.use(
        fly=partial(FlyClient, transport=httpx.MockTransport(found)), registry=full_registry
    )
    return found


def test_every_missing_value_is_named_with_whose_it_is_and_nothing_is_changed(
    roost, rewrite, fly, tmp_path
):
    write_flow_folder(repository_of(tmp_path / "staging.yaml"))
    flows = [{**NIGHTLY, "secrets": ["HOOK"]}]
    rewrite(secrets=["PREFECT_SERVER_API_AUTH_STRING", "OWN"], flows=flows)

    said = roost("apply", "staging")

    assert said.code == 3
    assert "OWN (the environment variable OWN is not set)" in said.err
    assert "HOOK of staging.nightly (the environment variable HOOK is not set)" in said.err
    assert "Nothing was changed." in said.err
    assert fly.order == []
