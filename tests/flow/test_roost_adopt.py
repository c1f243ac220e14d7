"""An app that already serves Prefect: refused until its data is brought over, by the named commands."""

from __future__ import annotations

import uuid

import httpx
import pytest

from helpers.fake_prefect import LOGIN
from helpers.small_server import NAME, SMALL
from helpers.waiting import LIMIT_S
from roost.environment.model import AUTH_SECRET


@pytest.fixture
def server(site):
    """A server as flyctl would have made it, with a flow run on its volume."""
    site.daemon.new_app(site.name)
    fields = {"name": "prefect_data", "region": "iad", "size_gb": 1}
    volume = site.daemon.call("POST", f"{site.app}/volumes", fields)["id"]
    site.daemon.call("POST", f"{site.app}/secrets", {"values": {AUTH_SECRET: LOGIN}})
    ports = [{"port": 80, "handlers": ["http"]}, {"port": 443, "handlers": ["http", "tls"]}]
    env = {"PREFECT_SERVER_API_HOST": "0.0.0.0", "PREFECT_SERVER_API_PORT": "4200"}
    config = {
        "image": SMALL,
        "env": {**env, "PREFECT_HOME": "/data"},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
        "mounts": [{"volume": volume, "path": "/data", "name": "prefect_data"}],
        "metadata": {"fly_platform_version": "v2", "fly_process_group": "app"},
        "services": [{"protocol": "tcp", "internal_port": 4200, "ports": ports}],
    }
    made = site.daemon.new_machine(site.app, name="quiet-moon-123", config=config)
    return made["id"], volume


def http(site):
    port = site.daemon.client.get("/localfly/status").json()["apps"][site.name]["port"]
    auth = tuple(LOGIN.split(":"))
    transport = httpx.HTTPTransport(retries=5)
    url = f"http://127.0.0.1:{port}"
    return httpx.Client(
        base_url=url, auth=auth, trust_env=False, timeout=LIMIT_S, transport=transport
    )


@pytest.mark.slow
def test_its_data_comes_over_by_the_commands_that_the_refusal_names(site, server):
    machine, volume = server
    with http(site) as client:
        answer = client.post("/api/flow_runs/", json={"name": str(uuid.uuid4())})
        saved = answer.raise_for_status().json()["id"]

    plan = site.roost.json("plan", NAME, "--local")
    refused = site.roost.run("apply", NAME, "--local", expect=3)

    assert [refusal["key"] for refusal in plan["refusals"]] == ["machine/quiet-moon-123"]
    assert f"fly volumes snapshots create {volume}" in " ".join(refused.stderr.split())
    assert [found["id"] for found in site.list("machines")] == [machine]
    assert [found["id"] for found in site.list("volumes")] == [volume]

    snapshots = f"{site.app}/volumes/{volume}/snapshots"
    early = site.roost.run("restore", NAME, "--local", "--snapshot", "vs_1", expect=3)
    assert f"fly machine cordon {machine}" in " ".join(early.stderr.split())

    site.daemon.call("POST", f"{site.app}/machines/{machine}/cordon")
    site.daemon.call("POST", f"{site.app}/machines/{machine}/stop")
    site.daemon.wait(site.app, machine, "stopped")
    site.daemon.call("POST", snapshots)
    [snapshot] = site.daemon.call("GET", snapshots)
    site.roost.run("restore", NAME, "--local", "--snapshot", snapshot["id"])

    with http(site) as client:
        assert saved in client.get("/kept").text.split()
    assert site.roost.json("plan", NAME, "--local")["refusals"] == []
    assert {found["id"] for found in site.list("volumes")} > {volume}
