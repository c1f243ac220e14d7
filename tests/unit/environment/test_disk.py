"""How long data is kept and how far a volume may grow, as the file writes it."""

from __future__ import annotations

import pytest
import yaml

from helpers.environments import POSTGRES, environment_data
from roost.environment.load import load_files
from roost.environment.starter import BACKENDS, Starter, faults_in, written
from roost.environment.yaml_source import read_source

NO_DEFAULTS = read_source("_defaults.yaml", b"{}\n")
SQLITE = {"backend": "sqlite"}


@pytest.fixture
def load(tmp_path):
    """The environment of some data, or its faults as LINE:COLUMN: MESSAGE."""

    def loaded(*parts, **fields):
        path = tmp_path / "staging.yaml"
        path.write_text(yaml.safe_dump(environment_data(*parts, **fields), sort_keys=False))
        found = load_files([path])
        return [str(f).removeprefix(f"{path}:") for f in found.faults] or found.files[0].environment

    return loaded


def test_nothing_is_deleted_that_prefect_would_not_delete_unless_the_file_says_so(load):
    for environment in (load(), load(POSTGRES)):
        assert environment.database.retention.events == 7
        assert environment.database.retention.flow_runs == "keep"


@pytest.mark.parametrize("database", [SQLITE, POSTGRES["database"]])
def test_days_are_written_as_days_and_read_back(load, database):
    retention = {"events": "3d", "flow_runs": "60d"}

    kept = load(POSTGRES, database={**database, "retention": retention})
    if database is SQLITE:
        kept = load(database={**database, "retention": retention})

    assert kept.database.retention.model_dump() == retention
    assert kept.database.retention.flow_runs == 60


@pytest.mark.parametrize(
    "value", [7, 0, "7", "7h", "0d", "-1d", "3651d", "99999d", "", None, "\u0667d"]
)
@pytest.mark.parametrize("field", ["events", "flow_runs"])
def test_anything_but_days_is_a_fault_with_the_form_to_write(load, field, value):
    [found] = load(database={**SQLITE, "retention": {field: value}})

    assert f"{field} must be a number of days from 1d to 3650d, such as 90d" in found
    assert ("or keep, to delete none" in found) == (field == "flow_runs")


def test_events_cannot_be_kept_for_ever(load):
    """Prefect has no such setting, and they are most of what fills a volume."""
    [found] = load(database={**SQLITE, "retention": {"events": "keep"}})

    assert "events must be a number of days" in found


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("PREFECT_SERVER_EVENTS_RETENTION_PERIOD", "database.retention.events"),
        ("PREFECT_EVENTS_RETENTION_PERIOD", "database.retention.events"),
        ("PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED", "database.retention, which has"),
        ("PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD", "database.retention.flow_runs"),
    ],
)
def test_a_setting_of_the_same_is_a_fault_that_names_the_field(load, name, advice):
    [found] = load(prefect={"version": "3.8.8", "settings": {name: "604800"}})

    assert f"{name} is decided by {advice}" in found


def test_how_often_prefect_cleans_up_stays_a_setting(load):
    name = "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS"

    assert load(prefect={"version": "3.8.8", "settings": {name: "600"}}).prefect.settings[name]


def test_a_prefect_without_a_vacuum_of_flow_runs_keeps_them_all(load, tmp_path):
    deploy = tmp_path / "deploy"
    for folder in ("locks", "settings"):
        (deploy / folder).mkdir(parents=True)
        (deploy / folder / "prefect-3.4.0.txt").write_text("PREFECT_API_URL text\n")
    (deploy / "image.json").write_text("{}")
    (tmp_path / ".git").mkdir()
    version = {"prefect": {"version": "3.4.0"}}

    [found] = load(version, database={**SQLITE, "retention": {"flow_runs": "90d"}})

    assert "flow_runs must be keep: Prefect 3.4.0 deletes no flow runs by itself" in found
    assert load(version).database.retention.flow_runs == "keep"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_new_environment_says_how_long_things_are_kept(backend):
    text = written(Starter(name="staging", backend=backend), NO_DEFAULTS)

    assert "retention: {events: 7d, flow_runs: 90d}" in text
    assert faults_in(text, "staging.yaml", NO_DEFAULTS) == ()
