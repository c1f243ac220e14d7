"""doctor: what it looks at, what it says is missing, and what it leaves open."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

from helpers.environments import environment_data
from helpers.fly_tokens import fly_token
from helpers.github_settings import ONLY_MAIN, GitHubSettings, environment
from roost.github.api import github_of
from roost.verbs.checkup.workflows import WANTED

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
OWNED = (
    *("/.github/", "/scripts/", "/deploy/", "/requirements/", "/run", "*.sops.*", "/.sops.yaml"),
    "/environments/_defaults.yaml",
)
OWNERS = "".join(f"{path} @a\n" for path in OWNED)


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
        "roost.verbs.doctor.github_of", partial(github_of, transport=httpx.MockTransport(found))
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
        "the workflows hand every secret on that comes from GitHub",
        "staging: only main reaches its token",
        "staging: its GitHub environment has every secret",
        "plan: its GitHub environment has every secret",
        "main takes pull requests only, whose checks passed",
        "the schedule that looks for drift is on",
        "FLY_API_TOKEN reaches acme-prefect-x alone",
        "staging: FLY_API_TOKEN reaches the app my-prefect",
    ):
        assert words in lines(said, "ok")
    assert said.out.splitlines()[-1] == "11 ok, 1 unknown."
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
    }


@pytest.mark.usefixtures("repository")
def test_without_tokens_nobody_is_asked_and_nothing_is_a_fault(roost, fly, monkeypatch):
    monkeypatch.delenv("FLY_API_TOKEN")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)

    said = roost("doctor")

    assert said.code == 0
    assert lines(said, "unknown") == [
        "GitHub was not looked at: GITHUB_TOKEN is not set",
        "Fly was not looked at: FLY_API_TOKEN is not set",
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

    rewrite(app="acme-prefect")
    said = roost("doctor")
    assert said.code == 2
    assert "staging: acme-prefect is the app of the template's example" in lines(said, "missing")


@pytest.mark.usefixtures("repository", "github", "fly")
def test_a_secret_that_a_workflow_does_not_hand_on_is_named_with_the_place(roost, rewrite):
    names = ["PREFECT_SERVER_API_AUTH_STRING", "SLACK_HOOK", "COMMON"]
    rewrite(app="my-prefect", secrets=names)

    said = roost("doctor")

    assert said.code == 2
    assert "SLACK_HOOK (staging) is not handed on by deploy.yml (deploy)" in lines(said, "missing")
    assert "SLACK_HOOK: ${{ secrets.SLACK_HOOK }}" in said.out
    assert not any("COMMON" in line and "handed" in line for line in lines(said, "missing"))


@pytest.mark.usefixtures("github", "fly")
def test_the_workflow_that_sets_secrets_is_looked_at_as_well(roost, rewrite, repository):
    text = DEPLOY.replace("github deploy", "github secrets").replace("  deploy:", "  secrets:")
    (repository / ".github/workflows/secrets.yml").write_text(text)
    rewrite(app="my-prefect", secrets=["PREFECT_SERVER_API_AUTH_STRING", "SLACK_HOOK"])

    [told] = [line for line in lines(roost("doctor"), "missing") if "SLACK_HOOK" in line][:1]

    assert "is not handed on by deploy.yml (deploy), secrets.yml (secrets)" in told


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

    assert found == ["SOPS_AGE_KEY (staging) is not handed on by deploy.yml (deploy)"]


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


@pytest.mark.usefixtures("repository")
def test_what_nobody_owns_is_told(roost, rewrite):
    rewrite(app="my-prefect", protected=True)

    said = roost("doctor")

    assert lines(said, "missing") == [
        "nobody owns /environments/staging.yaml, /environments/staging.yml"
    ]
    assert "in .github/CODEOWNERS, such as: /environments/staging.yaml @acme/platform" in said.out


def test_secrets_that_anybody_could_change_are_told(roost, repository):
    owners = repository / ".github" / "CODEOWNERS"
    owners.write_text(OWNERS.replace("*.sops.* @a\n/.sops.yaml @a\n", ""))

    assert lines(roost("doctor"), "missing") == ["nobody owns *.sops.*, /.sops.yaml"]


# On GitHub

OFF = {"default_workflow_permissions": "write", "can_approve_pull_request_reviews": False}
NO_PULLS = {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}


@pytest.mark.usefixtures("repository", "fly")
@pytest.mark.parametrize(
    ("answers", "told", "mend"),
    [
        (
            {"/environments": {"environments": []}},
            "staging: there is no GitHub environment staging",
            "gh api -X PUT 'repos/{owner}/{repo}/environments/staging' --input -",
        ),
        (
            {"/environments": {"environments": [environment("staging", branches=ONLY_MAIN)]}},
            "plan: there is no GitHub environment plan",
            "gh api -X PUT 'repos/{owner}/{repo}/environments/plan'",
        ),
        (
            {"/environments": {"environments": [environment("staging"), environment("plan")]}},
            "staging: every branch reaches its token, not only main",
            "deployment-branch-policies' -f name=main",
        ),
        (
            {
                "/environments/staging/deployment-branch-policies": {
                    "branch_policies": [{"name": "main"}, {"name": "feature/*"}]
                }
            },
            "staging: feature/*, main reach its token",
            "deployment-branch-policies' -f name=main",
        ),
        (
            {"/environments/staging/deployment-branch-policies": {"branch_policies": []}},
            "staging: no branch deploys to it",
            "deployment-branch-policies' -f name=main",
        ),
        (
            {"/environments/staging/secrets": GitHubSettings.secrets("fly_api_token")},
            "staging: its GitHub environment has no secret PREFECT_SERVER_API_AUTH_STRING",
            "gh secret set PREFECT_SERVER_API_AUTH_STRING --env staging",
        ),
        (
            {"/environments/plan/secrets": GitHubSettings.secrets()},
            "plan: its GitHub environment has no secret FLY_API_TOKEN",
            "-n roost-plan -x 720h | gh secret set FLY_API_TOKEN --env plan",
        ),
        (
            {"/rules/branches/main": []},
            "a change of main does not need the check `Checks passed` and the check `Plan passed` and a pull request",
            "--input .github/rulesets/main.json",
        ),
        (
            {"/actions/permissions/workflow": OFF},
            "workflows may write by default",
            "-f default_workflow_permissions=read",
        ),
        (
            {"/actions/permissions/workflow": NO_PULLS},
            "workflows may not open pull requests, as scale and rollback do",
            "-F can_approve_pull_request_reviews=true",
        ),
        (
            {"/actions/workflows/drift.yml": {"state": "disabled_inactivity"}},
            "drift.yml is off (disabled_inactivity)",
            "gh workflow enable drift.yml",
        ),
        (
            {"": {"full_name": "acme/infra", "default_branch": "master"}},
            "the default branch is master, and the workflows deploy main",
            "branches/master/rename' -f new_name=main",
        ),
    ],
)
def test_what_is_missing_on_github_is_told_with_what_mends_it(roost, github, answers, told, mend):
    github.change({"/branches/main/protection": httpx.codes.NOT_FOUND, **answers})
    if "/rules/branches/main" in answers:  # and nothing protects it in the older way
        github.change({"/branches/main/protection": {"required_pull_request_reviews": None}})

    said = roost("doctor")

    assert said.code == 2
    assert told in lines(said, "missing")
    assert mend in said.out
    assert GITHUB_TOKEN not in said.out + said.err


@pytest.mark.usefixtures("repository", "fly")
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/environments/staging/secrets", "its secrets are not to be seen with this token"),
        ("/environments/staging/deployment-branch-policies", "which branches reach its token"),
        ("/rules/branches/main", "the rules of main are not to be seen"),
        ("/actions/permissions/workflow", "what workflows may do by default is not to be seen"),
        ("/actions/workflows/drift.yml", "whether drift.yml is on is not to be seen"),
        ("/environments", "GitHub could not be looked at"),
        ("", "GitHub could not be looked at"),
    ],
)
def test_what_the_token_may_not_see_is_no_fault(roost, github, path, told):
    github.change({path: 403})

    said = roost("doctor")

    assert said.code == 0
    assert any(told in line for line in lines(said, "unknown"))


@pytest.mark.usefixtures("repository", "fly")
def test_the_older_protection_of_a_branch_counts_too(roost, github):
    github.change(
        {
            "/rules/branches/main": [],
            "/branches/main/protection": {
                "required_pull_request_reviews": {"required_approving_review_count": 1},
                "required_status_checks": {"contexts": ["Checks passed", "Plan passed"]},
            },
        }
    )

    assert "main takes pull requests only, whose checks passed" in lines(roost("doctor"), "ok")


@pytest.mark.usefixtures("repository", "fly")
def test_a_protected_environment_without_reviewers_is_left_open(roost, rewrite, github):
    rewrite(app="my-prefect", protected=True)
    assert any("nobody has to approve" in line for line in lines(roost("doctor"), "unknown"))

    approved = environment("staging", reviewers=True, branches=ONLY_MAIN)
    github.change({"/environments": {"environments": [approved, environment("plan")]}})
    assert not any("nobody has to approve" in line for line in lines(roost("doctor"), "unknown"))


@pytest.mark.usefixtures("repository", "fly")
def test_a_repository_that_is_not_known_is_not_guessed(roost, github, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY")

    said = roost("doctor")

    assert any("which repository this is, is not known" in line for line in lines(said, "unknown"))
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
        (404, "unknown", "what FLY_API_TOKEN reaches is not to be seen"),
        (500, "unknown", "what FLY_API_TOKEN reaches is not to be seen"),
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

    assert not any("handed on" in line or "workflow" in line for line in found)
