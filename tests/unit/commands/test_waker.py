"""The waker goes the way of every app: plan, apply, gate, rollback, drift, cost, destroy."""

from __future__ import annotations

import json
from functools import partial

import httpx
import pytest
import stamina

from helpers.fake_registry import full_registry
from helpers.fly_of_apps import FlyOfApps
from roost.apply import waker_verdict
from roost.fly.client import FlyClient
from roost.plan.waker_proof import PROOF_KEY

SERVER, WAKER = "acme-prefect", "acme-waker"
WITH_WAKER = {"waker": {"app": WAKER}}


class FlyWithWaker(FlyOfApps):
    """Its waker leaves its proof when it runs, as the real one does; `error` is what it finds."""

    error = ""

    def __call__(self, request):
        """Answer one request, after the waker did its part."""
        for machine in self.apps[WAKER].machines.values():
            proof = {"version": machine["instance_id"], "seconds": 1.2, "error": self.error}
            machine["config"]["metadata"][PROOF_KEY] = json.dumps(proof)
        return super().__call__(request)


@pytest.fixture
def fly(clients, monkeypatch):
    """A Fly with the app of a server and that of the waker."""
    found = FlyWithWaker(SERVER, WAKER)
    clients.use(
        fly=partial(FlyClient, transport=httpx.MockTransport(found)), registry=full_registry
    )
    monkeypatch.setattr(waker_verdict, "POLL_S", 0.01)
    with stamina.set_testing(True, attempts=2, cap=True):
        yield found


@pytest.fixture
def applied(roost, rewrite):
    """The same environment, applied with its waker."""
    rewrite(**WITH_WAKER)
    said = roost("apply", "staging")
    assert said.code == 0, said.err
    return roost


def waker_of(fly):
    [machine] = fly.apps[WAKER].machines.values()
    return machine


def test_one_apply_deploys_the_waker_and_then_the_server_that_needs_it(applied, fly):
    assert list(dict.fromkeys(fly.order)) == [WAKER, SERVER]
    [server] = fly.apps[SERVER].machines.values()
    assert server["config"]["env"]["ROOST_WAKER"] == f"http://{WAKER}.flycast"
    assert waker_of(fly)["config"]["image"].startswith(f"registry.fly.io/{WAKER}:waker-")
    assert [ip["type"] for ip in fly.apps[WAKER].ips] == ["private_v6"]
    assert applied("plan", "staging", "--exit-code").code == 0


def test_no_client_is_told_to_connect_to_it(applied):
    said = applied("apply", "staging.waker")

    assert (said.code, "Connect your Prefect" in said.err) == (0, False)
    assert "Connect your Prefect" in applied("apply", "staging").err


def test_its_gate_says_what_it_proved(roost, rewrite):
    rewrite(**WITH_WAKER)

    said = roost("apply", "staging.waker")

    assert said.code == 0, said.err
    assert "announced itself, and was requested after 1.2 s" in said.err + said.out


def test_its_plan_shows_its_cost_and_stands_beside_the_servers(roost, rewrite):
    rewrite(**WITH_WAKER)

    document = json.loads(roost("plan", "staging", "--json").out)
    lines = json.loads(roost("cost", "staging", "--json").out)["environments"][0]["lines"]

    [waker] = document["flows"]
    assert (document["environment"], waker["environment"]) == ("staging", "staging.waker")
    assert {waker["cost"]["then"][key] for key in ("low", "high")} == {1.94}
    assert set(lines["staging.waker: machine, awake"]) == {1.94}


def test_a_waker_that_cannot_wake_itself_is_rolled_back(applied, fly, monkeypatch):
    good = waker_of(fly)["config"]["guest"]
    monkeypatch.setattr(waker_verdict, "LIMIT_S", 0.2)
    monkeypatch.setattr("roost.environment.waker_unit.MACHINE", {"memory_mb": 512})

    fly.error = "its own wake did not arrive within 10 s"
    said = applied("apply", "staging.waker")

    assert said.code != 0
    assert "its own wake did not arrive" in said.err
    assert waker_of(fly)["config"]["guest"] == good


def test_what_servers_announced_outlives_an_update(applied, fly, monkeypatch):
    waker_of(fly)["config"]["metadata"]["roost_wake_acme-prefect"] = "kept"
    monkeypatch.setattr("roost.environment.waker_unit.MACHINE", {"memory_mb": 512})

    assert applied("apply", "staging.waker").code == 0
    assert waker_of(fly)["config"]["guest"]["memory_mb"] == 512
    assert waker_of(fly)["config"]["metadata"]["roost_wake_acme-prefect"] == "kept"
    assert applied("plan", "staging.waker", "--exit-code").code == 0


def test_drift_of_it_is_found(applied, fly):
    waker_of(fly)["config"]["services"][0]["autostop"] = "stop"

    said = applied("drift", "staging")

    assert said.code == 2
    assert "staging.waker: drift" in said.out


def test_status_shows_it(applied):
    shown = json.loads(applied("status", "staging", "--json").out)

    [waker] = shown["flows"]
    assert (waker["name"], waker["machines"][0]["state"]) == ("staging.waker", "started")


def test_a_waker_that_somebody_stopped_is_not_healthy(applied, fly):
    waker_of(fly)["state"] = "stopped"

    said, shown = applied("status", "staging"), applied("status", "staging", "--json")
    started = applied("apply", "staging.waker")

    assert (said.code, shown.code) == (1, 1)
    assert (
        "staging.waker has to run all the time, and its machine is stopped: it wakes no server. Start "
        "it: ./run roost apply staging.waker"
    ) in said.out
    assert started.code == 0, started.err
    assert applied("status", "staging").code == 0


def test_it_is_destroyed_by_its_name_and_before_its_server(applied, fly):
    refused = applied("destroy", "staging", "--confirm", SERVER)
    said = applied("destroy", "staging.waker", "--confirm", WAKER)

    assert "destroy staging.waker --confirm acme-waker" in refused.err
    assert said.code == 0, said.err
    assert "Remove `waker` from" in said.out
    assert not fly.apps[WAKER].machines


def test_a_command_for_servers_alone_says_so(applied):
    said = applied("sleep", "staging.waker")

    assert said.code != 0
    assert "staging.waker is the waker" in said.err
