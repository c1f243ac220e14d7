"""One app belongs to one environment, also where the app is that of a flow server."""

from __future__ import annotations

import pytest
import yaml

from helpers.environments import environment_data
from helpers.flow_folders import NIGHTLY, write_flow_folder
from roost.environment.load import load_environment, load_files
from roost.errors import InvalidFilesError

NIGHT = {"flows": [NIGHTLY]}


@pytest.fixture
def folder(tmp_path):
    """The environments of a repository with the folder of a flow server."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "environments").mkdir()
    write_flow_folder(tmp_path)
    return tmp_path / "environments"


def write(folder, name, *parts, **fields):
    """Write an environment file."""
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(environment_data(*parts, **fields)))


def fault_of(folder, name):
    """Return the message of the one fault with which an environment is refused."""
    with pytest.raises(InvalidFilesError) as caught:
        load_environment(name, folder)
    (fault,) = caught.value.faults
    return fault.message


def test_a_flow_server_must_not_take_the_app_of_a_server(folder):
    """Without this, an unprotected environment could name itself into a protected server's app."""
    write(folder, "production", app="acme-nightly", protected=True)
    write(folder, "staging", NIGHT, app="acme")

    (fault,) = load_files([folder]).faults

    assert "the app acme-nightly is also that of " in fault.message
    assert "production.yaml:1; one app, one file" in fault.message
    for name in ("production", "staging"):
        assert "the app acme-nightly is also that of " in fault_of(folder, name)


def test_two_flow_servers_of_two_environments_must_not_have_one_app(folder):
    write(folder, "one", app="acme", flows=[{**NIGHTLY, "name": "prefect-nightly"}])
    write(folder, "two", NIGHT, app="acme-prefect")

    (fault,) = load_files([folder]).faults

    assert "the app acme-prefect-nightly is also that of " in fault.message
    for name in ("one", "two"):
        assert "the app acme-prefect-nightly is also that of " in fault_of(folder, name)


def test_a_flow_server_in_the_defaults_is_found_too(folder):
    (folder / "_defaults.yaml").write_text(yaml.safe_dump({"organization": "acme", **NIGHT}))
    write(folder, "production", app="acme-nightly")
    write(folder, "staging", app="acme")

    assert "the app acme-nightly is also that of " in fault_of(folder, "production")


def test_environments_with_flow_servers_of_one_name_have_apps_of_their_own(folder):
    write(folder, "production", NIGHT, app="acme-production")
    write(folder, "staging", NIGHT, app="acme-staging")

    assert load_files([folder]).faults == ()
    assert load_environment("staging", folder).environment.app == "acme-staging"
