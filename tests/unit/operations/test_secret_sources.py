"""Values that are made up on the local Fly: a login that nobody set, and nothing else."""

from __future__ import annotations

from unittest.mock import AsyncMock

import pytest

from helpers.fake_prefect import LOGIN
from roost.environment.model import AUTH_SECRET
from roost.operations.generated_secrets import GeneratedSecrets
from roost.operations.local_fly import LocalFly

APP = "acme-prefect"
DATABASE = "DATABASE_URL"
APPLY = ("apply", "staging", "--local")
STOCK = {"version": "3.8.8", "image": "registry.example/stock:1"}


@pytest.fixture
def local(roost, rewrite, clients, monkeypatch):
    """A local Fly, an environment with two secrets on it, and no value of either."""
    here = LocalFly("http://127.0.0.1:1")
    monkeypatch.setattr(LocalFly, "app_url", AsyncMock(return_value="http://127.0.0.1:2"))
    clients.use(find_local_fly=AsyncMock(return_value=here), make_value=lambda _: LOGIN)
    monkeypatch.delenv(AUTH_SECRET)
    rewrite(secrets=[AUTH_SECRET, DATABASE], prefect=STOCK)
    return roost


def digests(fly):
    return dict(fly.secrets)


def test_a_secret_that_is_no_login_is_missing_as_on_fly(local, fly):
    said = local(*APPLY)

    assert said.code == 3
    assert f"{DATABASE} (the environment variable {DATABASE} is not set)" in said.err
    assert "For the local Fly" not in said.err
    assert not fly.organization


def test_only_a_login_is_made_up(local, monkeypatch, fly):
    monkeypatch.setenv(DATABASE, "postgres://given")

    said = local(*APPLY)

    assert said.code == 0, said.err
    assert f"{AUTH_SECRET} has no value here. For the local Fly it is: {LOGIN}" in said.err
    assert f"{DATABASE} has no value here" not in said.err
    assert set(digests(fly)) == {AUTH_SECRET, DATABASE}


def test_a_forgotten_value_of_a_secret_that_is_set_is_left_as_it_is(
    local, rewrite, monkeypatch, fly
):
    monkeypatch.setenv(DATABASE, "postgres://given")
    local(*APPLY)
    monkeypatch.delenv(DATABASE)
    before = digests(fly)

    for memory in (1024, 2048):  # an apply with something to do, and one after it
        rewrite(
            secrets=[AUTH_SECRET, DATABASE],
            prefect=STOCK,
            machine={"size": "shared-cpu-1x", "memory_mb": memory},
        )
        applied = local(*APPLY)
        assert applied.code == 0, applied.err
        assert digests(fly) == before
    assert local("plan", "staging", "--local", "--exit-code").code == 0


def test_a_made_up_login_replaces_none_that_is_set(local, monkeypatch, fly, tmp_path):
    """One was made up long ago, another one was set since, and its value is forgotten."""
    monkeypatch.setenv(DATABASE, "postgres://given")
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    local(*APPLY)
    monkeypatch.delenv(AUTH_SECRET)
    GeneratedSecrets(tmp_path / "localfly", lambda _: "admin:made-up").values(APP, [AUTH_SECRET])
    before = digests(fly)
    monkeypatch.setenv(DATABASE, "postgres://other")

    said = local(*APPLY)

    assert said.code == 3
    assert f"{AUTH_SECRET} (the environment variable {AUTH_SECRET} is not set; the app has" in (
        said.err
    )
    assert "admin:made-up" not in said.err + said.out
    assert digests(fly) == before


def test_a_login_that_a_hand_set_before_the_first_apply_is_not_replaced(local, monkeypatch, fly):
    monkeypatch.setenv(DATABASE, "postgres://given")
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    local(*APPLY)
    fly.machines.clear()
    monkeypatch.delenv(AUTH_SECRET)
    before = digests(fly)

    said = local(*APPLY)

    assert said.code == 3
    assert "which a generated one must not replace" in said.err
    assert digests(fly) == before


def test_a_login_made_up_by_an_apply_that_was_cut_short_is_used_by_the_next(
    local, monkeypatch, fly
):
    monkeypatch.setenv(DATABASE, "postgres://given")
    local(*APPLY)
    fly.machines.clear()
    for volume in fly.volumes.values():
        volume["attached_machine_id"] = None

    said = local(*APPLY)

    assert said.code == 0, said.err
    assert "has no value here" not in said.err


BAD = "admin:hunter2\u00fc"


@pytest.mark.parametrize(
    "command",
    [
        APPLY,
        ("apply", "staging"),
        ("secrets", "staging", "--set"),
        ("drift", "staging", "--heal"),
    ],
    ids=["apply --local", "apply", "secrets --set", "heal"],
)
def test_a_login_that_cannot_work_is_refused_before_anything_is_sent(
    local, monkeypatch, fly, command
):
    monkeypatch.setenv(DATABASE, "postgres://given")
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    if command[0] != "apply":
        local("apply", "staging")
    if command[0] == "drift":
        [machine] = fly.machines.values()
        machine["config"]["guest"]["memory_mb"] = 4096  # what is to be healed
    else:
        monkeypatch.setenv(DATABASE, "postgres://other")
    before = digests(fly)
    monkeypatch.setenv(AUTH_SECRET, BAD)

    said = local(*command)

    assert said.code == 3, said.err
    assert f"[secret-unusable]: {AUTH_SECRET}: its value in ${AUTH_SECRET} has" in said.err
    assert "hunter2" not in said.err + said.out
    assert digests(fly) == before


def test_a_login_that_cannot_work_is_refused_though_nothing_is_to_change(local, monkeypatch):
    monkeypatch.setenv(DATABASE, "postgres://given")
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    local(*APPLY)
    monkeypatch.setenv(AUTH_SECRET, BAD)

    planned = local("plan", "staging", "--local")
    listed = local("secrets", "staging", "--local")

    assert local(*APPLY).code == 3
    assert f"An apply refuses {AUTH_SECRET}: its value in" in planned.err
    assert f"{AUTH_SECRET} cannot be set: its value in" in listed.out
