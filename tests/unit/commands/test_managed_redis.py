"""A managed Redis goes the way of every app: plan, apply, gate, rollback, drift, cost, status, destroy."""

from __future__ import annotations

import json
import re
from functools import partial

import httpx
import pytest
import stamina

from helpers.environments import REPLICATED
from helpers.fake_registry import full_registry
from helpers.fly_of_apps import FlyOfApps
from helpers.server_locks import lock_text, write_server_lock
from roost.apply import redis_verdict
from roost.fly.client import FlyClient

SERVER, REDIS = "acme-prefect", "acme-prefect-redis"
PASSWORD = "hunter2-hunter2-hunter2"
SECRETS = [*REPLICATED["secrets"][:2], "REDIS_PASSWORD"]
MANAGED = {**REPLICATED, "redis": {"managed": True}, "secrets": SECRETS}
SAID = "Redis 7.4.11: 3 of 128 MB, 34 clients"


class FlyWithRedis(FlyOfApps):
    """Its checks of the Redis have this result."""

    status, output = "passing", f"{SAID}\n"

    def __call__(self, request):
        """Answer one request, after the last check."""
        for machine in self.apps[REDIS].machines.values():
            found = {"name": "health", "status": self.status, "output": self.output}
            machine["checks"] = [found] if machine["state"] == "started" else []
        return super().__call__(request)


@pytest.fixture
def fly(clients):
    """A Fly with the app of a server and that of its Redis."""
    found = FlyWithRedis(SERVER, REDIS)
    clients.use(
        fly=partial(FlyClient, transport=httpx.MockTransport(found)), registry=full_registry
    )
    with stamina.set_testing(True, attempts=2, cap=True):
        yield found


@pytest.fixture
def managed(roost, rewrite, tmp_path, monkeypatch):
    """The environment with a Redis that Roost deploys, not applied."""
    rewrite(MANAGED)
    write_server_lock(tmp_path, "staging", lock_text("prefect-redis"))
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    return roost


@pytest.fixture
def applied(managed):
    """The same with its Redis applied."""
    said = managed("apply", "staging.redis")
    assert said.code == 0, said.err
    return managed


def redis_of(fly):
    [machine] = fly.apps[REDIS].machines.values()
    return machine


def test_an_apply_makes_an_app_with_a_volume_and_a_password_that_nobody_is_told(managed, fly):
    said = managed("apply", "staging.redis")

    assert said.code == 0, said.err
    assert "ok   takes writes" in said.err + said.out
    assert PASSWORD not in said.out + said.err
    app = fly.apps[REDIS]
    assert (app.ips, len(app.volumes), list(app.secrets)) == ([], 1, ["REDIS_PASSWORD"])
    assert PASSWORD not in json.dumps(redis_of(fly))
    assert "password of before" not in said.err
    assert redis_of(fly)["config"]["image"].startswith(f"registry.fly.io/{REDIS}:redis-")
    assert managed("plan", "staging.redis", "--exit-code").code == 0


def test_its_plan_and_its_cost_stand_beside_the_server_s(managed):
    document = json.loads(managed("plan", "staging", "--json").out)
    lines = json.loads(managed("cost", "staging", "--json").out)["environments"][0]["lines"]

    [redis] = document["flows"]
    assert (document["environment"], redis["environment"]) == ("staging", "staging.redis")
    assert {redis["cost"]["then"][key] for key in ("low", "high")} == {2.09}
    assert set(lines["staging.redis: machine, awake"]) == {1.94}
    assert set(lines["staging.redis: volume"]) == {0.15}


def test_one_that_takes_no_writes_is_rolled_back(applied, fly, rewrite, monkeypatch):
    good = redis_of(fly)["config"]["guest"]
    monkeypatch.setattr(redis_verdict, "LIMIT_S", 0.2)
    rewrite(MANAGED, redis={"managed": True, "machine": {"memory_mb": 512}})

    fly.status, fly.output = "critical", "Redis: it refuses (LOADING)"
    said = applied("apply", "staging.redis")

    assert said.code != 0
    assert "its health check does not pass: Redis: it refuses (LOADING)" in said.err
    assert redis_of(fly)["config"]["guest"] == good


def test_a_short_password_is_refused_before_anything_is_called(managed, fly, monkeypatch):
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")

    said = managed("apply", "staging.redis")

    assert said.code != 0
    assert "openssl rand" in said.err
    assert "hunter2" not in said.err + said.out
    assert fly.changes == []


def test_another_password_says_until_when_the_server_needs_it(applied, monkeypatch):
    monkeypatch.setenv("REDIS_PASSWORD", "another-password-of-it")

    said = applied("secrets", "staging.redis", "--set")

    assert said.code == 0, said.err
    assert re.search(r"accepts the password of before until \d\d:\d\d UTC\. If", said.err)
    assert "password of before" not in applied("apply", "staging.redis").err


def test_before_another_image_there_is_a_snapshot_and_nothing_is_asked_to_hold(applied, fly):
    redis_of(fly)["config"]["image"] = f"registry.fly.io/{REDIS}:redis-0123456789ab"

    said = applied("apply", "staging.redis")

    assert said.code == 0, said.err
    taken = [change for change in fly.apps[REDIS].changes if "snapshots" in change]
    assert len(taken) == 1


def test_drift_of_it_is_found(applied, fly):
    redis_of(fly)["config"]["guest"]["memory_mb"] = 1024

    said = applied("drift", "staging")

    assert said.code == 2
    assert "staging.redis: drift" in said.out


def test_status_shows_its_health(applied, fly):
    good = json.loads(applied("status", "staging", "--json").out)["flows"]
    fly.status, fly.output = (
        "critical",
        f"{SAID}; its memory is nearly full, and a full one refuses writes; raise redis.machine.memory_mb",
    )
    bad = applied("status", "staging")

    assert good[0]["health"] == {"text": SAID, "good": True}
    assert bad.code == 1
    assert f"staging.redis: {SAID}; its memory is nearly full" in bad.out


def test_one_that_somebody_stopped_is_started_again(applied, fly):
    redis_of(fly)["state"] = "stopped"

    said = applied("status", "staging")
    started = applied("apply", "staging.redis")

    assert said.code == 1
    assert "its machine is stopped: the server answers 503 to writes" in said.out
    assert started.code == 0, started.err
    assert redis_of(fly)["state"] == "started"


def test_it_is_destroyed_by_its_name_before_its_server_and_leaves_a_snapshot(applied, fly):
    refused = applied("destroy", "staging", "--confirm", SERVER)
    wrong = applied("destroy", "staging.redis", "--confirm", SERVER)
    said = applied("destroy", "staging.redis", "--confirm", REDIS)
    after = applied("destroy", "staging", "--confirm", SERVER)

    assert "destroy staging.redis --confirm acme-prefect-redis" in refused.err
    assert wrong.code != 0
    assert said.code == 0, said.err
    assert "The last snapshot of" in said.out
    assert "Remove `redis` from" in said.out
    assert not fly.apps[REDIS].machines
    assert not fly.apps[REDIS].volumes
    assert after.code == 0, "the empty app with the snapshot is nothing to remove first"


def test_a_command_for_servers_alone_says_so(applied):
    said = applied("sleep", "staging.redis")

    assert said.code != 0
    assert "staging.redis is the Redis" in said.err


@pytest.mark.parametrize(
    "command", [("backup",), ("backups",), ("restore",), ("restore", "--drill")], ids=" ".join
)
def test_a_redis_is_not_backed_up_and_the_command_says_what_is(managed, fly, command):
    said = managed(command[0], "staging.redis", *command[1:])

    assert said.code == 3
    words = " ".join(said.err.split())
    assert "A Redis is neither backed up nor restored" in words
    assert "backup staging" in words
    assert not fly.apps[REDIS].machines
