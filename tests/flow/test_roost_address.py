"""A local Fly that is reached by FLY_FLAPS_BASE_URL, as workflows do, in place of `--local`."""

from __future__ import annotations

import pytest

from helpers.small_server import NAME
from roost.environment.model import AUTH_SECRET
from roost.operations.local_fly import local_fly_at


@pytest.fixture
def reach(site):
    """Run a verb against the local Fly as if it were Fly.io."""
    address = {"FLY_FLAPS_BASE_URL": str(site.daemon.client.base_url), "FLY_API_TOKEN": "any"}

    def run(*arguments, **options):
        return site.roost.run(*arguments, **address, **options)

    return run


def test_its_apps_are_applied_proved_and_reached_there(site, reach):
    said = reach("apply", NAME)

    assert "Gate: http://127.0.0.1:" in said.stderr
    assert "answers after" in reach("wake", NAME).stdout
    site.assert_whole()


def test_a_secret_without_a_value_is_missing_there_as_on_fly(site, reach):
    said = reach("apply", NAME, expect=3, **{AUTH_SECRET: ""})

    assert "secret-missing" in said.stderr
    assert site.list("machines") == []


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:4280", True),
        ("http://localhost:4280/", True),
        ("http://[::1]:4280", True),
        ("https://api.machines.dev", False),
        ("http://127.0.0.1.example.com", False),
        ("http://_api.internal:4280", False),
        ("http://[", False),
    ],
)
def test_only_an_address_on_this_computer_is_taken_for_a_local_fly(url, local):
    assert (local_fly_at(url) is not None) is local
