"""Commands as data and as a person types them; owners; and the rules of main."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from roost.environment.starter import Starter
from roost.report.setup import RULESET, Command, commands, known_owner, unowned, with_owners

PROJECT = Path(__file__).parents[3]


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
    missing = unowned(text, ["production"])
    assert {"/.github/", "/run", "/environments/production.yaml"} <= set(missing)
    assert "/scripts/" not in missing
    assert unowned(with_owners(text, "@acme/ops", ["production"]), ["production"]) == ("/run",)


def test_owners_that_are_all_there_are_left_as_they_are():
    text = with_owners("", "@anna", ["a"])

    assert with_owners(text, "@bert", ["a"]) == text


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
