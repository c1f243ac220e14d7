"""Check the repository's settings on GitHub, as far as the token may read them."""

from __future__ import annotations

import json
import shlex
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace

from roost.doctor.branch_rules import MAIN, rule_checks
from roost.doctor.check import Check, missing, ok, unknown
from roost.doctor.files import address_variables, backup_variables, wanted_variables
from roost.doctor.runners import runner_checks
from roost.doctor.shared_secrets import DEPLOYING, GUARDED_SECRETS, shared_secrets
from roost.doctor.workflows import Workflows
from roost.environment.load import EnvironmentFile
from roost.environment.names import BACKUP, NOTIFY
from roost.environment.starter import Starter
from roost.errors import RoostError
from roost.github.api import GitHub
from roost.github.settings_models import BranchPolicy, GitHubEnvironment, Repository
from roost.report.setup import (
    APP_KEY,
    HERE,
    PLAN,
    PULL_REQUESTS,
    TOKEN,
    SetupCommand,
    commands,
    only_main_commands,
)

DRIFT = "drift.yml"
_SEES_SECRETS = (
    "use a token that may read them: a classic one of `gh auth token`, or Environments (read)"
)
_SEES_SETTINGS = "use a token of an admin: `gh auth token`, or one with Administration (read)"


async def github_checks(
    github: GitHub, workflows: Workflows, files: Iterable[EnvironmentFile]
) -> AsyncIterator[Check]:
    """Check the repository, its environments, the rules of main and the workflows."""
    try:
        repository = await github.repository_info()
        environments = {found.name: found for found in await github.environments()}
    except RoostError as error:
        yield unknown(f"GitHub could not be read: {error}")
        return
    if repository.default_branch != MAIN:
        yield missing(
            f"the default branch is {repository.default_branch}, and the workflows deploy {MAIN}",
            f"gh api -X POST {shlex.quote(f'{HERE}/branches/{repository.default_branch}/rename')} -f new_name={MAIN}",
        )
    checks = _GitHubChecks(github, workflows, environments)
    for file in files:
        async for check in checks.environment(file):
            yield check
        async for check in checks.backup(file):
            yield check
    async for check in checks.repository(repository):
        yield check


class _GitHubChecks:
    """The checks of one repository, and what they have found out so far."""

    def __init__(
        self, github: GitHub, workflows: Workflows, environments: dict[str, GitHubEnvironment]
    ) -> None:
        self.github = github
        self.workflows = workflows
        self.environments = environments
        self.looked_at = {PLAN}
        """Environments whose branches are checked already, or need no check."""
        self.names: set[str] = {*GUARDED_SECRETS}
        """Names of secrets that belong in an environment."""
        self.addresses: dict[str, None] = {}
        """Names of the secrets with addresses for messages."""

    async def environment(self, file: EnvironmentFile) -> AsyncIterator[Check]:
        """Check the GitHub environment of one file."""
        name = file.name
        todo = _commands(file)
        found = self.environments.get(name)
        variables = [TOKEN, *map(self.workflows.secret_of, wanted_variables(file))]
        self.names |= {*variables}
        self.addresses |= dict.fromkeys(address_variables(file))
        self.looked_at.add(name)
        if found is None:
            yield missing(
                f"there is no GitHub environment {name}", _mend(todo, "The GitHub env"), name
            )
            return
        async for check in self.branches(found):
            yield check
        async for check in self.secrets(name, variables, todo):
            yield check
        if file.environment.protected:
            yield _reviewed(found, _mend(todo, "You approve"))

    async def backup(self, file: EnvironmentFile) -> AsyncIterator[Check]:
        """Check the environment of the scheduled dumps, where the file keeps them in a bucket."""
        name, variables = f"{file.name}{BACKUP}", backup_variables(file)
        if not variables:
            return
        self.looked_at.add(name)
        found = self.environments.get(name)
        if found is None:
            yield missing(f"there is no GitHub environment {name}", only_main(name), name)
            return
        async for check in self.branches(found, "the address of its database"):
            yield check
        async for check in self.secrets(name, map(self.workflows.secret_of, variables), ()):
            yield check

    async def branches(
        self, found: GitHubEnvironment, reached: str = "its token"
    ) -> AsyncIterator[Check]:
        """Check which branches and tags may use an environment's secrets."""
        name, mend = found.name, only_main(found.name, found)
        if found.branches is None:
            yield missing(f"every branch reaches {reached}, not only {MAIN}", mend, name)
            return
        try:
            if found.branches.protected_branches:
                yield await self.protected(name, reached, mend)
                return
            listed = await self.github.environment_branches(name)
        except RoostError as error:
            yield unknown(f"which branches reach {reached} could not be read: {error}", "", name)
            return
        too_many = [policy for policy in listed if (policy.name, policy.type) != (MAIN, "branch")]
        for policy in too_many:
            yield missing(
                f"{_named(policy)} reaches {reached}: a writer can push one",
                shlex.join(("gh", "api", "-X", "DELETE", _policy_path(name, policy))),
                name,
            )
        if len(too_many) == len(listed):
            yield missing(f"{MAIN} does not reach {reached}", mend, name)
        elif not too_many:
            yield ok(f"only {MAIN} reaches {reached}", name)

    async def protected(self, name: str, reached: str, mend: str) -> Check:
        """Check an environment for protected branches, for which only the classic protection counts.

        Where no branch has one, GitHub lets every branch use the environment.
        """
        protection = await self.github.branch_protection(MAIN)
        others = {branch.name for branch in await self.github.protected_branches()} - {MAIN}
        if others:
            listed = ", ".join(sorted(others))
            return missing(f"every protected branch reaches {reached}, also {listed}", mend, name)
        if protection is None:
            return unknown(
                f"whether only {MAIN} reaches {reached} cannot be read with this token: its policy is "
                "`protected branches`",
                mend,
                name,
            )
        if not protection.is_on:
            return missing(
                f"every branch reaches {reached}: its policy is `protected branches`, and no branch "
                "has a branch protection",
                mend,
                name,
            )
        return ok(f"only {MAIN} reaches {reached}", name)

    async def secrets(
        self, name: str, wanted: Iterable[str], todo: tuple[SetupCommand, ...]
    ) -> AsyncIterator[Check]:
        """Check that an environment has the secrets it needs."""
        try:
            there = await self.github.environment_secrets(name)
        except RoostError as error:
            yield unknown(f"its secrets could not be read: {error}", "", name)
            return
        if there is None:
            yield unknown("its secrets cannot be read with this token", _SEES_SECRETS, name)
            return
        have = {secret.upper() for secret in there}
        self.names |= have
        lacking = [secret for secret in dict.fromkeys(wanted) if secret.upper() not in have]
        for secret in lacking:
            made = f"gh secret set {secret} --env {name}"
            mend = next((c.shell() for c in todo if c.shell().endswith(made)), made)
            yield missing(f"its GitHub environment has no secret {secret}", mend, name)
        if not lacking:
            yield ok("its GitHub environment has every secret", name)
        if name == PLAN:
            for secret in sorted(have & DEPLOYING):
                yield missing(
                    f"every branch reaches {secret}",
                    f"gh secret delete {secret} --env {name}",
                    name,
                )

    async def repository(self, repository: Repository) -> AsyncIterator[Check]:
        """Check what the repository has once, not for each environment."""
        async for check in self.plan():
            yield check
        async for check in self.pull_requests():
            yield check
        async for check in self.messages():
            yield check
        async for check in self.left_over():
            yield check
        async for check in shared_secrets(self.github, repository, self.names):
            yield check
        async for check in runner_checks(self.github):
            yield check
        for check in await rule_checks(self.github):
            yield check
        for check in await self.permissions():
            yield check
        yield await self.drift()

    async def plan(self) -> AsyncIterator[Check]:
        """Check the environment of the read-only token."""
        todo = _once()
        create = _mend(todo, f"Once: the GitHub environment {PLAN}")
        found = self.environments.get(PLAN)
        if found is None:
            yield missing(f"there is no GitHub environment {PLAN}", create, PLAN)
            return
        if found.branches is not None:
            yield missing(
                "pull requests do not reach it: it is only for some branches", create, PLAN
            )
        async for check in self.secrets(PLAN, [TOKEN], todo):
            yield check

    async def pull_requests(self) -> AsyncIterator[Check]:
        """Check the environment of the App's key: anybody with the key can approve as the App."""
        self.looked_at.add(PULL_REQUESTS)
        found = self.environments.get(PULL_REQUESTS)
        if found is None:
            what = f"there is no GitHub environment {PULL_REQUESTS}"
            yield missing(what, only_main(PULL_REQUESTS), PULL_REQUESTS)
            return
        there = await self.names_in(PULL_REQUESTS)
        has_key = there is None or APP_KEY in there
        async for check in self.branches(found, f"its {APP_KEY}" if has_key else "its secrets"):
            yield check

    async def messages(self) -> AsyncIterator[Check]:
        """Check the environment of the addresses for messages, where a file names one."""
        if not self.addresses:
            return
        self.looked_at.add(NOTIFY)
        found = self.environments.get(NOTIFY)
        if found is None:
            yield missing(f"there is no GitHub environment {NOTIFY}", only_main(NOTIFY), NOTIFY)
            return
        async for check in self.branches(found, "its addresses"):
            yield check
        async for check in self.secrets(NOTIFY, self.addresses, ()):
            yield check

    async def names_in(self, name: str) -> frozenset[str] | None:
        """Return the names of an environment's secrets; None where they cannot be read."""
        try:
            there = await self.github.environment_secrets(name)
        except RoostError:
            return None
        return None if there is None else frozenset(secret.upper() for secret in there)

    async def left_over(self) -> AsyncIterator[Check]:
        """Check the environments without a file that have a token."""
        for name, found in self.environments.items():
            if name in self.looked_at:
                continue
            there = await self.names_in(name)
            if there is None:
                yield unknown("its secrets cannot be read with this token", _SEES_SECRETS, name)
                continue
            if held := sorted(there & GUARDED_SECRETS):
                async for check in self.branches(found, f"its {', '.join(held)}"):
                    yield check

    async def permissions(self) -> tuple[Check, ...]:
        """Check the default permissions of a workflow's token."""
        mend = _mend(_once(), "Once: workflows only read")
        try:
            found = await self.github.workflow_permissions()
        except RoostError as error:
            return (unknown(f"the default permissions of workflows could not be read: {error}"),)
        if found is None:
            what = "the default permissions of workflows cannot be read with this token"
            return (unknown(what, _SEES_SETTINGS),)
        wrong: list[str] = []
        if found.default_workflow_permissions != "read":
            wrong.append(
                "every workflow that names no permissions can write: default_workflow_permissions is "
                f"{found.default_workflow_permissions or 'not read'}"
            )
        if found.can_approve_pull_request_reviews:
            wrong.append(
                "a writer can have a workflow approve their pull request: "
                "can_approve_pull_request_reviews is on"
            )
        if wrong:
            return tuple(missing(what, mend) for what in wrong)
        return (ok("workflows only read by default, and approve no pull request"),)

    async def drift(self) -> Check:
        """Check that the drift schedule is on: GitHub stops it after 60 days without a commit."""
        try:
            found = await self.github.workflow(DRIFT)
        except RoostError as error:
            return unknown(f"whether {DRIFT} is on could not be read: {error}")
        if found is None:
            return unknown(f"{DRIFT} was not found: {MAIN} has it only after the first merge")
        if found.state == "active":
            return ok("the drift schedule is on")
        return missing(f"{DRIFT} is off ({found.state})", f"gh workflow enable {DRIFT}")


def _commands(file: EnvironmentFile) -> tuple[SetupCommand, ...]:
    environment = file.environment
    starter = Starter(
        name=file.name,
        app=environment.app,
        organization=environment.organization,
        protected=environment.protected,
    )
    return commands(starter, ())


def _mend(todo: Iterable[SetupCommand], beginning: str) -> str:
    return next((command.shell() for command in todo if command.what.startswith(beginning)), "")


def _once() -> tuple[SetupCommand, ...]:
    return commands(Starter(name="x", organization="ORGANIZATION"), ())


def only_main(name: str, found: GitHubEnvironment | None = None) -> str:
    """Return the commands that let only main use a GitHub environment, and keep its other protection.

    GitHub resets what a PUT leaves out, so the reviewers of the environment are sent again.
    """
    put, post = only_main_commands(name, "", "")
    kept = _kept(found) if found else {}
    put = replace(put, given=json.dumps({**json.loads(put.given), **kept}))
    return f"{put.shell()} && {post.shell()}"


def _kept(found: GitHubEnvironment) -> dict[str, object]:
    """Return an environment's protection except for its branches, in the form of a PUT."""
    people = [{"type": one.type, "id": one.id} for one in found.reviewers if one.id]
    waits = max((rule.wait_timer for rule in found.protection_rules), default=0)
    others = any(rule.prevent_self_review for rule in found.protection_rules)
    return {
        **({"reviewers": people, "prevent_self_review": others} if people else {}),
        **({"wait_timer": waits} if waits else {}),
    }


def _policy_path(name: str, policy: BranchPolicy) -> str:
    return f"{HERE}/environments/{name}/deployment-branch-policies/{policy.id}"


def _named(policy: BranchPolicy) -> str:
    """Return what a policy allows, as `the branch release` or `every tag like v*`."""
    kind = "tag" if policy.type == "tag" else "branch"
    is_pattern = any(character in policy.name for character in "*?[")
    return f"every {kind} like {policy.name}" if is_pattern else f"the {kind} {policy.name}"


def _reviewed(found: GitHubEnvironment, mend: str) -> Check:
    """Check that deployments need an approval; a person who works alone may approve their own."""
    if not found.reviewers:
        what = "nobody has to approve its deployments; GitHub does not show whether its plan allows reviewers"
        return unknown(what, mend, found.name)
    alone = [*_alone(found)]
    return ok(
        f"its deployments wait for a reviewer{': ' if alone else ''}{'; '.join(alone)}", found.name
    )


def _alone(found: GitHubEnvironment) -> Iterator[str]:
    if not any(rule.prevent_self_review for rule in found.protection_rules):
        yield "the person who starts one may approve it (prevent_self_review is off)"
    if found.can_admins_bypass:
        yield "an admin may bypass the review (can_admins_bypass is on)"
