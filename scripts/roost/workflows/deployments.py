"""Record on GitHub what was deployed and proved, once for each deployment.

Jobs do not record deployments themselves (`deployment: false`), because the success of a job does
not mean that its commit is deployed: a smoke test, a rollback, and a deploy that was left to a newer
commit succeed too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from roost.environment.load import load_environment
from roost.errors import ExitCode, GitHubUnavailableError, UsageError
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.github.deployments import DeploymentState
from roost.github.models import Deployment
from roost.operations.applying import moment
from roost.operations.context import Context
from roost.report.outcome import DeployOutcome, Result
from roost.workflows.job import need_runner

SUCCESS: DeploymentState = "success"
INACTIVE: DeploymentState = "inactive"
LOOKED_AT = 10
"""How many deployments of an environment are checked for being active; the older ones ended."""
SHA_DIGITS = 40


@dataclass(frozen=True)
class Proved:
    """A release that is live and passed the gate.

    Args:
        environment: its environment.
        sha: its commit.
        url: the address of the server; empty where it is not known.
        at: when it was proved, in UTC as `moment` writes it.
        digest: the digest of the applied plan; empty for a rollback.
    """

    environment: str
    sha: str
    url: str
    at: str
    digest: str = ""

    def payload(self, runner: Runner) -> dict[str, Any]:
        """Return the data that the record keeps for later runs."""
        return {"run": runner.run_id, "at": self.at, "digest": self.digest}

    def is_in(self, found: Deployment, runner: Runner) -> bool:
        """Return whether a record is of this release and this run."""
        return found.sha == self.sha and found.payload.get("run") == runner.run_id


async def deployed(context: Context, name: str, *, sha: str, url: str) -> ExitCode:
    """Record that a commit is deployed, from a job that holds no Fly token.

    Raises:
        UsageError: this is no run of a workflow, or the commit is no whole hash.
        UnknownEnvironmentError: there is no environment of that name.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    if len(sha) != SHA_DIGITS or set(sha) - set("0123456789abcdef"):
        raise UsageError(
            f"{sha or 'Nothing'} is not the whole hash of a commit.",
            where="--sha",
            advice="Give the whole hash. Without a commit, no deployment can be recorded.",
        )
    load_environment(name, context.environments)
    async with github_of(context.environ) as github:
        message = await record(github, runner, Proved(name, sha, url, moment()))
    context.out.print(message, markup=False, soft_wrap=True)
    return ExitCode.DONE


async def undeployed(context: Context, name: str) -> ExitCode:
    """Record that nothing is deployed any more, after a server was destroyed.

    Raises:
        UsageError: this is no run of a workflow.
        UnknownEnvironmentError: there is no environment of that name.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    load_environment(name, context.environments)
    async with github_of(context.environ) as github:
        for found in (await github.deployments(name))[:LOOKED_AT]:
            statuses = await github.deployment_statuses(found.id)
            if statuses and statuses[0].state == SUCCESS:
                await github.create_deployment_status(
                    found.id, INACTIVE, url="", log_url=runner.run_url, description="Destroyed"
                )
                message = f"Recorded that {found.sha[:10]} is no longer deployed to {name}."
                context.out.print(message, markup=False, soft_wrap=True)
    return ExitCode.DONE


def proved_by(outcomes: Iterable[DeployOutcome], runner: Runner) -> list[Proved]:
    """Return the deploys of this run that were proved whole; other outcomes are no deployments."""
    return [
        Proved(outcome.environment, runner.sha, outcome.url, outcome.at, outcome.digest)
        for outcome in outcomes
        if outcome.outcome is Result.DEPLOYED and not outcome.unproved and not outcome.left
    ]


async def record(github: GitHub, runner: Runner, proved: Proved) -> str:
    """Record a deployment, unless this run recorded it before, and return a sentence about it.

    A report that is run again later does not replace a deployment that was made in the meantime.

    Raises:
        GitHubError: GitHub refuses or fails.
    """
    name, sha = proved.environment, proved.sha[:10]
    known = await github.deployments(name)
    mine = next((found for found in known if proved.is_in(found, runner)), None)
    if mine is not None and await _has_success(github, mine):
        return f"The deployment of {sha} to {name} is recorded already."
    if any(str(found.payload.get("at", "")) > proved.at for found in known if found is not mine):
        return f"The deployment of {sha} to {name} is not recorded: a newer one is."
    found = mine or await _create(github, runner, proved)
    await _succeed(github, runner, found, proved)
    return f"Recorded the deployment of {sha} to {name}."


async def proved_last(github: GitHub, name: str) -> str:
    """Return the commit that is recorded as deployed to an environment; empty if there is none.

    Raises:
        GitHubError: GitHub refuses or fails.
    """
    for found in (await github.deployments(name))[:LOOKED_AT]:
        statuses = await github.deployment_statuses(found.id)
        if statuses and statuses[0].state == SUCCESS:
            return found.sha
    return ""


async def _create(github: GitHub, runner: Runner, proved: Proved) -> Deployment:
    """Create the record; look for it where the answer was lost."""
    payload = proved.payload(runner)
    try:
        return await github.create_deployment(
            proved.sha, proved.environment, "Deployed and proved", payload
        )
    except GitHubUnavailableError as error:
        if not error.ambiguous:
            raise
        for found in await github.deployments(proved.environment):
            if proved.is_in(found, runner):
                return found
        raise


async def _succeed(github: GitHub, runner: Runner, found: Deployment, proved: Proved) -> None:
    """Add the status; look for it where the answer was lost."""
    try:
        await github.create_deployment_status(
            found.id,
            SUCCESS,
            url=proved.url,
            log_url=runner.run_url,
            description="Deployed and proved",
        )
    except GitHubUnavailableError as error:
        if not error.ambiguous or not await _has_success(github, found):
            raise


async def _has_success(github: GitHub, found: Deployment) -> bool:
    """Return whether a deployment ever succeeded, even if a later one replaced it."""
    return any(status.state == SUCCESS for status in await github.deployment_statuses(found.id))
