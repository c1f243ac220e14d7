"""Read the settings of a repository for `roost doctor`; None where the token may not read them."""

from __future__ import annotations

from roost.errors import GitHubForbiddenError, GitHubNotFoundError
from roost.github.calls import RepositoryCalls
from roost.github.models import Named
from roost.github.settings_models import (
    ActionsPermissions,
    Branch,
    BranchPolicy,
    BranchProtection,
    BranchRule,
    GitHubEnvironment,
    Repository,
    Ruleset,
    WorkflowPermissions,
)

_NOT_PROTECTED = "Branch not protected"


class SettingCalls(RepositoryCalls):
    """Read environments, names of secrets, rules and permissions."""

    async def repository_info(self) -> Repository:
        """Return the repository."""
        return (await self._send("GET")).read(Repository)

    async def environments(self) -> tuple[GitHubEnvironment, ...]:
        """Return the repository's environments with their protection rules."""
        return await self._list(GitHubEnvironment, "environments", key="environments")

    async def environment_branches(self, name: str) -> tuple[BranchPolicy, ...]:
        """Return the branches on the list of those that may deploy to an environment."""
        path = ("environments", name, "deployment-branch-policies")
        return await self._list(BranchPolicy, *path, key="branch_policies")

    async def environment_secrets(self, name: str) -> tuple[str, ...] | None:
        """Return the names of an environment's secrets; GitHub never returns values."""
        try:
            found = await self._list(Named, "environments", name, "secrets", key="secrets")
        except GitHubForbiddenError:
            return None
        return tuple(secret.name for secret in found)

    async def repository_secrets(self) -> tuple[str, ...] | None:
        """Return the names of the secrets that every workflow of the repository may use."""
        return await self._secret_names("actions", "secrets")

    async def organization_secrets(self) -> tuple[str, ...] | None:
        """Return the names of the organization's secrets that the repository may use."""
        return await self._secret_names("actions", "organization-secrets")

    async def _secret_names(self, *parts: str) -> tuple[str, ...] | None:
        try:
            found = await self._list(Named, *parts, key="secrets")
        except (GitHubForbiddenError, GitHubNotFoundError):
            return None
        return tuple(secret.name for secret in found)

    async def runners(self) -> tuple[str, ...] | None:
        """Return the names of the repository's self-hosted runners; None where the token may not read them.

        Runners of the organization's groups are not among them.
        """
        try:
            found = await self._list(Named, "actions", "runners", key="runners")
        except (GitHubForbiddenError, GitHubNotFoundError):
            return None
        return tuple(runner.name for runner in found)

    async def has_variable(self, name: str) -> bool | None:
        """Return whether the repository has a variable; None where the token may not read that."""
        try:
            await self._send("GET", "actions", "variables", name)
        except GitHubNotFoundError:
            return False
        except GitHubForbiddenError:
            return None
        return True

    async def protected_branches(self) -> tuple[Branch, ...]:
        """Return the branches with a protection of any kind."""
        return await self._list(Branch, "branches", params={"protected": "true"})

    async def rulesets(self) -> tuple[Ruleset, ...]:
        """Return all rulesets of the repository, disabled ones included, without their bypass actors."""
        return await self._list(Ruleset, "rulesets")

    async def ruleset(self, number: int) -> Ruleset | None:
        """Return one ruleset with its bypass actors, as far as the token may read them."""
        return await self._readable(Ruleset, "rulesets", str(number))

    async def branch_rules(self, branch: str) -> tuple[BranchRule, ...]:
        """Return the rules of all rulesets for a branch."""
        return await self._list(BranchRule, "rules", "branches", branch)

    async def branch_protection(self, branch: str) -> BranchProtection | None:
        """Return the classic protection of a branch, with `is_on` False where there is none."""
        try:
            reply = await self._send("GET", "branches", branch, "protection")
        except GitHubForbiddenError:
            return None
        except GitHubNotFoundError as error:
            return BranchProtection(is_on=False) if _NOT_PROTECTED in error.body else None
        return reply.read(BranchProtection)

    async def actions_permissions(self) -> ActionsPermissions | None:
        """Return whether Actions may run, and which ones."""
        return await self._readable(ActionsPermissions, "actions", "permissions")

    async def workflow_permissions(self) -> WorkflowPermissions | None:
        """Return the default permissions of a workflow's token."""
        return await self._readable(WorkflowPermissions, "actions", "permissions", "workflow")
