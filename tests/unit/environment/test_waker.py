"""The section `waker`: who deploys it, which environments may use it, and its form as an environment."""

from __future__ import annotations

import pytest
import yaml

from helpers.environments import environment_data
from helpers.flow_folders import NIGHTLY, write_flow_folder
from roost.environment.flow_units import login_name
from roost.environment.load import load_environment, load_files, load_unit
from roost.environment.rehearsal import rehearsed
from roost.environment.units import beside, to_apply, units
from roost.environment.written_out import merged
from roost.errors import InvalidFilesError, UnknownEnvironmentError

HOST = {"waker": {"app": "acme-waker"}}
GUEST = {"waker": {"app": "acme-waker", "deployed_by": "production"}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "environments").mkdir()
    write_flow_folder(tmp_path)
    return tmp_path / "environments"


def write(folder, name, **fields):
    text = yaml.safe_dump(environment_data(**{"app": f"acme-{name}", **fields}))
    (folder / f"{name}.yaml").write_text(text)


def faults(folder, name=""):
    if not name:
        return [fault.message for fault in load_files([folder]).faults]
    with pytest.raises(InvalidFilesError) as caught:
        load_environment(name, folder)
    return [fault.message for fault in caught.value.faults]


def test_the_environment_that_names_no_other_deploys_it(folder):
    write(folder, "production", **HOST, flows=[NIGHTLY], region="fra")
    file = load_environment("production", folder)

    [waker] = [unit for unit in beside(file) if unit.waker]

    assert waker.name == "production.waker"
    assert (waker.environment.app, waker.environment.region) == ("acme-waker", "fra")
    assert waker.environment.machine.memory_mb == 256
    assert waker.environment.secrets == ()
    assert login_name(waker) == ""
    assert beside(waker) == ()
    assert waker.server is file.environment


def test_who_is_needed_is_applied_first(folder):
    write(folder, "production", **HOST, flows=[NIGHTLY])
    file = load_environment("production", folder)

    assert [unit.name for unit in to_apply(file)] == [
        *("production.waker", "production", "production.nightly")
    ]
    assert [unit.name for unit in units(file)] == [
        *("production", "production.nightly", "production.waker")
    ]


def test_it_may_stand_elsewhere_than_its_servers(folder):
    write(folder, "production", waker={"app": "acme-waker", "region": "ams"}, region="fra")

    assert load_unit("production.waker", folder).environment.region == "ams"


def test_others_use_the_one_that_is_deployed(folder):
    write(folder, "production", **HOST)
    write(folder, "staging", **GUEST)

    assert faults(folder) == []
    assert beside(load_environment("staging", folder)) == ()
    with pytest.raises(UnknownEnvironmentError) as caught:
        load_unit("staging.waker", folder)
    assert "production.waker" in caught.value.advice


def test_one_line_in_the_defaults_is_enough_for_all(folder):
    (folder / "_defaults.yaml").write_text(yaml.safe_dump(GUEST))
    write(folder, "production")
    write(folder, "staging")

    assert faults(folder) == []
    assert [unit.name for unit in beside(load_environment("production", folder))] == [
        "production.waker"
    ]
    assert beside(load_environment("staging", folder)) == ()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    ("host", "guest", "message"),
    [
        (None, {}, "there is no environment production"),
        ({}, {}, "production deploys no waker"),
        (
            {"waker": {"app": "acme-waker", "deployed_by": "third"}},
            {},
            "production deploys no waker",
        ),
        ({"waker": {"app": "acme-other"}}, {}, "production deploys the waker acme-other"),
        (HOST, {"organization": "globex"}, "is reached only in its own"),
        (HOST, {"protected": True}, "let a protected environment deploy the waker"),
    ],
)
def test_the_host_deploys_this_waker(folder, host, guest, message, alone):
    if host is not None:
        write(folder, "production", **{"organization": "acme", **host})
    write(folder, "staging", **GUEST, **{"organization": "acme", **guest})

    found = faults(folder, "staging" if alone else "")

    assert any(message in fault for fault in found), found


def test_a_host_with_faults_of_its_own_is_not_blamed_twice(folder):
    write(folder, "production", **HOST, region="nowhere")
    write(folder, "staging", **GUEST)

    assert len(faults(folder)) == 1
    assert load_environment("staging", folder).name == "staging"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flows": [{**NIGHTLY, "name": "waker"}]}, "waker is the name of the waker"),
        ({"waker": {"app": "acme-production"}}, "acme-production is another app of this file"),
        (
            {"waker": {"app": "acme-production-nightly"}, "flows": [NIGHTLY]},
            "acme-production-nightly is another app of this file",
        ),
        (
            {**HOST, "prefect": {"version": "3.9.1", "image": "acme/prefect:1"}},
            "only roost's own image tells a waker",
        ),
        ({"waker": {"app": "Acme"}}, "app must be 2 to 63 lower-case"),
        ({"waker": {"app": "acme-waker", "region": "sea"}}, "region"),
        ({"waker": {"deployed_by": "production"}}, "app is missing"),
        ({"waker": "acme-waker"}, "waker must be a mapping"),
        ({"waker": {"app": "acme-waker", "memory_mb": 512}}, "memory_mb"),
    ],
)
def test_what_cannot_work_is_refused(folder, fields, message):
    write(folder, "production", **fields)

    assert any(message in fault for fault in faults(folder)), faults(folder)


def test_its_app_belongs_to_one_environment(folder):
    write(folder, "production", **HOST)
    write(folder, "staging", **HOST)
    write(folder, "third", app="acme-waker")

    assert sum("the app acme-waker is also that of" in fault for fault in faults(folder)) == 2


def test_the_written_form_has_it(folder):
    write(folder, "production", **HOST)

    assert merged(load_environment("production", folder))["waker"] == {"app": "acme-waker"}


def test_on_this_computer_only_ones_own_waker_is_used(folder):
    """That of another environment is not here, and each sleep would wait for it."""
    write(folder, "production", **HOST)
    write(folder, "staging", **GUEST)

    assert rehearsed(load_environment("staging", folder)).environment.waker is None
    assert rehearsed(load_environment("production", folder)).environment.waker is not None
