"""The settings of one repository on GitHub, as its API returns them; read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

Json = dict[str, Any]
ROOT = "/repos/acme/infra"
NOT_PROTECTED = "Branch not protected"
ONLY_MAIN = {"protected_branches": False, "custom_branch_policies": True}
ADMIN_IN_PULLS = {"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "pull_request"}
REVIEW: Json = {
    "required_approving_review_count": 1,
    "dismiss_stale_reviews_on_push": True,
    "required_reviewers": [],
    "require_code_owner_review": True,
    "require_last_push_approval": True,
    "required_review_thread_resolution": False,
    "allowed_merge_methods": ["merge", "squash", "rebase"],
}
"""Parameters of a rule for pull requests, with all that GitHub adds by itself."""
CHECKS: Json = {
    "strict_required_status_checks_policy": True,
    "do_not_enforce_on_create": False,
    "required_status_checks": [
        {"context": "Checks passed", "integration_id": 15368},
        {"context": "Plan passed", "integration_id": 15368},
    ],
}
NO_REVIEW: Json = {
    **REVIEW,
    "required_approving_review_count": 0,
    "require_code_owner_review": False,
    "require_last_push_approval": False,
}


def rule(number: int, kind: str, parameters: Json | None = None) -> Json:
    """Return a rule in the form of a branch's list of rules."""
    told = {"type": kind, "ruleset_source_type": "Repository", "ruleset_source": "acme/infra"}
    return {**told, "ruleset_id": number, **({"parameters": parameters} if parameters else {})}


def rules(*, review: Json | None = None, checks: Json | None = None) -> list[Json]:
    """Return the recommended rules of main, with these parameters changed."""
    return [
        rule(11, "deletion"),
        rule(11, "non_fast_forward"),
        rule(11, "pull_request", NO_REVIEW),
        rule(11, "required_status_checks", {**CHECKS, **(checks or {})}),
        rule(12, "pull_request", {**REVIEW, **(review or {})}),
    ]


def ruleset(number: int, name: str, *actors: Json, enforcement: str = "active") -> Json:
    """Return a ruleset as an admin sees it."""
    return {
        "id": number,
        "name": name,
        "target": "branch",
        "source_type": "Repository",
        "source": "acme/infra",
        "enforcement": enforcement,
        "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
        "bypass_actors": list(actors),
        "current_user_can_bypass": "pull_requests_only" if actors else "never",
        "node_id": f"RRS_{number}",
    }


def hidden(found: Json) -> Json:
    """Return a ruleset as users without permission to change it see it."""
    return {key: value for key, value in found.items() if key != "bypass_actors"}


def environment(name: str, *, reviewers: bool = False, branches: Json | None = None) -> Json:
    """Return one of GitHub's environments."""
    people = [{"type": "User", "reviewer": {"login": "anna"}}]
    rules = [{"type": "required_reviewers", "reviewers": people}] if reviewers else []
    return {
        "name": name,
        "can_admins_bypass": True,
        "protection_rules": rules,
        "deployment_branch_policy": branches,
    }


class GitHubSettings:
    """Answers by path; by default everything is set up as recommended for the environment `staging`."""

    def __init__(self) -> None:
        main, review = ruleset(11, "main"), ruleset(12, "review of main", ADMIN_IN_PULLS)
        self.answers: dict[str, Any] = {
            "": {
                "full_name": "acme/infra",
                "default_branch": "main",
                "private": False,
                "owner": {"login": "acme", "type": "Organization"},
            },
            "/environments": self.environments(),
            **self.policies("staging", "main"),
            **self.policies("pull-requests", "main"),
            "/environments/staging/secrets": self.secrets(
                "FLY_API_TOKEN", "PREFECT_SERVER_API_AUTH_STRING"
            ),
            "/environments/plan/secrets": self.secrets("FLY_API_TOKEN"),
            "/environments/pull-requests/secrets": self.secrets("ROOST_APP_PRIVATE_KEY"),
            "/actions/secrets": self.secrets("UNRELATED"),
            "/actions/organization-secrets": self.secrets(),
            "/actions/runners": {"total_count": 0, "runners": []},
            "/rules/branches/main": rules(),
            "/rulesets": [hidden(main), hidden(review)],
            "/rulesets/11": main,
            "/rulesets/12": review,
            "/branches": [{"name": "main", "protected": True}],
            "/branches/main/protection": NOT_PROTECTED,
            "/actions/permissions/workflow": {
                "default_workflow_permissions": "read",
                "can_approve_pull_request_reviews": False,
            },
            "/actions/workflows/drift.yml": {"state": "active"},
        }
        self.asked: list[str] = []

    @staticmethod
    def environments(**others: Json | None) -> Json:
        """Return the list of environments; None takes one of them out."""
        found: dict[str, Json | None] = {
            "plan": environment("plan"),
            "staging": environment("staging", branches=ONLY_MAIN),
            "pull-requests": environment("pull-requests", branches=ONLY_MAIN),
            **others,
        }
        return {"environments": [told for told in found.values() if told]}

    @staticmethod
    def policies(name: str, *branches: str, tags: tuple[str, ...] = ()) -> dict[str, Json]:
        """Return the answer with the branches that may deploy to an environment."""
        named = [*((b, "branch") for b in branches), *((t, "tag") for t in tags)]
        listed = [{"id": i, "name": n, "type": kind} for i, (n, kind) in enumerate(named, 1)]
        path = f"/environments/{name}/deployment-branch-policies"
        return {path: {"total_count": len(listed), "branch_policies": listed}}

    @staticmethod
    def secrets(*names: str) -> Json:
        """Return the answer with these names of secrets."""
        return {"secrets": [{"name": name} for name in names]}

    def change(self, answers: Mapping[str, Any]) -> None:
        """Change an answer; a number is a refusal with that status."""
        self.answers |= answers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        assert request.method == "GET", "a doctor changes nothing"
        path = request.url.path.removeprefix(ROOT)
        self.asked.append(path)
        found = self.answers.get(path, 404)
        if found is NOT_PROTECTED:
            return httpx.Response(404, json={"message": "Branch not protected"})
        if isinstance(found, int):
            return httpx.Response(found, json={"message": "Not for you"})
        return httpx.Response(200, json=found)
