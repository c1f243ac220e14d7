"""The set-up that `init` prints, played against a GitHub that remembers it, and what `doctor` says of it.

By real HTTP: the commands are run as a person pastes them, by a `gh` that speaks to the stand-in.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys

import pytest

from helpers.fake_gh import FakeGh
from helpers.fake_github import FakeGitHub
from helpers.github_settings import ONLY_MAIN
from helpers.local_daemon import SCRIPTS
from helpers.roost_here import RoostHere
from helpers.workflow_files import ROOT

FLAGS = ("--environment", "demo", "--app", "my-prefect", "--region", "ams", "--yes")
OWNER = ("--owner", "@acme/platform")
SETTINGS = ("environments", "rulesets", "workflow_permissions")


class Place:
    """A checkout whose set-up on GitHub is what `init` printed."""

    def __init__(self, folder, github, roost, gh):
        self.folder, self.github, self.roost, self.gh = folder, github, roost, gh

    @property
    def state(self):
        """What GitHub keeps."""
        return self.github.state

    def ruleset(self, name):
        """A ruleset, to change it."""
        [found] = [one for one in self.state.rulesets.values() if one["name"] == name]
        return found

    def parameters(self, name, kind):
        """The parameters of a rule of a ruleset, to change them."""
        [found] = [one for one in self.ruleset(name)["rules"] if one["type"] == kind]
        return found["parameters"]

    def checks(self):
        """Each thing that the doctor looked at."""
        said = self.roost("doctor", "--json")
        return said.code, json.loads(said.out)["checks"]

    def missing(self):
        """What the doctor says is wrong, each with what mends it."""
        code, checks = self.checks()
        found = [
            (c["environment"], c["what"], c["mend"]) for c in checks if c["state"] == "missing"
        ]
        assert code == (2 if found else 0)
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkout with one protected environment, and what GitHub keeps once all that `init` prints was run."""
    folder = tmp_path_factory.mktemp("made") / "checkout"
    (folder / "environments").mkdir(parents=True)
    (folder / ".git").mkdir()
    shutil.copytree(ROOT / ".github", folder / ".github")
    with FakeGitHub() as github:
        github.state.workflow_permissions |= {
            "default_workflow_permissions": "write",
            "can_approve_pull_request_reviews": True,
        }
        gh = FakeGh(folder.parent / "bin", github.url, github.person_token)
        for line in printed(folder).splitlines():
            if line.startswith(("fly ", "gh ", "echo ")):
                gh.run(line, folder, "user:password\n")
        return folder, {name: copy.deepcopy(getattr(github.state, name)) for name in SETTINGS}


def printed(folder):
    """Run `init` where there is neither `fly` nor `gh`, and return the commands that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "roost", "init", *FLAGS, "--protected", *OWNER],
        env={"PYTHONPATH": str(SCRIPTS), "ROOST_ENVIRONMENTS": str(folder / "environments")},
        capture_output=True,
        text=True,
        check=True,
    )
    told, explained, _ = done.stdout.partition("Optional, once: a GitHub App")
    assert explained
    return told


@pytest.fixture
def place(made, tmp_path, capsys, monkeypatch):
    """The set-up that `init` prints, on a GitHub of the test's own."""
    folder, settings = made
    roost = RoostHere(folder / "environments", capsys, monkeypatch)
    with FakeGitHub() as github:
        for name, value in {
            "GITHUB_REPOSITORY": "acme/infra",
            "GITHUB_TOKEN": github.person_token,
            "GITHUB_API_URL": github.url,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("FLY_API_TOKEN", raising=False)
        for name, value in copy.deepcopy(settings).items():
            setattr(github.state, name, value)
        drift = ".github/workflows/drift.yml"
        github.commit("main", {drift: (ROOT / drift).read_text()})
        gh = FakeGh(tmp_path / "bin", github.url, github.person_token)
        yield Place(folder, github, roost, gh)


def test_what_init_prints_makes_the_set_up_that_doctor_wants(place):
    code, checks = place.checks()

    assert (code, place.missing()) == (0, [])
    assert {c["what"] for c in checks if c["state"] == "unknown"} == {
        "Fly was not checked: FLY_API_TOKEN is not set"
    }
    environments = place.state.environments
    assert {*environments} == {"demo", "plan", "pull-requests"}
    for name in ("demo", "pull-requests"):
        assert environments[name]["deployment_branch_policy"] == ONLY_MAIN
        assert environments[name]["branches"] == ["main"]
    assert environments["plan"]["deployment_branch_policy"] is None
    assert environments["pull-requests"]["secrets"] == []
    assert place.state.workflow_permissions == {
        "default_workflow_permissions": "read",
        "can_approve_pull_request_reviews": False,
    }
    assert sorted(one["name"] for one in place.state.rulesets.values()) == [
        "main",
        "review of main",
    ]


def reviewers(place):
    """Who has to approve deployments to the protected environment, by number."""
    rules = place.state.environments["demo"]["protection_rules"]
    return [one["reviewer"]["id"] for rule in rules for one in rule.get("reviewers", [])]


def approve_by_actions(place):
    place.state.workflow_permissions["can_approve_pull_request_reviews"] = True


def take_integration_ids(place):
    rule = place.parameters("main", "required_status_checks")
    rule["required_status_checks"] = [
        {"context": check["context"]} for check in rule["required_status_checks"]
    ]


def switch_off(parameter):
    def change(place):
        place.parameters("review of main", "pull_request")[parameter] = False

    return change


def put_token_on_the_repository(place):
    place.state.repository_secrets.append("FLY_API_TOKEN")


def put_token_on_the_organization(place):
    place.state.organization_secrets.append("FLY_API_TOKEN")


def open_environment(name, *secrets):
    def change(place):
        place.state.environments.setdefault(name, {"branches": []})
        place.state.environments[name] |= {
            "deployment_branch_policy": None,
            "branches": [],
            "secrets": list(secrets),
        }
        place.state.environments[name].setdefault("protection_rules", [])

    return change


def let_in(policy):
    def change(place):
        place.state.environments["demo"]["branches"].append(policy)

    return change


def bypass(name, **actor):
    def change(place):
        place.ruleset(name)["bypass_actors"] = [actor]

    return change


POST_POLICY = (
    'echo \'{{"deployment_branch_policy": {{"protected_branches": false, '
    "\"custom_branch_policies\": true}}{1}}}' | gh api -X PUT 'repos/{{owner}}/{{repo}}/environments/{0}' "
    "--input - && gh api -X POST "
    "'repos/{{owner}}/{{repo}}/environments/{0}/deployment-branch-policies' -f name=main"
)
REVIEWERS = ', "reviewers": [{"type": "User", "id": 7}], "prevent_self_review": false'
RULESET = "gh api -X PUT 'repos/{owner}/{repo}/rulesets/N' --input .github/rulesets/"
# Each wrong set-up by its name: what makes it, whose environment, what is said, and what mends it.
WRONG = {
    "actions-may-approve": (
        approve_by_actions,
        "",
        [
            (
                "a writer can have a workflow approve their pull request: "
                "can_approve_pull_request_reviews is on"
            )
        ],
        (
            "gh api -X PUT 'repos/{owner}/{repo}/actions/permissions/workflow' "
            "-f default_workflow_permissions=read -F can_approve_pull_request_reviews=false"
        ),
    ),
    "no-integration-id": (
        take_integration_ids,
        "",
        [
            f"a writer can post success for `{name}` themselves: its integration_id is not 15368 "
            "(GitHub Actions)"
            for name in ("Checks passed", "Plan passed")
        ],
        f"{RULESET}main.json",
    ),
    "no-last-push-approval": (
        switch_off("require_last_push_approval"),
        "",
        [
            (
                "a writer can approve a pull request after pushing to it: require_last_push_approval is "
                "off"
            )
        ],
        f"{RULESET}review.json",
    ),
    "no-code-owner-review": (
        switch_off("require_code_owner_review"),
        "",
        [
            (
                "a writer can merge a change of workflows or protected environments that no code owner "
                "approved: require_code_owner_review is off"
            )
        ],
        f"{RULESET}review.json",
    ),
    "token-on-repository-level": (
        put_token_on_the_repository,
        "",
        [
            (
                "every branch reaches the repository's secret FLY_API_TOKEN: a writer can print it with a "
                "workflow"
            )
        ],
        "gh secret delete FLY_API_TOKEN",
    ),
    "token-on-organization-level": (
        put_token_on_the_organization,
        "",
        [
            (
                "every branch reaches the organization's secret FLY_API_TOKEN: a writer can print it with "
                "a workflow"
            )
        ],
        (
            "remove FLY_API_TOKEN from this repository: "
            "https://github.com/organizations/acme/settings/secrets/actions"
        ),
    ),
    "environment-open-to-all-branches": (
        open_environment("demo", "FLY_API_TOKEN", "PREFECT_SERVER_API_AUTH_STRING"),
        "demo",
        ["every branch reaches its token, not only main"],
        POST_POLICY.format("demo", REVIEWERS),
    ),
    "environment-open-to-tags": (
        let_in("refs/tags/v*"),
        "demo",
        ["every tag like v* reaches its token: a writer can push one"],
        "gh api -X DELETE 'repos/{owner}/{repo}/environments/demo/deployment-branch-policies/2'",
    ),
    "key-open-to-all-branches": (
        open_environment("pull-requests", "ROOST_APP_PRIVATE_KEY"),
        "pull-requests",
        ["every branch reaches its ROOST_APP_PRIVATE_KEY, not only main"],
        POST_POLICY.format("pull-requests", ""),
    ),
    "left-over-environment": (
        open_environment("old", "FLY_API_TOKEN"),
        "old",
        ["every branch reaches its FLY_API_TOKEN, not only main"],
        POST_POLICY.format("old", ""),
    ),
    "bypass-by-a-team": (
        bypass("review of main", actor_type="Team", actor_id=42, bypass_mode="pull_request"),
        "",
        [
            (
                "the team 42 can merge a pull request that nobody approved: the ruleset `review of "
                "main` lets them bypass it (pull_request)"
            )
        ],
        f"{RULESET}review.json",
    ),
    "checks-bypassed-by-admins": (
        bypass("main", actor_type="RepositoryRole", actor_id=5, bypass_mode="pull_request"),
        "",
        [
            (
                "every admin can merge a pull request whose checks failed: the ruleset `main` lets them "
                "bypass it (pull_request)"
            )
        ],
        f"{RULESET}main.json",
    ),
}


@pytest.mark.parametrize(("change", "whose", "told", "mend"), WRONG.values(), ids=WRONG)
def test_a_wrong_set_up_is_named_and_what_is_said_to_mend_it_does(place, change, whose, told, mend):
    numbers = {one["name"]: str(one["id"]) for one in place.state.rulesets.values()}
    number = numbers["main" if "main.json" in mend else "review of main"]
    mend = mend.replace("rulesets/N", f"rulesets/{number}")
    change(place)

    assert place.missing() == [(whose, what, mend) for what in told]

    if mend.startswith("remove "):
        place.state.organization_secrets.clear()
    else:
        place.gh.run(mend, place.folder)
    assert place.missing() == []
    assert reviewers(place) == [7]  # what mends one thing takes nothing else away


def test_a_token_that_sees_less_says_so_and_calls_nothing_right(place, monkeypatch):
    """A fine-grained token that may read the repository, and none of its settings."""
    token = place.github.token_for({"contents": "read", "actions": "read"}, login="bob")
    monkeypatch.setenv("GITHUB_TOKEN", token)

    code, checks = place.checks()

    assert code == 0
    unseen = {c["what"] for c in checks if c["state"] == "unknown"}
    for what in (
        "its secrets cannot be read with this token",
        "the secrets of the repository cannot be read with this token",
        "the default permissions of workflows cannot be read with this token",
        "who bypasses the ruleset `main` cannot be read with this token, only by an admin",
    ):
        assert what in unseen
    assert not any("bypasses" in c["what"] for c in checks if c["state"] == "ok")
    assert not any("no secret of" in c["what"] for c in checks if c["state"] == "ok")
