"""Settings of a repository, as `roost doctor` reads them; None where the token may not see them."""

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
    """Read environments, secrets' names, rules and permissions."""

    async def repository_info(self) -> Repository:
        """Return the repository itself."""
        return (await self._send("GET")).read(Repository)

    async def environments(self) -> tuple[GitHubEnvironment, ...]:
        """Return the repository's environments, with what protects them."""
        return await self._list(GitHubEnvironment, "environments", key="environments")

    async def environment_branches(self, name: str) -> tuple[BranchPolicy, ...]:
        """Return the names of branches that may deploy to an environment that has such a list."""
        path = ("environments", name, "deployment-branch-policies")
        return await self._list(BranchPolicy, *path, key="branch_policies")

    async def environment_secrets(self, name: str) -> tuple[str, ...] | None:
        """Return the names of an environment's secrets; their values never leave GitHub."""
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
        """Return the names of the repository's self-hosted runners; None where a token sees none of it.

        Those of the organization's groups are not among them.
        """
        try:
            found = await self._list(Named, "actions", "runners", key="runners")
        except (GitHubForbiddenError, GitHubNotFoundError):
            return None
        return tuple(runner.name for runner in found)

    async def has_variable(self, name: str) -> bool | None:
        """Return whether the repository has a variable; None where the token may not see that."""
        try:
            await self._send("GET", "actions", "variables", name)
        except GitHubNotFoundError:
            return False
        except GitHubForbiddenError:
            return None
        return True

    async def protected_branches(self) -> tuple[Branch, ...]:
        """Return the branches that are protected in any way."""
        return await self._list(Branch, "branches", params={"protected": "true"})

    async def rulesets(self) -> tuple[Ruleset, ...]:
        """Return all rulesets that concern the repository, also those that are off; without bypasses."""
        return await self._list(Ruleset, "rulesets")

    async def ruleset(self, number: int) -> Ruleset | None:
        """Return one ruleset with who may bypass it, as far as the token may see that."""
        return await self._readable(Ruleset, "rulesets", str(number))

    async def branch_rules(self, branch: str) -> tuple[BranchRule, ...]:
        """Return the rules that rulesets hold a branch to."""
        return await self._list(BranchRule, "rules", "branches", branch)

    async def branch_protection(self, branch: str) -> BranchProtection | None:
        """Return the older protection of a branch, which may be off."""
        try:
            reply = await self._send("GET", "branches", branch, "protection")
        except GitHubForbiddenError:
            return None
        except GitHubNotFoundError as error:
            return BranchProtection(is_on=False) if _NOT_PROTECTED in error.body else None
        return reply.read(BranchProtection)

    async def actions_permissions(self) -> ActionsPermissions | None:
        """Return whether Actions may run, and which."""
        return await self._readable(ActionsPermissions, "actions", "permissions")

    async def workflow_permissions(self) -> WorkflowPermissions | None:
        """Return what a workflow's token may do by default."""
        return await self._readable(WorkflowPermissions, "actions", "permissions", "workflow")
