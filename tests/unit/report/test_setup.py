"""Commands as data and as a person types them; owners; and the rules of main."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from helpers.environments import environment_file
from roost.environment.model import AUTH_SECRET
from roost.environment.starter import Starter
from roost.report.setup import (
    RULESETS,
    Command,
    app_steps,
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


def rules_of(name):
    ruleset = json.loads((PROJECT / RULESETS[name]).read_text())
    assert (ruleset["name"], ruleset["enforcement"]) == (name, "active")
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset["rules"]}
    return rules, ruleset["bypass_actors"]


def test_nobody_bypasses_the_checks_of_main_and_only_actions_reports_them():
    rules, bypass = rules_of("main")
    checks = rules["required_status_checks"]

    assert {"deletion", "non_fast_forward", "pull_request", "required_status_checks"} == set(rules)
    assert bypass == []
    assert checks["strict_required_status_checks_policy"] is True
    assert {check["integration_id"] for check in checks["required_status_checks"]} == {15368}
    contexts = {check["context"] for check in checks["required_status_checks"]}
    files = (PROJECT / ".github" / "workflows").glob("*.yml")
    jobs = [job for file in files for job in yaml.safe_load(file.read_text())["jobs"].values()]
    assert not jobs or contexts <= {job.get("name") for job in jobs}


def test_one_person_alone_gives_no_approval_but_an_admin_may_merge_without_one():
    rules, bypass = rules_of("review of main")

    assert {"pull_request"} == set(rules)
    assert rules["pull_request"] == {
        "required_approving_review_count": 1,
        "dismiss_stale_reviews_on_push": True,
        "require_code_owner_review": True,
        "require_last_push_approval": True,
        "required_review_thread_resolution": False,
    }
    assert bypass == [
        {"actor_type": "RepositoryRole", "actor_id": 5, "bypass_mode": "pull_request"}
    ]


def test_the_app_is_explained_with_two_permissions_and_no_key_on_a_command_line():
    told = app_steps("acme")
    [person, organization] = [line.strip() for line in told.splitlines() if "/apps/new" in line]

    assert person.startswith("https://github.com/settings/apps/new?")
    assert organization.startswith("https://github.com/organizations/acme/settings/apps/new?")
    for link in (person, organization):
        assert dict(parse_qsl(urlsplit(link).query)) == {
            "name": "roost-acme",
            "url": "https://github.com/acme",
            "public": "false",
            "webhook_active": "false",
            "contents": "write",
            "pull_requests": "write",
        }
    assert "gh secret set ROOST_APP_PRIVATE_KEY --env pull-requests < KEY.pem" in told
    assert "gh variable set ROOST_APP_ID --body CLIENT_ID" in told


def test_the_name_of_the_app_is_one_that_github_takes():
    [link] = [line for line in app_steps("a" * 39).splitlines() if "/settings/apps/new" in line][:1]

    assert len(dict(parse_qsl(urlsplit(link).query))["name"]) <= 34
