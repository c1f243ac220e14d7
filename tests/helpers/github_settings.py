"""The settings of one repository on GitHub, as its API gives them: nothing but looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

Json = dict[str, Any]
ROOT = "/repos/acme/infra"
ONLY_MAIN = {"protected_branches": False, "custom_branch_policies": True}


def environment(name: str, *, reviewers: bool = False, branches: Json | None = None) -> Json:
    """Give one of GitHub's environments."""
    people = [{"type": "User", "reviewer": {"login": "anna"}}]
    rules = [{"type": "required_reviewers", "reviewers": people}] if reviewers else []
    return {"name": name, "protection_rules": rules, "deployment_branch_policy": branches}


class GitHubSettings:
    """Answers what is asked by path; all is as it should be for the environment `staging`."""

    def __init__(self) -> None:
        checks = [{"context": "Checks passed"}, {"context": "Plan passed"}]
        self.answers: dict[str, Any] = {
            "": {"full_name": "acme/infra", "default_branch": "main", "private": False},
            "/environments": {
                "environments": [environment("plan"), environment("staging", branches=ONLY_MAIN)]
            },
            "/environments/staging/deployment-branch-policies": {
                "branch_policies": [{"name": "main", "type": "branch"}]
            },
            "/environments/staging/secrets": self.secrets(
                "FLY_API_TOKEN", "PREFECT_SERVER_API_AUTH_STRING"
            ),
            "/environments/plan/secrets": self.secrets("FLY_API_TOKEN"),
            "/rules/branches/main": [
                {"type": "pull_request", "parameters": {}},
                {
                    "type": "required_status_checks",
                    "parameters": {"required_status_checks": checks},
                },
            ],
            "/branches/main/protection": 404,
            "/actions/permissions/workflow": {
                "default_workflow_permissions": "read",
                "can_approve_pull_request_reviews": True,
            },
            "/actions/workflows/drift.yml": {"state": "active"},
        }
        self.asked: list[str] = []

    @staticmethod
    def secrets(*names: str) -> Json:
        """Give names of secrets."""
        return {"secrets": [{"name": name} for name in names]}

    def change(self, answers: Mapping[str, Any]) -> None:
        """Answer otherwise; a number is a refusal with that status."""
        self.answers |= answers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        assert request.method == "GET", "a doctor changes nothing"
        path = request.url.path.removeprefix(ROOT)
        self.asked.append(path)
        found = self.answers.get(path, 404)
        if isinstance(found, int):
            return httpx.Response(found, json={"message": "Not for you"})
        return httpx.Response(200, json=found)
