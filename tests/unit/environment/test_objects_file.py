"""The file with Prefect's own objects: what it may have, and what is refused with its line."""

from __future__ import annotations

import os

import pytest
import yaml

from helpers.environments import environment_data
from roost.environment.load import load_environment, load_files
from roost.environment.objects_file import MOST_OBJECTS, MOST_TEXT
from roost.environment.prefect_objects import secret_places
from roost.environment.rehearsal import NO_VALUE, confined
from roost.environment.written_out import merged

PATH = "prefect/production.yaml"
GOOD = """\
x-limits: &limit {limit: 2}
work_pools:
  - name: etl
    type: process
    concurrency_limit: 3
concurrency_limits:
  - {name: warehouse, <<: *limit}
variables:
  - name: region
    value: {name: eu, weights: [1, 2.5]}
blocks:
  - name: ops
    type: slack-webhook
    data:
      url: {secret: SLACK_URL}
automations:
  - name: Crash zombie runs
    trigger: {type: event, posture: Proactive, within: 600}
    actions: [{type: change-flow-run-state, state: CRASHED}]
"""
SECRETS = ["SLACK_URL"]


@pytest.fixture
def repository(tmp_path):
    """A repository with folders for environments and for objects."""
    for folder in (".git", "environments", "prefect"):
        (tmp_path / folder).mkdir()
    return tmp_path


def write(repository, text=GOOD, path=PATH, secrets=SECRETS, **fields):
    """Write an environment and its file of objects; return the environment's path."""
    if text is not None:
        (repository / PATH).write_bytes(text.encode() if isinstance(text, str) else text)
    prefect = {"objects": path, "object_secrets": secrets}
    place = repository / "environments" / "staging.yaml"
    place.write_text(yaml.safe_dump(environment_data({"prefect": prefect}, **fields)))
    return place


def faults_of(*arguments, **fields):
    """Return what is wrong with an environment whose file of objects has this text."""
    return [fault.message for fault in load_files([write(*arguments, **fields)]).faults]


def test_a_good_file_is_loaded_in_the_order_to_create_its_objects(repository):
    write(repository)

    found = load_environment("staging", repository / "environments").objects

    assert [entry.key for entry in found.objects] == [
        "variables/region",
        "blocks/slack-webhook/ops",
        "concurrency_limits/warehouse",
        "work_pools/etl",
        "automations/Crash zombie runs",
    ]
    assert found.secrets == ("SLACK_URL",)
    assert found.objects[0].body == {"name": "region", "value": {"name": "eu", "weights": [1, 2.5]}}
    assert found.objects[2].body == {"name": "warehouse", "limit": 2}


def test_the_place_of_each_secret_is_found():
    data = {"url": {"secret": "A"}, "deep": {"one": {"secret": "B"}}, "plain": {"secret": 1}}

    assert list(secret_places(data)) == [(("url",), "A"), (("deep", "one"), "B")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("work_pool: []\n", "line 1: there is no section work_pool; did you mean work_pools?"),
        ("variables: {a: 1}\n", "line 1: variables must be a list of entries"),
        ("variables: [a]\n", "line 1: an entry of variables must be a mapping with a name"),
        ("variables:\n  - name: a\n", "line 2: value is missing"),
        ("variables: [{name: A-b, value: 1}]\n", "name must be a text of lower-case letters"),
        ("variables: [{name: 5, value: 1}]\n", "name must be a text of lower-case letters"),
        ("variables: [{name: a, value: 1, tag: x}]\n", "no field tag here; did you mean tags?"),
        ("variables:\n- {name: a, value: 1}\n- {name: a, value: 2}\n", "line 3: variables/a is here twice"),
        ("work_pools: [{name: prefect-x, type: process}]\n", "which is reserved"),
        ("work_pools: [{name: a/b, type: process}]\n", "name must be a text without /"),
        ("concurrency_limits: [{name: a, limit: 1, active_slots: 1}]\n", "active_slots is counted by Prefect"),
        ("blocks: [{name: a, type: Slack Webhook, data: {}}]\n", "type must be the slug of a block type"),
        ("blocks: [{name: a, type: json, data: 5}]\n", "data must be a mapping"),
        ("blocks: [{name: a, type: json, data: {value: {secret: SLACK_URI}}}]\n",
         "the secret SLACK_URI is not listed in prefect.object_secrets; did you mean SLACK_URL?"),
        ("blocks: [{name: a, type: json, data: {value: [{secret: SLACK_URL}]}}]\n", "cannot be in a list"),
        ("blocks: [{name: a, type: json, data: {secret: SLACK_URL}}]\n", "data must be a mapping of the block's fields"),
        ("blocks: [{name: a, type: json, data: {value: {secret: SLACK_URL, x: 1}}}]\n",
         "a secret has no other keys beside it; write {secret: SLACK_URL} alone"),
        ("blocks: [{name: a, type: json, data: {value: [{secret: OTHER, x: 1}]}}]\n", "write {secret: OTHER} alone"),
        ("variables: [{name: a, value: {secret: SLACK_URL}}]\n", "only be in the data of a block"),
        ("variables: [{name: a, value: !!python/object 1}]\n", "is not allowed; write plain values"),
        ('variables: [{name: a, value: "b]\n', "is not YAML here"),
        ("- a\n", "must be a mapping"),
        ("", f"{PATH} is empty; its sections are variables"),
        (b"variables: \xff\n", "is not UTF-8"),
        ("variables: [" + "{name: a, value: 1}, " * (MOST_OBJECTS + 1) + "]\n", "is here twice"),
        ("variables: [" + ", ".join(f"{{name: a{i}, value: 1}}" for i in range(MOST_OBJECTS + 1)) + "]\n",
         "has 201 objects; at most 200"),
        ("variables: [{name: a, value: " + "x" * MOST_TEXT + "}]\n", "has more than 64 KiB"),
    ],
)  # fmt: skip
def test_a_fault_is_reported_with_the_file_and_its_line(repository, text, message):
    [found] = faults_of(repository, text)

    assert found.startswith(PATH)
    assert message in found


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("prefect/other.yaml", "is no file of this repository"),
        ("prefect/../../elsewhere.yaml", "must be a YAML file of this repository"),
        ("/etc/passwd", "must be a YAML file of this repository"),
        ("prefect", "must be a YAML file of this repository"),
    ],
)
def test_a_file_elsewhere_is_refused(repository, path, message):
    [found] = faults_of(repository, path=path)

    assert message in found


@pytest.mark.parametrize("target", ["../../outside.yaml", "../.git/config.yaml"])
def test_a_link_out_of_the_repository_is_refused(repository, target):
    outside = repository / "prefect" / target
    outside.resolve().write_text(GOOD)
    (repository / PATH).symlink_to(target)

    [found] = faults_of(repository, None)

    assert "is outside of the repository" in found


def test_a_pipe_is_refused_and_not_read(repository):
    os.mkfifo(repository / PATH)

    [found] = faults_of(repository, None)

    assert "cannot be read" in found


@pytest.mark.parametrize(
    ("secrets", "own", "message"),
    [
        (["SLACK_URL", "SLACK_URL"], [], "SLACK_URL is listed twice"),
        ([{"name": "SLACK_URL", "from": {"env": "OTHER"}}], ["SLACK_URL"], "has another source"),
        ([{"name": "SLACK_URL", "from": {"env": "FLY_API_TOKEN"}}], [], "is not sent to a server"),
        ([{"name": "SLACK_URL", "from": {"sops": "none.sops.yaml"}}], [], "none.sops.yaml"),
    ],
)
def test_the_sources_of_secrets_follow_the_rules_of_other_secrets(
    repository, secrets, own, message
):
    login = environment_data()["secrets"]

    place = _with_own(repository, secrets, [*login, *own])
    found = [fault.message for fault in load_files([place]).faults]

    assert any(message in fault for fault in found), found


def _with_own(repository, secrets, own):
    (repository / PATH).write_text(GOOD)
    place = repository / "environments" / "staging.yaml"
    prefect = {"objects": PATH, "object_secrets": secrets}
    place.write_text(yaml.safe_dump(environment_data({"prefect": prefect, "secrets": own})))
    return place


def test_a_pasted_value_in_the_place_of_a_secrets_name_is_not_shown(repository):
    faults = faults_of(repository, secrets=["https://hooks.example/T0/hunter2"])

    assert faults
    assert not any("hunter2" in fault for fault in faults)


def test_secrets_without_a_file_are_refused(repository):
    place = repository / "environments" / "staging.yaml"
    place.write_text(yaml.safe_dump(environment_data(prefect={"object_secrets": SECRETS})))

    [fault] = load_files([place]).faults

    assert "add objects" in fault.message


def test_the_whole_file_is_written_out_with_the_secrets_in_short_form(repository):
    write(repository)

    written = merged(load_environment("staging", repository / "environments"))["prefect"]

    assert written["objects"] == PATH
    assert written["object_secrets"] == SECRETS


def test_a_rehearsal_of_an_untrusted_file_reads_no_value(repository):
    write(repository)

    file = confined(load_environment("staging", repository / "environments"))

    assert [s.source.env for s in file.environment.prefect.object_secrets] == [NO_VALUE]
    assert file.objects is not None
