"""The sections `notify` and `budget`: what they take, and that a pasted address is never shown."""

from __future__ import annotations

import pytest

from roost.environment.load import load_environment, load_files
from roost.environment.notify import FACTS
from roost.environment.written_out import merged

GOOD = """\
app: acme
region: iad
prefect: {version: 3.9.1}
secrets: [PREFECT_SERVER_API_AUTH_STRING]
"""


@pytest.fixture
def load(tmp_path):
    def write(text, defaults=""):
        if defaults:
            (tmp_path / "_defaults.yaml").write_text(defaults)
        (tmp_path / "staging.yaml").write_text(GOOD + text)
        return load_files([tmp_path])

    return write


def faults(loaded):
    return [f"{f.line}:{f.column}: {f.message}" for f in loaded.faults]


def test_an_address_is_told_everything_unless_it_says_what(load):
    [file] = load("notify: [{url_secret: ALL}, {url_secret: SOME, on: [drift, failed]}]\n").files
    everything, some = file.environment.notify

    assert everything.on == FACTS
    assert some.on == ("drift", "failed")


def test_the_defaults_of_a_folder_name_who_is_told_for_every_environment(load):
    [file] = load("", "notify: [{url_secret: ALL}]\nbudget: {monthly_usd: 7.5}\n").files

    assert [entry.url_secret.name for entry in file.environment.notify] == ["ALL"]
    assert file.environment.budget.monthly_usd == 7.5


def test_what_show_prints_is_read_again_as_the_same(load, tmp_path):
    load(
        "notify: [{url_secret: {name: A, from: {env: B}}, on: [down]}]\nbudget: {monthly_usd: 5}\n"
    )
    written = merged(load_environment("staging", tmp_path))

    assert written["notify"] == [
        {"url_secret": {"name": "A", "from": {"env": "B"}}, "on": ["down"]}
    ]
    assert written["budget"] == {"monthly_usd": 5.0}


@pytest.mark.parametrize(
    "entry",
    [
        "url_secret: https://hooks.slack.com/services/hunter2",
        "url_secret: {name: 'mailto://me:hunter2@example.com'}",
        "url_secret: {name: A, from: {env: 'https://hunter2.example.com'}}",
    ],
)
def test_an_address_in_the_place_of_its_name_is_refused_and_never_shown(load, entry):
    [fault] = faults(load(f"notify:\n  - {entry}\n"))

    assert fault.startswith("6:")
    assert "something that may be a secret and is not shown" in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("notify: [{url_secret: A, on: [drfit]}]", "did you mean drift?"),
        ("notify: [{url_secret: A, on: []}]", "on is empty"),
        ("notify: [{url_secret: A, on: [down, down]}]", "down is listed twice; keep one"),
        ("notify: [{url_secret: A}, {url_secret: A}]", "A is listed twice"),
        (
            "notify: [{url_secret: FLY_API_TOKEN}]",
            "such as the deploy token, and is no address for",
        ),
        (
            "notify: [{url_secret: {name: PREFECT_SERVER_API_AUTH_STRING, from: {env: A}}}]",
            "has another source under secrets",
        ),
        ("notify: [{}]", "url_secret is missing"),
        ("budget: {monthly_usd: five}", "must be a number such as 5 or 12.50"),
        ("budget: {monthly_usd: .nan}", "must be a number such as 5 or 12.50"),
        ("budget: {monthly_usd: 0}", "must be 0.01 or more"),
        ("budget: {}", "monthly_usd is missing"),
        ("budget: 5", "must be a mapping"),
    ],
)
def test_what_cannot_be_meant_is_a_fault_with_its_place(load, text, fault):
    found = faults(load(f"{text}\n"))

    assert any(fault in one and one.startswith("5:") for one in found), found


def test_a_sops_file_of_an_address_is_checked_as_any_other(load):
    [fault] = faults(load("notify: [{url_secret: {name: A, from: {sops: a.sops.yaml}}}]\n"))

    assert "a.sops.yaml" in fault
