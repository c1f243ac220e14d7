"""`roost migrate`: what a person types to move to PostgreSQL, to check it, and to end it."""

from __future__ import annotations

import json

import httpx
import pytest

from helpers.environments import POSTGRES
from helpers.fly_trouble import KilledError
from roost.apply import copy_database, move_to_volume, trial
from roost.commands import migrate_to_volume
from roost.environment.model import AUTH_SECRET
from roost.operations import applying
from roost.plan.database_move import is_copier

URL = "postgresql://u:hunter2@db.example/prefect"


@pytest.fixture
def asked(roost, fly, rewrite, monkeypatch):
    """The command line, with a server on its volume whose file asks for PostgreSQL now."""
    monkeypatch.setattr(copy_database, "POLL_S", 0)
    monkeypatch.setattr(trial, "POLL_S", 0)
    monkeypatch.setenv("DATABASE_URL", URL)
    assert roost("apply", "staging").code == 0
    fly.settle("stopped")
    rewrite(POSTGRES)
    return roost


def test_the_data_moves_and_the_volume_goes_when_somebody_confirms(asked, fly, rewrite):
    [volume] = fly.volumes

    moved = asked("migrate", "staging", "--to", "postgres")

    assert moved.code == 0, moved.err
    assert f"The volume {volume} is kept as it was" in moved.out
    assert "hunter2" not in moved.out + moved.err
    assert len(fly.copies) == 1
    assert json.loads(asked("plan", "staging", "--json").out)["steps"] == []
    back = asked("rollback", "staging", "--to", "1")
    assert back.code == 3
    assert "clients have written since" in back.err
    rewrite(secrets=[AUTH_SECRET])
    assert "which is from before" in asked("apply", "staging").err
    rewrite(POSTGRES)

    wrong = asked("migrate", "staging", "--confirm", "vol_9")
    done = asked("migrate", "staging", "--confirm", volume)

    assert (wrong.code, f"Kept volumes: {volume}" in wrong.err) == (3, True)
    assert done.code == 0, done.err
    assert fly.volumes == {}
    [machine] = fly.machines.values()
    assert "mounts" not in machine["config"]
    assert json.loads(asked("plan", "staging", "--json").out)["steps"] == []


def test_a_server_that_fails_its_gate_on_postgres_serves_its_volume_again(asked, fly, prefect):
    def version():
        [machine] = fly.machines.values()
        moved = "ROOST_MOVED_FROM" in machine["config"]["env"]
        return httpx.Response(200, json="3.0.0") if moved else None

    prefect.broken["GET", "/api/admin/version"] = version

    failed = asked("migrate", "staging", "--to", "postgres")

    assert failed.code == 4
    assert "The last healthy release was restored" in failed.err
    [machine] = fly.machines.values()
    assert not is_copier(machine["config"])
    assert "ROOST_DATABASE_URL_VARIABLE" not in machine["config"]["env"]


@pytest.mark.parametrize(
    ("to", "said"), [("sqlite", "The file does not ask for a volume"), ("", "or from PostgreSQL")]
)
def test_data_goes_where_the_file_says(asked, fly, to, said):
    fly.asked.clear()

    found = asked("migrate", "staging", "--to", to)

    assert (found.code, said in found.err) == (3, True)
    assert fly.asked == []


@pytest.fixture
def there(roost, rewrite, monkeypatch):
    """The command line, with a server on PostgreSQL whose file asks for a volume now."""
    monkeypatch.setattr(copy_database, "POLL_S", 0)
    monkeypatch.setattr(trial, "POLL_S", 0)
    monkeypatch.setenv("DATABASE_URL", URL)
    rewrite(POSTGRES)
    assert roost("apply", "staging").code == 0
    rewrite(secrets=[AUTH_SECRET])
    return roost


def test_the_data_moves_to_a_new_volume_and_there_is_no_way_back_once_clients_wrote(there, fly):
    planned = there("plan", "staging")
    assert "Move the data to a new volume" in planned.out + planned.err

    moved = there("migrate", "staging", "--to", "sqlite")

    assert moved.code == 0, moved.err
    assert "The PostgreSQL is as it was" in moved.out
    [machine] = fly.machines.values()
    assert machine["config"]["mounts"][0]["volume"] in fly.volumes
    assert json.loads(there("plan", "staging", "--json").out)["steps"] == []
    back = there("rollback", "staging", "--to", "1")
    assert back.code == 3
    assert "moved the data to a volume, where clients have written since" in back.err
    again = there("migrate", "staging", "--to", "sqlite")
    assert (again.code, "no server here whose data is in PostgreSQL" in again.err) == (3, True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prefect": {"version": "3.9.1"}}, "the version of Prefect change"),
        ({"region": "ams"}, "The machine is in"),
    ],
    ids=["upgrade", "region"],
)
def test_a_move_to_a_volume_with_something_else_is_refused(there, fly, rewrite, fields, said):
    rewrite(secrets=[AUTH_SECRET], **fields)

    found = there("migrate", "staging", "--to", "sqlite")

    assert (found.code, said in found.err) == (3, True), found.err
    assert fly.volumes == {}


@pytest.fixture
def cut_short(there, monkeypatch):
    """The command line, after a move to a volume that was killed while its machine copied."""

    async def killed(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(move_to_volume, "outcome", killed)
        with pytest.raises(KilledError):
            there("migrate", "staging", "--to", "sqlite")
    return there


@pytest.mark.parametrize("command", [("apply",), ("migrate", "--to", "sqlite")], ids=str)
def test_a_move_goes_on_only_with_the_version_it_began_with(cut_short, fly, rewrite, command):
    rewrite(prefect={"version": "3.9.1"})
    fly.asked.clear()

    found = cut_short(command[0], "staging", *command[1:])

    assert (found.code, fly.changes) == (3, [])
    assert "and the version of Prefect change" in found.err


@pytest.mark.parametrize("command", [("apply",), ("migrate", "--to", "sqlite")], ids=str)
def test_a_move_that_goes_on_builds_the_image_first(cut_short, fly, monkeypatch, command):
    made = []

    async def ensured(*given):
        made.append((given[-1], len(fly.changes)))

    for module in (applying, migrate_to_volume):
        monkeypatch.setattr(module, "ensure_image", ensured)
    fly.asked.clear()

    found = cut_short(command[0], "staging", *command[1:])

    assert found.code == 0, found.err
    [machine] = fly.machines.values()
    assert made[0] == (machine["config"]["image"], 0)


def test_a_file_that_asks_for_the_volume_is_told_what_to_write(roost):
    found = roost("migrate", "staging", "--to", "postgres")

    assert found.code == 3
    assert "database: {backend: postgres, url_secret: DATABASE_URL}" in found.err
