"""doctor: what it looks at, what it says is missing, and what it leaves open."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from helpers.environments import POSTGRES, environment_data
from helpers.fly_tokens import fly_token
from helpers.github_settings import (
    ADMIN_IN_PULLS,
    CHECKS,
    ONLY_MAIN,
    GitHubSettings,
    environment,
    hidden,
    rule,
    rules,
    ruleset,
)
from roost.doctor.workflows import WANTED
from roost.github.api import github_of

GITHUB_TOKEN = "ghs_the-token-of-the-test"
DEPLOY = """\
on: push
env: {COMMON: "${{ secrets.COMMON }}"}
jobs:
  deploy:
    environment: {name: "${{ matrix.environment }}"}
    steps:
      - uses: actions/checkout@v7
      - env: {FLY_API_TOKEN: "${{ secrets.FLY_API_TOKEN }}"}
        run: ./run roost image --push -- "$ENVIRONMENT"
      - env:
          FLY_API_TOKEN: ${{ secrets.FLY_API_TOKEN }}
          PREFECT_SERVER_API_AUTH_STRING: ${{ secrets.PREFECT_SERVER_API_AUTH_STRING }}
        run: ./run roost github deploy -- "$ENVIRONMENT"
  look:
    environment: {name: plan, deployment: false}
    steps:
      - env: {FLY_API_TOKEN: "${{ secrets.FLY_API_TOKEN }}"}
        run: ./run roost drift --all
"""
OWNERS = "* @a\n"


@pytest.fixture
def repository(tmp_path):
    """A checkout that has all it should have."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    for name in WANTED:
        (folder / f"{name}.yml").write_text("on: push\njobs: {}\n")
    (folder / "deploy.yml").write_text(DEPLOY)
    (tmp_path / ".github" / "CODEOWNERS").write_text(OWNERS)
    return tmp_path


@pytest.fixture
def github(monkeypatch, roost):  # noqa: ARG001 - which clears the environment first
    """The repository's settings, for who has a token."""
    found = GitHubSettings()
    monkeypatch.setenv("GITHUB_TOKEN", GITHUB_TOKEN)
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/infra")
    monkeypatch.setattr(
        "roost.commands.doctor.github_of", partial(github_of, transport=httpx.MockTransport(found))
    )
    return found


@pytest.fixture
def fly(fly):
    """An app that the token reaches, and no other."""
    fly.organization = "personal"
    fly.tokens = [{"org_slug": "personal", "apps": ["acme-prefect-x"]}]
    return fly


@pytest.fixture(autouse=True)
def app(rewrite, roost):  # noqa: ARG001 - which writes the file first
    rewrite(app="my-prefect")


@pytest.fixture(autouse=True)
def name(fly):
    fly.name = "my-prefect"


def lines(said, state):
    return [
        line.removeprefix(state).strip() for line in said.out.splitlines() if line.startswith(state)
    ]


@pytest.mark.usefixtures("repository", "fly")
def test_where_all_is_well_it_ends_with_0(roost, github):
    said = roost("doctor")

    assert (said.code, said.err) == (0, "")
    assert lines(said, "missing") == []
    assert lines(said, "unknown") == ["when FLY_API_TOKEN ends cannot be read from it"]
    for words in (
        "staging: its file is valid, and its Prefect has a lock",
        "the workflows pass on every secret that comes from GitHub",
        "staging: only main reaches its token",
        "staging: its GitHub environment has every secret",
        "plan: its GitHub environment has every secret",
        "pull-requests: only main reaches its ROOST_APP_PRIVATE_KEY",
        "no secret of an environment is also a secret of the repository or its organization",
        "main takes pull requests only, checked by Actions and approved by a code owner",
        "nobody bypasses the rules of main, but an admin may merge without an approval",
        "workflows only read by default, and approve no pull request",
        "the drift schedule is on",
        "FLY_API_TOKEN reaches only acme-prefect-x",
        "staging: FLY_API_TOKEN reaches the app my-prefect",
    ):
        assert words in lines(said, "ok")
    assert said.out.splitlines()[-1] == "16 ok, 1 unknown."
    assert GITHUB_TOKEN not in said.out
    assert github.asked


@pytest.mark.usefixtures("repository", "github", "fly")
def test_as_json_it_is_one_object_with_each_check(roost):
    said = roost("doctor", "staging", "--json")

    document = json.loads(said.out)
    assert (said.code, document["counts"]["missing"]) == (0, 0)
    assert len(document["checks"]) == sum(document["counts"].values())
    assert document["checks"][0] == {
        "state": "ok",
        "environment": "staging",
        "what": "its file is valid, and its Prefect has a lock",
        "mend": "",
        "evidence": [],
        "change": "",
        "commands": [],
    }


@pytest.mark.usefixtures("repository")
def test_without_tokens_nobody_is_asked_and_nothing_is_a_fault(roost, fly, monkeypatch):
    monkeypatch.delenv("FLY_API_TOKEN")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)

    said = roost("doctor")

    assert said.code == 0
    assert lines(said, "unknown") == [
        "GitHub was not checked: GITHUB_TOKEN is not set",
        "Fly was not checked: FLY_API_TOKEN is not set",
    ]
    assert 'GITHUB_TOKEN="$(gh auth token)" ./run roost doctor' in said.out
    assert fly.asked == []


def test_an_environment_that_is_not_there_is_told(roost):
    said = roost("doctor", "sta")

    assert said.code == 3
    assert "There is no environment 'sta'" in said.err


# In the checkout


@pytest.mark.usefixtures("github", "fly")
def test_a_folder_without_environments_is_told_how_to_begin(roost, repository):
    (repository / "staging.yaml").unlink()

    said = roost("doctor")

    assert said.code == 2
    assert "there is no environment yet" in lines(said, "missing")
    assert "./run roost init" in said.out


@pytest.mark.usefixtures("repository", "github", "fly")
def test_a_file_with_faults_a_version_without_lock_and_an_example_are_missing(roost, rewrite):
    rewrite(app="my-prefect", prefect={"version": "9.9.9"})
    assert "staging: its file has 1 fault" in lines(roost("doctor"), "missing")

    rewrite(region="mars", app="B")
    assert "staging: its file has 2 faults" in lines(roost("doctor"), "missing")
    assert "staging: its file has 2 faults" in lines(roost("doctor", "staging"), "missing")

    rewrite(app="acme-the-example")
    said = roost("doctor")
    assert said.code == 2
    assert "staging: acme-the-example is the app of the template's example" in lines(
        said, "missing"
    )


@pytest.mark.usefixtures("repository", "github", "fly")
def test_a_secret_that_a_workflow_does_not_hand_on_is_named_with_the_place(roost, rewrite):
    names = ["PREFECT_SERVER_API_AUTH_STRING", "SLACK_HOOK", "COMMON"]
    rewrite(app="my-prefect", secrets=names)

    said = roost("doctor")

    assert said.code == 2
    assert "SLACK_HOOK (staging) is not passed on by deploy.yml (deploy)" in lines(said, "missing")
    assert "SLACK_HOOK: ${{ secrets.SLACK_HOOK }}" in said.out
    assert not any("COMMON" in line and "handed" in line for line in lines(said, "missing"))


@pytest.mark.usefixtures("github", "fly")
def test_the_workflow_that_sets_secrets_is_looked_at_as_well(roost, rewrite, repository):
    text = DEPLOY.replace("github deploy", "github secrets").replace("  deploy:", "  secrets:")
    (repository / ".github/workflows/secrets.yml").write_text(text)
    rewrite(app="my-prefect", secrets=["PREFECT_SERVER_API_AUTH_STRING", "SLACK_HOOK"])

    [told] = [line for line in lines(roost("doctor"), "missing") if "SLACK_HOOK" in line][:1]

    assert "is not passed on by deploy.yml (deploy), secrets.yml (secrets)" in told


@pytest.mark.usefixtures("repository")
def test_a_key_of_sops_has_to_be_handed_on_where_a_file_uses_it(roost, rewrite, repository):
    (repository / "kept").mkdir()
    (repository / "kept" / "a.sops.yaml").write_text(
        "HOOK: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\nsops: {mac: x, age: []}\n"
    )
    rewrite(
        app="my-prefect",
        secrets=[
            "PREFECT_SERVER_API_AUTH_STRING",
            {"name": "HOOK", "from": {"sops": "kept/a.sops.yaml"}},
        ],
    )

    found = lines(roost("doctor"), "missing")

    assert found == ["SOPS_AGE_KEY (staging) is not passed on by deploy.yml (deploy)"]


def test_workflows_that_are_not_there_or_are_none_are_told(roost, repository):
    folder = repository / ".github" / "workflows"
    (folder / "drift.yml").unlink()
    for name, text in (("plan", "a: ["), ("scale", "jobs: [1]"), ("checks", "5"), ("server", "")):
        (folder / f"{name}.yml").write_text(text)

    found = lines(roost("doctor"), "missing")

    assert "there is no drift.yml in .github/workflows" in found
    for name in ("plan", "scale", "checks", "server"):
        assert f".github/workflows/{name}.yml is no workflow" in found
    shutil.rmtree(folder)
    assert any(
        "there is no checks.yml, plan.yml" in line for line in lines(roost("doctor"), "missing")
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "/environments/staging.yaml\n/environments/staging.yml\n",
            "environments/staging.yaml, envi",
        ),
        ("/environments/gone.yaml\n", "line 2 (/environments/gone.yaml): there is no such environ"),
        ("/scripts/\n", "in line 2 (/scripts/), so nobody owns scripts/new.py"),
        ("*.py\n", "line 2 (*.py), so nobody owns noxfile.py, conftest.py, scripts/new.py"),
        ("/.github/workflows/deploy.yml\n", "so nobody owns .github/workflows/deploy.yml"),
        ("* @your-organization/platform\n", "line 2 (*), so nobody owns .github/CODEOWNERS"),
    ],
)
def test_a_line_that_takes_an_owner_away_is_told(roost, rewrite, repository, more, told):
    rewrite(app="my-prefect", protected=True)
    (repository / ".github" / "CODEOWNERS").write_text(OWNERS + more)

    said = roost("doctor")

    [line] = lines(said, "missing")
    assert line.startswith(".github/CODEOWNERS names no owner in line 2")
    assert told in line
    assert "name a person or a team there, such as @acme/platform, or remove the line" in said.out


def test_a_line_about_prose_is_nobody_s_business(roost, rewrite, repository):
    rewrite(app="my-prefect")
    free = "/docs/\n*.md\n/environments/staging.yaml\n"
    (repository / ".github" / "CODEOWNERS").write_text(OWNERS + free)

    assert lines(roost("doctor"), "missing") == []


@pytest.mark.parametrize("old", ["", "# ours\n", "/.github/ @b\n/scripts/ @b\n"])
def test_files_that_no_line_is_about_are_told_with_the_line_that_owns_everything(
    roost, repository, old
):
    """As in the file of an earlier version, which named what it knew of."""
    (repository / ".github" / "CODEOWNERS").write_text(old)

    said = roost("doctor")

    [line] = lines(said, "missing")
    assert line.startswith("nobody owns ")
    assert "run, noxfile.py" in line or ".github/CODEOWNERS" in line
    owner = "@b" if "@b" in old else "@acme/platform"
    assert f"add to .github/CODEOWNERS, before all other lines: * {owner}" in said.out


def test_the_file_that_github_reads_is_the_one_that_is_looked_at(roost, repository):
    (repository / ".github" / "CODEOWNERS").rename(repository / "CODEOWNERS")
    assert lines(roost("doctor"), "missing") == []

    (repository / ".github" / "CODEOWNERS").write_text("/docs/ @a\n")
    assert lines(roost("doctor"), "missing") != []


# On GitHub


def permissions(default="read", *, approve=False):
    """What workflows may do, as GitHub tells it."""
    told = {"default_workflow_permissions": default, "can_approve_pull_request_reviews": approve}
    return {"/actions/permissions/workflow": told}


def environments(**others):
    """The list of environments, with these others."""
    return {"/environments": GitHubSettings.environments(**others)}


OPEN_BY_PROTECTION = {"protected_branches": True, "custom_branch_policies": False}
PUT_MAIN = "gh api -X PUT 'repos/{owner}/{repo}/rulesets/11' --input .github/rulesets/main.json"
PUT_REVIEW = "gh api -X PUT 'repos/{owner}/{repo}/rulesets/12' --input .github/rulesets/review.json"
POST_MAIN = "gh api -X POST 'repos/{owner}/{repo}/rulesets' --input .github/rulesets/main.json"
DEPLOY_KEY = {"actor_id": None, "actor_type": "DeployKey", "bypass_mode": "always"}
# By name: what GitHub answers, what is said of it, and what mends it.
WRONG = {
    "no-environment": (
        environments(staging=None),
        "staging: there is no GitHub environment staging",
        "gh api -X PUT 'repos/{owner}/{repo}/environments/staging' --input -",
    ),
    "no-plan": (
        environments(plan=None),
        "plan: there is no GitHub environment plan",
        "gh api -X PUT 'repos/{owner}/{repo}/environments/plan'",
    ),
    "no-environment-of-the-key": (
        environments(**{"pull-requests": None}),
        "pull-requests: there is no GitHub environment pull-requests",
        "environments/pull-requests/deployment-branch-policies' -f name=main",
    ),
    "environment-open-to-all-branches": (
        environments(staging=environment("staging")),
        "staging: every branch reaches its token, not only main",
        "deployment-branch-policies' -f name=main",
    ),
    "key-open-to-all-branches": (
        environments(**{"pull-requests": environment("pull-requests")}),
        "pull-requests: every branch reaches its ROOST_APP_PRIVATE_KEY, not only main",
        "environments/pull-requests/deployment-branch-policies' -f name=main",
    ),
    "left-over-environment": (
        {
            **environments(old=environment("old")),
            "/environments/old/secrets": GitHubSettings.secrets("FLY_API_TOKEN", "OTHER"),
        },
        "old: every branch reaches its FLY_API_TOKEN, not only main",
        "environments/old/deployment-branch-policies' -f name=main",
    ),
    "environment-for-a-pattern": (
        GitHubSettings.policies("staging", "main", "feature/*"),
        "staging: every branch like feature/* reaches its token: a writer can push one",
        "gh api -X DELETE 'repos/{owner}/{repo}/environments/staging/deployment-branch-policies/2'",
    ),
    "environment-for-tags": (
        GitHubSettings.policies("staging", "main", tags=("v*",)),
        "staging: every tag like v* reaches its token: a writer can push one",
        "gh api -X DELETE 'repos/{owner}/{repo}/environments/staging/deployment-branch-policies/2'",
    ),
    "environment-for-protected-branches-of-which-there-are-none": (
        environments(staging=environment("staging", branches=OPEN_BY_PROTECTION)),
        (
            "staging: every branch reaches its token: its policy is `protected branches`, and no branch "
            "has a branch protection"
        ),
        "deployment-branch-policies' -f name=main",
    ),
    "environment-for-another-protected-branch": (
        {
            **environments(staging=environment("staging", branches=OPEN_BY_PROTECTION)),
            "/branches": [{"name": "dev", "protected": True}],
        },
        "staging: every protected branch reaches its token, also dev",
        "deployment-branch-policies' -f name=main",
    ),
    "environment-for-no-branch": (
        GitHubSettings.policies("staging"),
        "staging: main does not reach its token",
        "deployment-branch-policies' -f name=main",
    ),
    "secret-missing": (
        {"/environments/staging/secrets": GitHubSettings.secrets("fly_api_token")},
        "staging: its GitHub environment has no secret PREFECT_SERVER_API_AUTH_STRING",
        "gh secret set PREFECT_SERVER_API_AUTH_STRING --env staging",
    ),
    "token-of-plan-missing": (
        {"/environments/plan/secrets": GitHubSettings.secrets()},
        "plan: its GitHub environment has no secret FLY_API_TOKEN",
        "-n roost-plan -x 720h | gh secret set FLY_API_TOKEN --env plan",
    ),
    "key-in-plan": (
        {"/environments/plan/secrets": GitHubSettings.secrets("FLY_API_TOKEN", "SOPS_AGE_KEY")},
        "plan: every branch reaches SOPS_AGE_KEY",
        "gh secret delete SOPS_AGE_KEY --env plan",
    ),
    "token-on-repository-level": (
        {"/actions/secrets": GitHubSettings.secrets("FLY_API_TOKEN")},
        (
            "every branch reaches the repository's secret FLY_API_TOKEN: a writer can print it with a "
            "workflow"
        ),
        "gh secret delete FLY_API_TOKEN",
    ),
    "token-on-organization-level": (
        {"/actions/organization-secrets": GitHubSettings.secrets("PREFECT_SERVER_API_AUTH_STRING")},
        (
            "every branch reaches the organization's secret PREFECT_SERVER_API_AUTH_STRING: a writer can "
            "print it with a workflow"
        ),
        (
            "remove PREFECT_SERVER_API_AUTH_STRING from this repository: "
            "https://github.com/organizations/acme/settings/secrets/actions"
        ),
    ),
    "no-rules": (
        {"/rules/branches/main": [], "/rulesets": []},
        "a writer can push to main: no rule requires a pull request",
        POST_MAIN,
    ),
    "check-not-required": (
        {
            "/rules/branches/main": rules(
                checks={"required_status_checks": CHECKS["required_status_checks"][:1]}
            )
        },
        "a writer can merge before `Plan passed`: it is no required check",
        PUT_MAIN,
    ),
    "no-integration-id": (
        {
            "/rules/branches/main": rules(
                checks={
                    "required_status_checks": [
                        {"context": "Checks passed", "integration_id": 15368},
                        {"context": "Plan passed"},
                    ]
                }
            )
        },
        (
            "a writer can post success for `Plan passed` themselves: its integration_id is not 15368 "
            "(GitHub Actions)"
        ),
        PUT_MAIN,
    ),
    "another-integration-id": (
        {
            "/rules/branches/main": rules(
                checks={
                    "required_status_checks": [
                        {"context": "Checks passed", "integration_id": 1},
                        {"context": "Plan passed", "integration_id": 15368},
                    ]
                }
            )
        },
        (
            "a writer can post success for `Checks passed` themselves: its integration_id is not 15368 "
            "(GitHub Actions)"
        ),
        PUT_MAIN,
    ),
    "an-older-main": (
        {"/rules/branches/main": rules(checks={"strict_required_status_checks_policy": False})},
        (
            "a writer can merge what was checked against an older main: "
            "strict_required_status_checks_policy is off"
        ),
        PUT_MAIN,
    ),
    "no-approval": (
        {"/rules/branches/main": rules(review={"required_approving_review_count": 0})},
        "a writer can merge without an approval: required_approving_review_count is 0",
        PUT_REVIEW,
    ),
    "no-code-owner-review": (
        {"/rules/branches/main": rules(review={"require_code_owner_review": False})},
        (
            "a writer can merge a change of workflows or protected environments that no code owner "
            "approved: require_code_owner_review is off"
        ),
        PUT_REVIEW,
    ),
    "stale-approvals-stay": (
        {"/rules/branches/main": rules(review={"dismiss_stale_reviews_on_push": False})},
        "a writer can change a pull request after its approval: dismiss_stale_reviews_on_push is off",
        PUT_REVIEW,
    ),
    "no-last-push-approval": (
        {"/rules/branches/main": rules(review={"require_last_push_approval": False})},
        "a writer can approve a pull request after pushing to it: require_last_push_approval is off",
        PUT_REVIEW,
    ),
    "force-pushes": (
        {"/rules/branches/main": [r for r in rules() if r["type"] != "non_fast_forward"]},
        "a writer can force-push to main: there is no rule non_fast_forward",
        PUT_MAIN,
    ),
    "bypass-by-a-team": (
        {
            "/rulesets/12": ruleset(
                12,
                "review of main",
                {"actor_id": 42, "actor_type": "Team", "bypass_mode": "pull_request"},
            )
        },
        (
            "the team 42 can merge a pull request that nobody approved: the ruleset `review of main` "
            "lets them bypass it (pull_request)"
        ),
        PUT_REVIEW,
    ),
    "bypass-of-the-checks-by-an-admin": (
        {"/rulesets/11": ruleset(11, "main", ADMIN_IN_PULLS)},
        (
            "every admin can merge a pull request whose checks failed: the ruleset `main` lets them "
            "bypass it (pull_request)"
        ),
        PUT_MAIN,
    ),
    "bypass-by-a-deploy-key": (
        {
            "/rulesets/11": ruleset(11, "main", DEPLOY_KEY),
            "/rulesets/12": ruleset(12, "review of main", DEPLOY_KEY),
        },
        (
            "every deploy key can push to main without a pull request: the ruleset `main` lets them "
            "bypass it (always)"
        ),
        PUT_MAIN,
    ),
    "bypass-by-everybody": (
        {
            "/rulesets/12": ruleset(
                12,
                "mine",
                {"actor_id": 4, "actor_type": "RepositoryRole", "bypass_mode": "pull_request"},
            )
        },
        (
            "everybody with write access can merge a pull request that nobody approved: the ruleset "
            "`mine` lets them bypass it (pull_request)"
        ),
        "gh ruleset view 12 --web",
    ),
    "ruleset-that-holds-nobody": (
        {
            "/rules/branches/main": [r for r in rules() if r["ruleset_id"] == 11],
            "/rulesets": [ruleset(12, "review of main", enforcement="evaluate")],
        },
        "the ruleset `review of main` is not enforced: its enforcement is evaluate",
        PUT_REVIEW,
    ),
    "ruleset-of-another-branch": (
        {
            "/rules/branches/main": [r for r in rules() if r["ruleset_id"] == 11],
            "/rulesets": [ruleset(12, "review of main")],
        },
        "the ruleset `review of main` does not apply to main: it names other branches",
        PUT_REVIEW,
    ),
    "actions-may-approve": (
        permissions(approve=True),
        (
            "a writer can have a workflow approve their pull request: can_approve_pull_request_reviews "
            "is on"
        ),
        "-F can_approve_pull_request_reviews=false",
    ),
    "workflows-write": (
        permissions("write"),
        "every workflow that names no permissions can write: default_workflow_permissions is write",
        "-f default_workflow_permissions=read",
    ),
    "drift-is-off": (
        {"/actions/workflows/drift.yml": {"state": "disabled_inactivity"}},
        "drift.yml is off (disabled_inactivity)",
        "gh workflow enable drift.yml",
    ),
    "another-default-branch": (
        {"": {"full_name": "acme/infra", "default_branch": "master"}},
        "the default branch is master, and the workflows deploy main",
        "branches/master/rename' -f new_name=main",
    ),
}


@pytest.mark.usefixtures("repository", "fly")
@pytest.mark.parametrize(("answers", "told", "mend"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_on_github_is_told_with_what_mends_it(roost, github, answers, told, mend):
    github.change(answers)

    said = roost("doctor")

    assert said.code == 2
    assert told in lines(said, "missing")
    mends = said.out.splitlines()
    [after] = [
        i + 1 for i, line in enumerate(mends) if line.removeprefix("missing").strip() == told
    ]
    assert mend in mends[after]
    assert GITHUB_TOKEN not in said.out + said.err


@pytest.mark.usefixtures("repository", "fly")
def test_without_any_rule_each_thing_is_told_once_and_what_follows_from_it_is_not(roost, github):
    github.change({"/rules/branches/main": [], "/rulesets": []})

    found = lines(roost("doctor"), "missing")

    assert found == [
        "a writer can push to main: no rule requires a pull request",
        "a writer can force-push to main: there is no rule non_fast_forward",
        "a writer can delete main: there is no rule deletion",
        "a writer can merge before `Checks passed`: it is no required check",
        "a writer can merge before `Plan passed`: it is no required check",
        "a writer can merge without an approval: required_approving_review_count is 0",
    ]


@pytest.mark.usefixtures("repository", "fly")
def test_a_bypass_of_what_another_ruleset_asks_for_as_well_is_none(roost, github):
    """Rules add up: nobody gets past what a second ruleset holds them to."""
    team = {"actor_id": 42, "actor_type": "Team", "bypass_mode": "always"}
    github.change(
        {
            "/rules/branches/main": [*rules(), rule(13, "pull_request", {})],
            "/rulesets/13": ruleset(13, "of the team", team),
        }
    )

    assert lines(roost("doctor"), "missing") == []


@pytest.mark.usefixtures("repository", "fly")
def test_two_rulesets_that_let_the_same_team_past_leave_nothing_of_each_other(roost, github):
    team = {"actor_id": 42, "actor_type": "Team", "bypass_mode": "always"}
    twice = [*rules(), *({**r, "ruleset_id": r["ruleset_id"] + 10} for r in rules())]
    github.change(
        {
            "/rules/branches/main": twice,
            **{f"/rulesets/{n}": ruleset(n, f"r{n}", team) for n in (11, 12, 21, 22)},
        }
    )

    found = lines(roost("doctor"), "missing")

    assert len(found) == 4
    assert all(line.startswith("the team 42 can ") for line in found)


@pytest.mark.usefixtures("repository", "fly")
def test_the_repository_of_a_person_has_no_organization_to_ask(roost, github):
    github.change({"": {**github.answers[""], "owner": {"login": "anna", "type": "User"}}})

    assert lines(roost("doctor"), "missing") == []
    assert "/actions/organization-secrets" not in github.asked


@pytest.mark.usefixtures("repository", "fly")
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/environments/staging/secrets", "its secrets cannot be read with this token"),
        ("/environments/staging/deployment-branch-policies", "which branches reach its token"),
        ("/environments/plan/secrets", "its secrets cannot be read with this token"),
        ("/rules/branches/main", "the rules of main could not be read"),
        ("/rulesets/12", "who bypasses the ruleset `12` cannot be read with this token"),
        ("/actions/secrets", "the secrets of the repository cannot be read with this token"),
        (
            "/actions/organization-secrets",
            "the secrets of the organization cannot be read with this token",
        ),
        ("/actions/permissions/workflow", "the default permissions of workflows cannot be read"),
        ("/actions/workflows/drift.yml", "whether drift.yml is on could not be read"),
        ("/environments", "GitHub could not be read"),
        ("", "GitHub could not be read"),
    ],
)
def test_what_the_token_may_not_see_is_no_fault(roost, github, path, told):
    github.change({path: 403})

    said = roost("doctor")

    assert said.code == 0
    assert any(told in line for line in lines(said, "unknown"))


@pytest.mark.usefixtures("repository", "fly")
def test_who_bypasses_a_ruleset_is_unknown_where_it_is_hidden(roost, github):
    """GitHub shows it to those alone who may change the ruleset."""
    github.change({"/rulesets/12": hidden(ruleset(12, "review of main"))})

    said = roost("doctor")

    assert said.code == 0
    [told] = [line for line in lines(said, "unknown") if "bypasses" in line]
    assert told == (
        "who bypasses the ruleset `review of main` cannot be read with this token, only by an admin"
    )
    assert not any("bypasses" in line for line in lines(said, "ok"))
    assert "as an admin of the repository" in said.out


@pytest.mark.usefixtures("repository", "fly")
def test_an_environment_for_protected_branches_is_for_main_where_main_alone_is_one(roost, github):
    github.change(
        {
            **environments(staging=environment("staging", branches=OPEN_BY_PROTECTION)),
            "/branches/main/protection": OLDER,
        }
    )

    assert "staging: only main reaches its token" in lines(roost("doctor"), "ok")

    github.change({"/branches/main/protection": 403})
    assert any(
        "whether only main reaches its token" in x for x in lines(roost("doctor"), "unknown")
    )


OLDER: dict[str, Any] = {
    "required_pull_request_reviews": {
        "dismiss_stale_reviews": True,
        "require_code_owner_reviews": True,
        "required_approving_review_count": 1,
        "require_last_push_approval": True,
    },
    "required_status_checks": {
        "strict": True,
        "contexts": ["Checks passed", "Plan passed"],
        "checks": [
            {"context": "Checks passed", "app_id": 15368},
            {"context": "Plan passed", "app_id": 15368},
        ],
    },
    "enforce_admins": {"enabled": True},
    "allow_force_pushes": {"enabled": False},
    "allow_deletions": {"enabled": False},
}


def older(**parts):
    """The older protection in the place of rulesets, with these parts."""
    return {
        "/rules/branches/main": [],
        "/rulesets": [],
        "/branches/main/protection": {**OLDER, **parts},
    }


@pytest.mark.usefixtures("repository", "fly")
def test_the_older_protection_of_a_branch_counts_too(roost, github):
    github.change(older())

    said = roost("doctor")

    assert (said.code, lines(said, "missing")) == (0, [])
    for told in (
        "main takes pull requests only, checked by Actions and approved by a code owner",
        "nobody bypasses the rules of main",
    ):
        assert told in lines(said, "ok")


@pytest.mark.usefixtures("repository", "fly")
@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            {"enforce_admins": {"enabled": False}},
            (
                "every admin can push to main without a pull request: the branch protection of main "
                "lets them bypass it (always)"
            ),
        ),
        (
            {
                "required_pull_request_reviews": {
                    **OLDER["required_pull_request_reviews"],
                    "bypass_pull_request_allowances": {
                        "users": [],
                        "teams": [{"id": 42, "slug": "ops"}],
                        "apps": [],
                    },
                }
            },
            (
                "the team 42 can push to main without a pull request: the branch protection of main lets "
                "them bypass it (bypass_pull_request_allowances)"
            ),
        ),
        (
            {
                "required_status_checks": {
                    **OLDER["required_status_checks"],
                    "checks": [{"context": "Plan passed", "app_id": None}],
                }
            },
            (
                "a writer can post success for `Plan passed` themselves: its integration_id is not 15368 "
                "(GitHub Actions)"
            ),
        ),
        (
            {"allow_force_pushes": {"enabled": True}},
            "a writer can force-push to main: there is no rule non_fast_forward",
        ),
        (
            {"required_pull_request_reviews": None},
            "a writer can push to main: no rule requires a pull request",
        ),
    ],
)
def test_what_the_older_protection_leaves_open_is_told(roost, github, parts, told):
    github.change(older(**parts))

    said = roost("doctor")

    assert said.code == 2
    assert told in lines(said, "missing")


@pytest.mark.usefixtures("repository", "fly")
def test_a_protected_environment_without_reviewers_is_left_open(roost, rewrite, github):
    rewrite(app="my-prefect", protected=True)
    assert any("nobody has to approve" in line for line in lines(roost("doctor"), "unknown"))

    approved = environment("staging", reviewers=True, branches=ONLY_MAIN)
    github.change(environments(staging=approved))
    said = roost("doctor")
    assert not any("nobody has to approve" in line for line in lines(said, "unknown"))
    # Right for one person alone, so it is no fault; said, because two people would have it otherwise.
    assert (
        "staging: its deployments wait for a reviewer: the person who starts one may approve it "
        "(prevent_self_review is off); an admin may bypass the review (can_admins_bypass is on)"
    ) in lines(said, "ok")


TELLS = """\
on: push
jobs:
  notify:
    environment: {name: notify, deployment: false}
    steps:
      - env: {NOTIFY_URL: "${{ secrets.NOTIFY_URL }}"}
        run: ./run roost github notify
"""


@pytest.mark.usefixtures("fly")
def test_addresses_for_messages_belong_in_an_environment_of_their_own(
    roost, rewrite, github, repository
):
    (repository / ".github/workflows/drift.yml").write_text(TELLS)
    rewrite(app="my-prefect", notify=[{"url_secret": "NOTIFY_URL"}, {"url_secret": "ON_CALL"}])

    none = lines(roost("doctor"), "missing")
    github.change(
        {
            **environments(notify=environment("notify")),
            "/environments/notify/secrets": GitHubSettings.secrets("NOTIFY_URL"),
        }
    )
    some = lines(roost("doctor"), "missing")

    assert "notify: there is no GitHub environment notify" in none
    # They are no secrets of the server, nor of the workflows that deploy it.
    assert not any("its GitHub environment has no secret" in line for line in none)
    assert "ON_CALL (staging) is not passed on by drift.yml (notify)" in none
    assert not any("NOTIFY_URL" in line for line in none)
    assert "notify: every branch reaches its addresses, not only main" in some
    assert "notify: its GitHub environment has no secret ON_CALL" in some


DUMPS = """\
on: push
jobs:
  backup:
    environment: {name: "${{ matrix.environment }}.backup", deployment: false}
    steps:
      - env: {DATABASE_URL: "${{ secrets.DATABASE_URL }}"}
        run: ./run roost backup -- "$ENVIRONMENT"
"""


@pytest.mark.usefixtures("fly")
def test_scheduled_dumps_have_an_environment_of_their_own_for_main_alone(
    roost, rewrite, github, repository
):
    (repository / ".github/workflows/drift.yml").write_text(DUMPS)
    kept = {"url": "s3://acme-backups/prefect", "secret_key": "BUCKET_KEY"}
    rewrite(POSTGRES, app="my-prefect", database={"backups": kept})

    none = lines(roost("doctor"), "missing")
    github.change(
        {
            **environments(**{"staging.backup": environment("staging.backup")}),
            "/environments/staging.backup/secrets": GitHubSettings.secrets("DATABASE_URL"),
        }
    )
    some = lines(roost("doctor"), "missing")

    assert "staging.backup: there is no GitHub environment staging.backup" in none
    assert "BUCKET_KEY (staging) is not passed on by drift.yml (backup)" in none
    assert not any("DATABASE_URL (staging) is not passed on by drift.yml" in line for line in none)
    reached = "staging.backup: every branch reaches the address of its database, not only main"
    assert reached in some
    for name in ("AWS_ACCESS_KEY_ID", "BUCKET_KEY"):
        assert f"staging.backup: its GitHub environment has no secret {name}" in some
    # No server and no other job has the keys of the bucket.
    assert not any("staging: " in line and "BUCKET_KEY" in line for line in some)


@pytest.mark.usefixtures("repository", "fly")
def test_a_repository_that_is_not_known_is_not_guessed(roost, github, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY")

    said = roost("doctor")

    assert any("the repository is unknown" in line for line in lines(said, "unknown"))
    assert github.asked == []


# On Fly


@pytest.mark.usefixtures("repository", "github")
def test_a_token_of_a_whole_organization_is_told_as_such(roost, fly):
    fly.tokens = [{"org_slug": "acme", "apps": None}]

    said = roost("doctor")

    assert said.code == 0
    assert any("FLY_API_TOKEN reaches all of acme" in line for line in lines(said, "unknown"))


@pytest.mark.usefixtures("repository", "github")
def test_an_app_that_is_not_there_or_another_s_is_missing(roost, fly, rewrite):
    rewrite(app="my-prefect", organization="acme")
    said = roost("doctor")
    assert "staging: the app my-prefect belongs to personal, not to acme" in lines(said, "missing")

    fly.organization = ""
    said = roost("doctor")
    assert said.code == 2
    assert "fly apps create my-prefect --org acme" in said.out


@pytest.mark.usefixtures("repository", "github")
@pytest.mark.parametrize(
    ("status", "state", "told"),
    [
        (401, "missing", "FLY_API_TOKEN is wrong, expired or revoked"),
        (404, "unknown", "what FLY_API_TOKEN reaches could not be read"),
        (500, "unknown", "what FLY_API_TOKEN reaches could not be read"),
    ],
)
def test_a_token_that_fly_does_not_take_is_missing_and_trouble_is_not(
    roost, fly, monkeypatch, status, state, told
):
    answer = type(fly).__call__

    def refuse(self, request):
        if request.url.path.endswith("/tokens/current"):
            return httpx.Response(status, json={"error": "no"})
        return answer(self, request)

    monkeypatch.setattr(type(fly), "__call__", refuse)

    said = roost("doctor")

    assert any(told in line for line in lines(said, state))
    assert said.code == (2 if state == "missing" else 0)


@pytest.mark.usefixtures("repository", "github", "fly")
@pytest.mark.parametrize(
    ("days", "state", "told"),
    [
        (100, "ok", "FLY_API_TOKEN ends at 20"),
        (3, "missing", "FLY_API_TOKEN ends at 20"),
        (-3, "missing", "FLY_API_TOKEN ended at 20"),
    ],
)
def test_when_the_token_ends_is_told_and_soon_is_too_soon(roost, monkeypatch, days, state, told):
    token = fly_token(datetime.now(UTC) + timedelta(days=days))
    monkeypatch.setenv("FLY_API_TOKEN", token)

    said = roost("doctor")

    assert any(line.startswith(told) for line in lines(said, state))
    assert token.split()[1] not in said.out + said.err


def test_the_workflows_of_this_repository_hand_on_what_the_examples_need(roost, repository):
    project = Path(__file__).parents[3]
    workflows = project / ".github" / "workflows"
    if not workflows.is_dir():
        return
    shutil.rmtree(repository / ".github")
    shutil.copytree(project / ".github", repository / ".github")
    data = environment_data(app="my-prefect")
    (repository / "staging.yaml").write_text(yaml.safe_dump(data))

    found = lines(roost("doctor"), "missing")

    about = [line for line in found if not line.startswith(".github/CODEOWNERS names no owner")]
    assert not any("handed on" in line or "workflow" in line for line in about)
