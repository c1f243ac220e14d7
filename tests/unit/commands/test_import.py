"""`roost import` and `roost export` in one process: the file, the refusals, and what is asked of whom."""

from __future__ import annotations

import tomllib

import pytest
import yaml

from helpers.made_by_flyctl import MACHINE, VOLUME, config
from roost.environment.database_rules import URL

APP = "acme-flows"
BUILT = "registry.fly.io/acme-flows:deployment-01ABC"
STOCK = "prefecthq/prefect:3.8.8-python3.12"


@pytest.fixture
def found(fly):
    """An app that flyctl made, on the Fly that commands talk to."""
    fly.name, fly.organization = APP, "acme"
    fly.ips = [{"ip": "1.2.3.4", "type": "shared_v4"}, {"ip": "2a09::1", "type": "v6"}]
    fly.secrets = {"PREFECT_SERVER_API_AUTH_STRING": "admin:pass", "HOOK": "x"}
    fly.volumes[VOLUME] = {
        "id": VOLUME,
        "name": "prefect_data",
        "size_gb": 3,
        "region": "iad",
        "state": "created",
        "snapshot_retention": 7,
        "attached_machine_id": MACHINE,
    }
    fly.machines[MACHINE] = {
        "id": MACHINE,
        "name": "quiet-moon-123",
        "region": "iad",
        "state": "started",
        "instance_id": "01A",
        "config": config(),
        "events": [],
    }
    return fly.machines[MACHINE]


def test_an_import_writes_the_file_and_changes_nothing_on_fly(roost, fly, found, tmp_path):
    assert found
    said = roost("import", APP, "--name", "taken")

    file = yaml.safe_load((tmp_path / "taken.yaml").read_text())
    assert said.code == 0
    assert fly.changes == []
    assert (file["app"], file["organization"], file["adopt"]) == (APP, "acme", MACHINE)
    assert "The first apply changes these fields of the machine:" in said.out
    assert "- metadata.roost_environment: marks by which Roost knows the machine" in said.out
    assert "apply taken" in said.out
    assert roost("validate", tmp_path / "taken.yaml").code == 0


@pytest.mark.parametrize("state", ["started", "suspended"])
def test_only_a_server_that_is_awake_is_asked_for_its_version(roost, prefect, found, state):
    """A request would wake one that sleeps."""
    found["config"]["image"] = BUILT
    found["state"] = state
    prefect.asked.clear()

    said = roost("import", APP)

    if state == "started":
        assert said.code == 0
        assert f"with Prefect {prefect.version}" in said.out
    else:
        assert said.code == 3
        assert "--prefect-version 3.8.8" in said.err
        assert prefect.asked == []


def test_a_version_without_a_lock_is_named_with_the_command_that_makes_one(
    roost, found, fly, tmp_path
):
    del found["config"]["mounts"]
    found["config"] |= {
        "image": "prefecthq/prefect:3.4.24-python3.11",
        "env": {},
        "init": {"cmd": ["sh", "-c", f"{URL}=$DATABASE_URL prefect server start"]},
    }
    fly.volumes.clear()
    fly.secrets["DATABASE_URL"] = "x"

    said = roost("import", APP)

    assert said.code == 0
    assert "./run lock 3.4.24" in said.out
    assert (tmp_path / f"{APP}.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("import", APP, "--name", "staging"), "never overwritten"),
        (("import", APP, "--name", "No Name"), "is not an environment name"),
        (("import", "acme-prefect", "--name", "taken"), "has an environment file already"),
    ],
    ids=["a file of that name", "no name", "an app with a file"],
)
def test_what_cannot_be_imported_is_refused_and_nothing_is_written(
    roost, found, tmp_path, arguments, sentence
):
    assert found
    before = sorted(tmp_path.iterdir())

    said = roost(*arguments)

    assert said.code == 3
    assert sentence in " ".join(said.err.split())
    assert sorted(tmp_path.iterdir()) == before


def test_an_app_that_fly_does_not_know_is_refused(roost, tmp_path):
    said = roost("import", "nobody-s")

    assert said.code == 3
    assert "Fly knows no app nobody-s" in said.err
    assert not (tmp_path / "nobody-s.yaml").exists()


def test_an_export_is_the_fly_toml_of_the_file(roost):
    said = roost("export", "staging")

    assert tomllib.loads(said.out)["app"] == "acme-prefect"
