"""What can be seen on GitHub, with whatever the token at hand may look at."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Iterable
from typing import Any

from roost.environment.load import EnvironmentFile
from roost.environment.starter import Starter
from roost.errors import RoostError
from roost.github.api import GitHub
from roost.github.models import BranchProtection, GitHubEnvironment
from roost.report.setup import HERE, PLAN, RULESET, TOKEN, Command, commands
from roost.verbs.checkup.check import Check, missing, ok, unknown
from roost.verbs.checkup.files import wanted_variables
from roost.verbs.checkup.workflows import Workflows

MAIN = "main"
"""The branch whose pushes the workflows deploy."""
REQUIRED = ("Checks passed", "Plan passed")
"""The jobs of checks.yml and plan.yml that a merge has to wait for."""
DRIFT = "drift.yml"


async def github_checks(
    github: GitHub, workflows: Workflows, files: Iterable[EnvironmentFile]
) -> AsyncIterator[Check]:
    """Look at the repository, its environments, the rules of main and the workflows."""
    try:
        repository = await github.repository_info()
        environments = {found.name: found for found in await github.environments()}
    except RoostError as error:
        yield unknown(f"GitHub could not be looked at: {error}")
        return
    if repository.default_branch != MAIN:
        yield missing(
            f"the default branch is {repository.default_branch}, and the workflows deploy {MAIN}",
            f"gh api -X POST {shlex.quote(f'{HERE}/branches/{repository.default_branch}/rename')} -f new_name={MAIN}",
        )
    checkup = _Checkup(github, workflows, environments)
    for file in files:
        async for check in checkup.environment(file):
            yield check
    async for check in checkup.repository():
        yield check


class _Checkup:
    def __init__(
        self, github: GitHub, workflows: Workflows, environments: dict[str, GitHubEnvironment]
    ) -> None:
        self.github = github
        self.workflows = workflows
        self.environments = environments

    async def environment(self, file: EnvironmentFile) -> AsyncIterator[Check]:
        """Look at the GitHub environment of one file."""
        name = file.name
        todo = _commands(file)
        found = self.environments.get(name)
        if found is None:
            yield missing(
                f"there is no GitHub environment {name}", _mend(todo, "The GitHub env"), name
            )
            return
        yield await self.branches(found, todo)
        variables = [TOKEN, *map(self.workflows.secret_of, wanted_variables(file))]
        async for check in self.secrets(name, variables, todo):
            yield check
        if file.environment.protected and not found.reviewers:
            yield unknown(
                "nobody has to approve its deployments; whether GitHub's plan allows that is not told",
                _mend(todo, "You approve"),
                name,
            )

    async def branches(self, found: GitHubEnvironment, todo: tuple[Command, ...]) -> Check:
        """Look at which branches reach the environment's token."""
        name = found.name
        mend = f"{_mend(todo, 'The GitHub env')} && {_mend(todo, 'Only main')}"
        if found.branches is None:
            return missing("every branch reaches its token, not only main", mend, name)
        if found.branches.protected_branches:
            return ok("only protected branches reach its token", name)
        try:
            listed = {policy.name for policy in await self.github.environment_branches(name)}
        except RoostError as error:
            return unknown(f"which branches reach its token is not to be seen: {error}", "", name)
        if listed <= {MAIN} and listed:
            return ok("only main reaches its token", name)
        told = (
            f"{', '.join(sorted(listed))} reach its token" if listed else "no branch deploys to it"
        )
        return missing(told, mend, name)

    async def secrets(
        self, name: str, wanted: Iterable[str], todo: tuple[Command, ...]
    ) -> AsyncIterator[Check]:
        """Look at the names of an environment's secrets."""
        try:
            there = await self.github.environment_secrets(name)
        except RoostError as error:
            yield unknown(f"its secrets are not to be seen: {error}", "", name)
            return
        if there is None:
            yield unknown("its secrets are not to be seen with this token", "", name)
            return
        have = {secret.upper() for secret in there}
        lacking = [secret for secret in dict.fromkeys(wanted) if secret.upper() not in have]
        for secret in lacking:
            made = f"gh secret set {secret} --env {name}"
            mend = next((c.shell() for c in todo if c.shell().endswith(made)), made)
            yield missing(f"its GitHub environment has no secret {secret}", mend, name)
        if not lacking:
            yield ok("its GitHub environment has every secret", name)

    async def repository(self) -> AsyncIterator[Check]:
        """Look at what there is once."""
        async for check in self.plan():
            yield check
        yield await self.rules()
        yield await self.permissions()
        yield await self.drift()

    async def plan(self) -> AsyncIterator[Check]:
        """Look at the environment of the token that only reads."""
        todo = commands(Starter(name="x", organization="ORGANIZATION"), ())
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

    async def rules(self) -> Check:
        """Look at what a merge to main has to wait for."""
        mend = f"gh api -X POST {shlex.quote(f'{HERE}/rulesets')} --input {RULESET}"
        try:
            rules = await self.github.branch_rules(MAIN)
            protection = await self.github.branch_protection(MAIN)
        except RoostError as error:
            return unknown(f"the rules of {MAIN} are not to be seen: {error}")
        kinds = {rule.type for rule in rules}
        checks = {name for rule in rules for name in _contexts(rule.parameters)}
        if protection and protection.is_on:
            kinds |= {"pull_request"} if _asks_for_pulls(protection) else set()
            checks |= set(protection.status_checks)
        lacking = [f"the check `{name}`" for name in REQUIRED if name not in checks]
        lacking += [] if "pull_request" in kinds else ["a pull request"]
        if not lacking:
            return ok(f"{MAIN} takes pull requests only, whose checks passed")
        if protection is None and not rules:
            return unknown(f"the protection of {MAIN} is not to be seen with this token", mend)
        return missing(f"a change of {MAIN} does not need {' and '.join(lacking)}", mend)

    async def permissions(self) -> Check:
        """Look at what a workflow's own token may do unless the workflow says less."""
        mend = _mend(commands(Starter(name="x"), ()), "Once: workflows only read")
        try:
            found = await self.github.workflow_permissions()
        except RoostError as error:
            return unknown(f"what workflows may do is not to be seen: {error}")
        if found is None:
            return unknown("what workflows may do by default is not to be seen with this token")
        if found.default_workflow_permissions != "read":
            return missing("workflows may write by default", mend)
        if not found.can_approve_pull_request_reviews:
            return missing("workflows may not open pull requests, as scale and rollback do", mend)
        return ok("workflows only read by default, and may open pull requests")

    async def drift(self) -> Check:
        """Look whether the schedule that looks for drift is on: GitHub stops it after 60 quiet days."""
        try:
            found = await self.github.workflow(DRIFT)
        except RoostError as error:
            return unknown(f"whether {DRIFT} is on is not to be seen: {error}")
        if found is None:
            return unknown(f"{DRIFT} is not to be seen: {MAIN} has it only after the first merge")
        if found.state == "active":
            return ok("the schedule that looks for drift is on")
        return missing(f"{DRIFT} is off ({found.state})", f"gh workflow enable {DRIFT}")


def _commands(file: EnvironmentFile) -> tuple[Command, ...]:
    environment = file.environment
    starter = Starter(
        name=file.name,
        app=environment.app,
        organization=environment.organization,
        protected=environment.protected,
    )
    return commands(starter, ())


def _mend(todo: Iterable[Command], beginning: str) -> str:
    return next((command.shell() for command in todo if command.what.startswith(beginning)), "")


def _contexts(parameters: dict[str, Any]) -> Iterable[str]:
    found = parameters.get("required_status_checks")
    for check in found if isinstance(found, list) else []:
        if isinstance(check, dict) and isinstance(check.get("context"), str):
            yield check["context"]


def _asks_for_pulls(protection: BranchProtection) -> bool:
    return protection.reviews is not None
