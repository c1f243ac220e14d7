"""Commands as data and as a person types them; owners; and the rules of main."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from helpers.environments import environment_file
from roost.environment.model import AUTH_SECRET
from roost.environment.starter import Starter
from roost.report.setup import (
    RULESET,
    Command,
    commands,
    known_owner,
    owned,
    unowned,
    with_owners,
)

PROJECT = Path(__file__).parents[3]
PROTECTED = environment_file(
    name="production",
    protected=True,
    secrets=[
        AUTH_SECRET,
        {"name": "A", "from": {"sops": "secrets/prod.sops.yaml"}},
        {"name": "B", "from": {"sops": "secrets/hooks.env"}},
        {"name": "C", "from": {"sops": "other hooks#.json"}},
    ],
)


def test_a_command_with_a_second_one_is_a_pipe_and_what_it_reads_stands_before_it():
    two = Command("", ("fly", "tokens", "create", "a b"), into=("gh", "secret", "set", "X"))
    reading = Command("", ("gh", "api", "--input", "-"), given='{"a": 1}')

    assert two.shell() == "fly tokens create 'a b' | gh secret set X"
    assert two.programs == {"fly", "gh"}
    assert reading.shell() == "echo '{\"a\": 1}' | gh api --input -"
    assert reading.programs == {"gh"}


@pytest.mark.parametrize("protected", [False, True])
def test_only_what_is_protected_waits_for_a_person(protected):
    shown = [command.shell() for command in commands(Starter(name="a", protected=protected), ())]

    assert any("reviewers" in line for line in shown) is protected


def test_every_token_ends_and_goes_straight_into_a_secret():
    tokens = [c for c in commands(Starter(name="a"), ["X"]) if c.words[:2] == ("fly", "tokens")]

    assert len(tokens) == 2
    assert all(command.words[-2:] == ("-x", "720h") for command in tokens)
    assert all(command.into[:4] == ("gh", "secret", "set", "FLY_API_TOKEN") for command in tokens)


def test_an_owner_of_the_template_is_none():
    text = "/.github/ @your-organization/platform\n# /x @acme/no\n/scripts/ @acme/ops @anna\n/run\n"

    assert known_owner(text) == "@acme/ops"
    assert known_owner("/.github/ @your-organization/platform\n") == ""
    wanted = owned([PROTECTED])
    missing = unowned(text, wanted)
    assert {"/.github/", "/run", "/environments/production.yaml"} <= set(missing)
    assert "/scripts/" not in missing
    assert unowned(with_owners(text, "@acme/ops", wanted), wanted) == ("/run",)


def test_owners_that_are_all_there_are_left_as_they_are():
    text = with_owners("", "@anna", owned([PROTECTED]))

    assert with_owners(text, "@bert", owned([PROTECTED])) == text


def test_the_file_of_a_protected_environment_is_owned_with_either_suffix():
    """Both are read, so with one line of the two another file takes the owned one's place."""
    files = {"/environments/production.yaml", "/environments/production.yml"}

    assert files <= set(owned([PROTECTED]))
    assert not files & set(owned([environment_file(name="production")]))


def test_whatever_gives_a_protected_server_its_secrets_is_owned():
    """Who has the public key can encrypt to it, and everybody has it."""
    wanted = owned([PROTECTED])

    assert {"/.sops.yaml", "*.sops.*"} <= set(owned([]))
    assert {"/secrets/hooks.env", "/other*hooks*.json"} <= set(wanted)
    assert not [entry for entry in wanted if "prod.sops.yaml" in entry]  # the wide entry has it


def test_the_wide_entry_of_secrets_takes_none_from_who_owns_a_single_file():
    """Of several entries that fit a file the last one counts."""
    text = "/scripts/ @a\n# of *.sops.* files\n/prod.sops.yaml @acme/safe\n/docs/ @b\n"

    lines = with_owners(text, "@acme/ops", owned([])).splitlines()

    assert lines.index("*.sops.* @acme/ops") == lines.index("/prod.sops.yaml @acme/safe") - 1
    assert [line for line in lines if line in text.splitlines()] == text.splitlines()


def test_the_rules_of_main_are_those_that_are_written_of_and_name_jobs_that_there_are():
    ruleset = json.loads((PROJECT / RULESET).read_text())
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset["rules"]}

    assert {"deletion", "non_fast_forward", "pull_request", "required_status_checks"} == set(rules)
    assert rules["pull_request"]["require_code_owner_review"]
    assert rules["pull_request"]["dismiss_stale_reviews_on_push"]
    contexts = {c["context"] for c in rules["required_status_checks"]["required_status_checks"]}
    files = (PROJECT / ".github" / "workflows").glob("*.yml")
    jobs = [job for file in files for job in yaml.safe_load(file.read_text())["jobs"].values()]
    assert not jobs or contexts <= {job.get("name") for job in jobs}
