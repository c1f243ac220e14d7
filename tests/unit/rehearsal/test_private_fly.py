"""A private server: proved at the address it has, or nothing of it is changed."""

from __future__ import annotations

import json
import socket

import anyio
import pytest

from helpers.environments import PRIVATE
from helpers.fake_prefect import say
from roost.http import connection
from roost.http.connection import resolves

URL = "http://acme-prefect.flycast"
DEBUG = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}


@pytest.fixture
def network(monkeypatch):
    """Names that have an address here; none that only Fly's private network has."""
    known = set()

    async def in_network(name):
        return name in known

    monkeypatch.setattr("roost.operations.server_address.resolves", in_network)
    return known


@pytest.fixture
def private(roost, rewrite):
    """The environment `staging`, private."""
    rewrite(PRIVATE)
    return roost


def test_it_is_proved_and_told_at_its_private_address(private, network, fly):
    network.add("_api.internal")

    said = private("apply", "staging")

    assert (said.code, said.out.count("https://")) == (0, 0)
    assert f"Gate: {URL}" in said.err
    assert [ip["type"] for ip in fly.ips] == ["private_v6"]
    assert json.loads(private("status", "staging", "--json").out)["url"] == URL
    assert json.loads(private("smoke", "staging", "--json").out)["url"] == URL
    assert URL in private("wake", "staging").out


@pytest.mark.parametrize(
    "command",
    [
        ("apply", "staging"),
        ("scale", "staging", "--memory-mb", "1024", "--until", "1h", "--reason", "demo"),
        ("restore", "staging"),
        ("smoke", "staging"),
        ("wake", "staging"),
    ],
    ids=lambda command: command[0],
)
def test_outside_of_the_private_network_nothing_is_changed(private, network, rewrite, fly, command):
    network.add("_api.internal")
    assert private("apply", "staging").code == 0
    if command[0] == "apply":
        rewrite(PRIVATE, DEBUG)
    network.clear()
    fly.asked.clear()

    said = private(*command)

    assert said.code == 1
    assert "not in the organization's private network (_api.internal has no address)" in said.err
    assert "Nothing was changed. Join it with WireGuard" in said.err
    assert fly.changes == []


def test_what_only_looks_needs_no_private_network(private, network, fly):
    assert private("plan", "staging").code == 0
    assert private("status", "staging").code == 0
    assert private("drift", "staging").code == 2
    assert not network
    assert fly.changes == []


def test_a_public_server_becomes_private_and_loses_its_public_addresses(
    roost, network, rewrite, fly
):
    network.add("_api.internal")
    assert roost("apply", "staging").code == 0
    rewrite(PRIVATE)

    said = roost("apply", "staging")

    assert said.code == 0
    assert f"Gate: {URL}" in said.err
    assert [ip["type"] for ip in fly.ips] == ["private_v6"]
    assert roost("plan", "staging", "--exit-code").code == 0


def test_a_private_server_is_not_opened_to_the_internet_by_going_back(
    roost, network, rewrite, fly, prefect
):
    network.add("_api.internal")
    assert roost("apply", "staging").code == 0
    rewrite(PRIVATE, DEBUG)
    # Broken with the new setting alone: the old one is good at the private address as well.
    prefect.broken[("GET", "/")] = lambda: None if level(fly) != "DEBUG" else say(500)

    said = roost("apply", "staging")

    [machine] = fly.machines.values()
    assert said.code == 4
    assert "The last healthy release was restored and passed the gate." in said.err
    assert [ip["type"] for ip in fly.ips] == ["private_v6"]
    assert [port["port"] for port in machine["config"]["services"][0]["ports"]] == [80]
    assert level(fly) != "DEBUG"


def level(fly):
    """Return the setting that the machine runs with."""
    [machine] = fly.machines.values()
    return machine["config"]["env"].get("PREFECT_LOGGING_LEVEL")


def test_a_name_resolves_or_does_not_and_never_hangs(monkeypatch):
    async def hang(*_):
        await anyio.sleep(30)

    async def unknown(*_):
        raise socket.gaierror

    assert anyio.run(resolves, "localhost")
    monkeypatch.setattr(anyio, "getaddrinfo", unknown)
    assert not anyio.run(resolves, "_api.internal")
    monkeypatch.setattr(connection, "RESOLVE_LIMIT_S", 0.01)
    monkeypatch.setattr(anyio, "getaddrinfo", hang)
    assert not anyio.run(resolves, "_api.internal")
