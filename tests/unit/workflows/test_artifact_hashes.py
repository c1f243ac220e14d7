"""What the job that plans hands over: its own word counts, not what lies in the folder."""

from __future__ import annotations

import json

import pytest

from helpers.step_outputs import outputs_in
from roost.errors import UsageError
from roost.github.actions import Runner
from roost.operations.artifacts import write_document
from roost.workflows.artifact_hashes import hand_over, named, planned_names, receive

NAMES = ("production", "staging")


@pytest.fixture
def handed(tmp_path):
    """Two plans as their job writes them; return the folder, and what the next job is told."""
    folder = tmp_path / "plans"
    for name in NAMES:
        write_document(folder, name, {"environment": name, "steps": []})
    hand_over(Runner(output_path=str(tmp_path / "output")), folder, NAMES)
    return folder, {"PLANNED": outputs_in(tmp_path / "output")["planned"]}


def test_what_was_handed_over_is_received(handed):
    folder, environ = handed

    found = receive(environ, folder, NAMES)

    assert sorted(found.documents) == list(NAMES)
    assert (found.lost, found.strangers) == (frozenset(), ())


def test_a_plan_that_somebody_replaced_is_lost(handed):
    folder, environ = handed
    write_document(folder, "staging", {"environment": "staging", "steps": ["another"]})

    found = receive(environ, folder, NAMES)

    assert sorted(found.documents) == ["production"]
    assert found.lost == {"staging"}


def test_a_plan_that_is_gone_is_lost(handed):
    folder, environ = handed
    (folder / "staging.json").unlink()

    assert receive(environ, folder, NAMES).lost == {"staging"}


@pytest.mark.parametrize("place", ["demo.json", "plan-zz/demo.json", "plan-zz/staging.json"])
def test_a_file_that_the_job_did_not_write_is_a_stranger(handed, place):
    folder, environ = handed
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text(json.dumps({"environment": "demo", "steps": []}))

    found = receive(environ, folder, [*NAMES, "demo"])

    assert sorted(found.documents) == list(NAMES)
    assert found.strangers == (place,)


def test_a_plan_of_an_environment_that_does_not_change_is_left_out(handed):
    folder, environ = handed

    found = receive(environ, folder, ["staging"])

    assert sorted(found.documents) == ["staging"]
    assert found.strangers == ("production.json",)


def test_a_document_about_another_environment_is_lost(tmp_path):
    write_document(tmp_path, "staging", {"environment": "production", "steps": []})
    hand_over(Runner(output_path=str(tmp_path / "output")), tmp_path, ["staging"])

    found = receive({"PLANNED": outputs_in(tmp_path / "output")["planned"]}, tmp_path, ["staging"])

    assert (found.documents, found.lost) == ({}, {"staging"})


def test_where_the_job_said_nothing_every_file_is_a_stranger(handed):
    folder, _ = handed

    found = receive({}, folder, NAMES)

    assert (found.documents, found.lost) == ({}, frozenset())
    assert found.strangers == ("production.json", "staging.json")


def test_where_nothing_was_planned_nothing_is_received(tmp_path):
    found = receive({"PLANNED": ""}, tmp_path / "none", [])

    assert (found.documents, found.lost, found.strangers) == ({}, frozenset(), ())


@pytest.mark.parametrize("value", ["{}", "[1]", '["../x"]', "[", '["--help"]', '["A"]', '"x"'])
def test_what_is_no_list_of_environments_is_refused(value):
    with pytest.raises(UsageError, match="ENVIRONMENTS is not"):
        named({"ENVIRONMENTS": value})


@pytest.mark.parametrize("value", ["[1]", "{", '"x"'])
def test_what_are_no_hashes_is_refused(value, tmp_path):
    with pytest.raises(UsageError, match="PLANNED is not"):
        receive({"PLANNED": value}, tmp_path, [])


# Flow servers


def test_an_environment_has_the_flow_servers_that_the_job_planned_and_no_others():
    hashes = {"staging": "1", "staging.nightly": "2", "staging-two.hourly": "3", "production": "4"}
    environ = {"PLANNED": json.dumps(hashes)}

    assert planned_names(environ, ["staging"]) == ("staging", "staging.nightly")
    assert planned_names({}, ["staging"]) == ("staging",)


def test_a_document_of_a_flow_server_that_says_it_is_another_one_is_lost(tmp_path):
    write_document(tmp_path, "staging.nightly", {"environment": "staging", "steps": []})
    hand_over(Runner(output_path=str(tmp_path / "output")), tmp_path, ["staging.nightly"])
    environ = {"PLANNED": outputs_in(tmp_path / "output")["planned"]}

    found = receive(environ, tmp_path, planned_names(environ, ["staging"]))

    assert (found.documents, found.lost) == ({}, {"staging.nightly"})


@pytest.mark.parametrize("name", ["../x", "staging.../x", "staging.a.b", "plan.x", "staging.A", ""])
def test_a_hash_of_what_can_be_no_name_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="PLANNED is not"):
        receive({"PLANNED": json.dumps({name: "1"})}, tmp_path, [])
