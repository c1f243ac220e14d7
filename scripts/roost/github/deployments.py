"""Workflow runs and deployments (https://docs.github.com/rest/actions, /rest/deployments)."""

from __future__ import annotations

from typing import Literal

from roost.errors import GitHubNotFoundError
from roost.github.calls import RepositoryCalls
from roost.github.models import (
    Collaborator,
    Deployment,
    DeploymentReview,
    DeploymentStatus,
    Workflow,
    WorkflowRun,
)
from roost.github.settings_models import GitHubEnvironment
from roost.github.transport import PER_PAGE
from roost.http.connection import present
from roost.http.reply import Json

DeploymentState = Literal["success", "inactive"]


class DeploymentCalls(RepositoryCalls):
    """Read workflow runs and their reviews; read and record deployments."""

    async def workflow(self, workflow_file: str) -> Workflow | None:
        """Return a workflow, or None when there is none of that name."""
        try:
            reply = await self._send("GET", "actions", "workflows", workflow_file)
        except GitHubNotFoundError:
            return None
        return reply.read(Workflow)

    async def workflow_runs(
        self, workflow_file: str, event: str = "schedule", per_page: int = 1
    ) -> tuple[WorkflowRun, ...]:
        """Return the newest runs of a workflow that were started by an event."""
        params = {"event": event, "per_page": str(per_page)}
        reply = await self._send(
            "GET", "actions", "workflows", workflow_file, "runs", params=params
        )
        return reply.part("workflow_runs").read_all(WorkflowRun)

    async def deployment_reviews(self, run_id: str) -> tuple[DeploymentReview, ...]:
        """Return the reviews of a run's deployments, of all its attempts; needs `actions: read`."""
        reply = await self._send("GET", "actions", "runs", run_id, "approvals")
        return reply.read_all(DeploymentReview)

    async def collaborator(self, login: str) -> Collaborator | None:
        """Return an account's permissions in the repository, or None for an unknown account."""
        try:
            reply = await self._send("GET", "collaborators", login, "permission")
        except GitHubNotFoundError:
            return None
        return reply.read(Collaborator)

    async def environment(self, name: str) -> GitHubEnvironment:
        """Return a GitHub environment with its protection rules; needs `actions: read`."""
        return (await self._send("GET", "environments", name)).read(GitHubEnvironment)

    async def deployments(self, environment: str) -> tuple[Deployment, ...]:
        """Return the deployments of an environment, the newest first, at most PER_PAGE of them."""
        params = {"environment": environment, "per_page": str(PER_PAGE)}
        return (await self._send("GET", "deployments", params=params)).read_all(Deployment)

    async def create_deployment(
        self, sha: str, environment: str, description: str, payload: Json
    ) -> Deployment:
        """Record a deployment of exactly this commit, without merging or waiting for checks.

        No deployment is marked as production: GitHub marks earlier deployments of an environment as
        inactive only where they are not, and each of our environments has one server.

        Raises:
            GitHubUnavailableError: `ambiguous` when it may have been recorded.
        """
        wanted = {
            "ref": sha,
            "environment": environment,
            "description": description,
            "payload": payload,
            "auto_merge": False,
            "required_contexts": [],
            "transient_environment": False,
            "production_environment": False,
        }
        return (await self._send("POST", "deployments", body=wanted)).read(Deployment)

    async def deployment_statuses(self, deployment: int) -> tuple[DeploymentStatus, ...]:
        """Return the statuses of a deployment, the newest first."""
        return await self._list(DeploymentStatus, "deployments", str(deployment), "statuses")

    async def create_deployment_status(
        self, deployment: int, state: DeploymentState, *, url: str, log_url: str, description: str
    ) -> DeploymentStatus:
        """Add a status to a deployment; a success makes the environment's earlier ones inactive.

        Raises:
            GitHubUnavailableError: `ambiguous` when it may have been added.
        """
        wanted = {
            "state": state,
            "description": description,
            "log_url": log_url,
            "environment_url": url or None,
        }
        path = ("deployments", str(deployment), "statuses")
        return (await self._send("POST", *path, body=present(wanted))).read(DeploymentStatus)
