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
from roost.report.codeowners import read_codeowners
from roost.report.owned_paths import known_owner, must_be_owned, unowned, with_owners
from roost.report.setup import RULESETS, SetupCommand, app_steps, commands

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
    two = SetupCommand("", ("fly", "tokens", "create", "a b"), into=("gh", "secret", "set", "X"))
    reading = SetupCommand("", ("gh", "api", "--input", "-"), given='{"a": 1}')

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


OPEN = environment_file(name="staging")
OLD = """\
# Whose review a change here needs, once a rule of main asks for one of code owners.
/.github/ @acme/ops
/scripts/ @acme/ops
/deploy/ @acme/ops
/requirements/ @acme/ops
/run @acme/ops
*.sops.* @acme/ops
/.sops.yaml @acme/ops
/environments/_defaults.yaml @acme/ops
/environments/production.yaml @acme/ops
/environments/production.yml @acme/ops
"""


def owners(text, path):
    return read_codeowners(text).owners_of(path)


def test_an_owner_of_the_template_is_none():
    text = "* @your-organization/platform\n# /x @acme/no\n/scripts/ @acme/ops @anna\n/run\n"

    assert known_owner(text) == "@acme/ops"
    assert known_owner("* @your-organization/platform\n") == ""
    lacking = unowned(read_codeowners(text), ["scripts/a", "run", "uv.toml"])
    assert {path: rule and rule.line for path, rule in lacking.items()} == {"run": 4, "uv.toml": 1}


def test_everything_is_owned_but_what_is_not_protected():
    text = with_owners("", "@anna", [PROTECTED, OPEN])

    assert unowned(read_codeowners(text), must_be_owned([PROTECTED, OPEN])) == {}
    assert (
        owners(text, "environments/staging.yaml") == owners(text, "environments/staging.yml") == ()
    )
    assert owners(text, "environments/new.yaml") == ("@anna",)
    assert owners(text, "environments/sub/staging.yaml") == ("@anna",)
    assert "A line without an owner means that a change of this file needs" in text


def test_owners_that_are_all_there_are_left_as_they_are():
    text = with_owners("", "@anna", [PROTECTED, OPEN])

    assert with_owners(text, "@bert", [PROTECTED, OPEN]) == text


def test_a_file_of_an_earlier_version_is_written_anew_with_its_owner():
    assert with_owners(OLD, "@bert", [PROTECTED, OPEN]) == with_owners(
        "", "@acme/ops", [PROTECTED, OPEN]
    )


def test_an_environment_that_becomes_protected_loses_its_line():
    before = with_owners("", "@anna", [OPEN])
    protected = [environment_file(name="staging", protected=True)]

    lacking = unowned(read_codeowners(before), must_be_owned(protected))
    after = with_owners(before, "@anna", protected)

    assert set(lacking) == {"environments/staging.yaml", "environments/staging.yml"}
    assert unowned(read_codeowners(after), must_be_owned(protected)) == {}
    assert "/environments/staging" not in after


@pytest.mark.parametrize("old", [OLD, ""])
def test_what_somebody_wrote_stays_and_counts_before_what_is_added(old):
    own = "\n# ours\n/docs/ @acme/writers\n*.md\n/environments/staging.yaml @carla\n"
    other = environment_file(name="other")

    text = with_owners(f"{old}{own}", "@acme/ops", [PROTECTED, OPEN, other])

    assert own in text
    assert owners(text, "docs/x") == ("@acme/writers",)
    assert owners(text, "README.md") == ()
    assert owners(text, "environments/staging.yaml") == ("@carla",)
    assert owners(text, "environments/staging.yml") == ("@acme/ops",)
    assert owners(text, "environments/other.yaml") == ()
    assert owners(text, "uv.toml") == ("@acme/ops",)
    assert with_owners(text, "@bert", [PROTECTED, OPEN, other]) == text


def test_a_line_that_frees_what_is_not_there_goes():
    """A file of that name would else need nobody's review."""
    text = with_owners("* @anna\n/environments/gone.yaml\n/docs/ @bert\n", "@anna", [PROTECTED])

    assert "gone" not in text
    assert owners(text, "environments/gone.yaml") == ("@anna",)


def test_a_line_that_gives_everything_to_nobody_does_not_stand():
    assert owners(with_owners("/a @bert\n*\n", "@anna", []), "uv.toml") == ("@anna",)


def test_whatever_gives_a_server_its_secrets_has_to_be_owned():
    """Who has the public key can encrypt to it, and everybody has it."""
    wanted = must_be_owned([PROTECTED])

    assert {"secrets/prod.sops.yaml", "secrets/hooks.env", "other hooks#.json"} <= set(wanted)


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
    # A job that an edited title starts has another name (see plan.yml): the last one is the usual one.
    names = {job["name"].removesuffix("' }}").rpartition("|| '")[2] for job in jobs}
    assert contexts <= names


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
