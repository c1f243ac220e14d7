"""`roost github permit`: check that the person who started a run may change the environment.

Everybody with write access may run workflows, and GitHub offers reviewers of deployments only for
public repositories and on its Enterprise plan. So this command checks the person's role in the job
itself, after any review and before the steps that have a token. It changes nothing, and refuses
where GitHub does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import ExitCode, GitHubError, NotPermittedError, RoostError
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.operations.artifacts import write_document
from roost.operations.context import Context
from roost.report.outcome import DeployOutcome, Result
from roost.workflows.job import need_runner
from roost.workflows.merges import PUSH, branch_of
from roost.workflows.remote_checkout import UnreadableCommitError, open_head
from roost.workflows.superseded import DEPLOY, decides

UNATTENDED = frozenset({PUSH, "schedule"})
"""Events that no person starts by hand; the approval of its plan decides what a push may change."""
HARMLESS = frozenset({"smoke", "wake"})
"""Commands that change nothing: any request wakes a server, and a smoke test cleans up."""
FIRST = "1"
"""The number of a run's first attempt; a person starts each later one."""
BOT = "[bot]"
"""The suffix of the names of Apps and of workflows' own tokens, which no person can have."""
NEEDED = "maintain or admin"


@dataclass(frozen=True)
class Person:
    """A person who started a run, and their role.

    Args:
        login: the account.
        started: how they started it, such as `ran it again`.
        role: their role in the repository.
        maintains: whether that role is sufficient.
    """

    login: str
    started: str
    role: str
    maintains: bool

    def __str__(self) -> str:
        return f"{self.login}, who {self.started}, has {self.role}"


async def permit(context: Context, name: str, *, doing: str, results: Path | None) -> ExitCode:
    """Check that the people who started this run may change an environment.

    Args:
        context: where things are, and where to print.
        name: the environment.
        doing: the command to run, where the run has a choice of them.
        results: the folder for the outcome of a refusal, which the job Report reads; or None.

    Raises:
        UsageError: this is no run of a workflow.
        NotPermittedError: they may not, or GitHub does not answer.
        MissingTokenError: GITHUB_TOKEN is not set.
    """
    runner = need_runner(context)
    try:
        reason = await _check(context, runner, name, doing)
    except NotPermittedError as error:
        if results:
            write_document(results, name, _refused(runner, name, error).document())
        raise
    context.out.print(reason, markup=False, soft_wrap=True)
    return ExitCode.DONE


async def _check(context: Context, runner: Runner, name: str, doing: str) -> str:
    """Return the reason why the run is permitted.

    Raises:
        NotPermittedError: it is not.
    """
    file = load_environment(name, context.environments)
    if doing in HARMLESS:
        return f"{doing} changes nothing: everybody who may run workflows may do it."
    started = started_by(runner, name)
    if not started:
        return f"No person started this run: the {runner.event_name} did."
    anybody = f"{name} is not protected: everybody who may run workflows may change it."
    if not file.environment.protected and runner.run_attempt == FIRST:
        return anybody
    async with github_of(context.environ) as github:
        if not await _is_protected(context, github, runner, file):
            return anybody
        return await _check_people(github, runner, name, started)


def started_by(runner: Runner, name: str) -> dict[str, str]:
    """Return who started this attempt of a run, and how; empty where no person did.

    A run keeps its actor in every attempt, and acts with that person's rights. A later attempt also
    has the person who ran it again. Both must be permitted; where an event started the run, only the
    second one.

    Raises:
        NotPermittedError: the runner names nobody.
    """
    is_first = runner.run_attempt == FIRST
    attended = runner.event_name not in UNATTENDED
    if not attended and is_first:
        return {}
    pressed = {runner.actor: "started the run"} if attended else {}
    again = {runner.triggering_actor: "ran it again" if not is_first else "started the run"}
    found = again | pressed
    if "" in found:
        raise NotPermittedError(
            "The runner does not name the person who started the run.",
            where=name,
            advice="Nothing was changed. Update the runner, then start the workflow again.",
        )
    return found


async def _is_protected(
    context: Context, github: GitHub, runner: Runner, file: EnvironmentFile
) -> bool:
    """Return whether an environment is protected, in this commit or at the head of the branch.

    A run that is started again has the files of its own commit, which may be 30 days old. Where the
    files at the head cannot be read, the environment counts as protected.
    """
    if file.environment.protected:
        return True
    head = await github.branch_head(branch_of(runner))
    if head == runner.sha:
        return False

    def wanted(path: str) -> bool:
        return decides(path, file) and not path.startswith(DEPLOY)

    try:
        async with open_head(context, github, head, wanted) as there:
            return load_environment(file.name, there.environments).environment.protected
    except (UnreadableCommitError, RoostError):
        return True


async def _check_people(github: GitHub, runner: Runner, name: str, started: dict[str, str]) -> str:
    """Return why people may change a protected environment: by their role, or by a review.

    Raises:
        NotPermittedError: they may not.
    """
    people, objections = [], []
    for login, how in started.items():
        try:
            people.append(await _person(github, login, how))
        except GitHubError as error:
            objections.append(f"GitHub did not return what {login} may do: {_explained(error)}")
    if not objections and all(person.maintains for person in people):
        return f"{name} is protected. {_sentence(people)}"
    try:
        reviewers = await reviewers_of(github, runner, name)
    except GitHubError as error:
        raise _refusal(
            name,
            people,
            [*objections, f"GitHub did not return who approved it: {_explained(error)}"],
        ) from error
    own = sorted(reviewers & {login.casefold() for login in started})
    others = sorted(reviewers.difference(own))
    # GitHub does not return the attempt of a review: in a later attempt the approval may be the
    # person's own, and the approvals of others may be of an earlier attempt.
    if others and (not own or runner.run_attempt == FIRST):
        return f"{name} is protected, and {', '.join(others)} approved this run."
    objections += [f"An approval by {login} does not count for their own run." for login in own]
    raise _refusal(name, people, objections)


async def _person(github: GitHub, login: str, how: str) -> Person:
    """Return a person with their role; Apps and workflows' own tokens have none."""
    found = None if login.endswith(BOT) else await github.collaborator(login)
    if found is None:
        return Person(login, how, "no role here", maintains=False)
    role = found.role or found.permission or "none"
    return Person(login, how, f"the role {role}", found.maintains)


async def reviewers_of(github: GitHub, runner: Runner, name: str) -> frozenset[str]:
    """Return the people who approved this run for an environment, in lower case.

    GitHub lists the reviews of all attempts of a run, and requires a new one for each attempt while
    the environment has reviewers. Where it no longer has any, earlier reviews do not count.

    Raises:
        GitHubError: GitHub refuses or fails.
    """
    reviews = await github.deployment_reviews(runner.run_id)
    found = {review.reviewer for review in reviews if review.approves(name)} - {""}
    people = frozenset(login.casefold() for login in found if not login.endswith(BOT))
    if people and runner.run_attempt != FIRST and not (await github.environment(name)).reviewers:
        return frozenset()
    return people


def _refusal(name: str, people: Iterable[Person], objections: Iterable[str]) -> NotPermittedError:
    lacking = [person for person in people if not person.maintains]
    reasons = " ".join(filter(None, [_sentence(lacking), *objections]))
    return NotPermittedError(
        f"It is protected: changing it by hand needs the role {NEEDED}, or another person's approval "
        f"of the run. {reasons}",
        where=name,
        advice=(
            f"Nothing was changed. Ask somebody with the role {NEEDED} to start the workflow; or, "
            f"where the GitHub environment {name} has reviewers, start it again and have one of them "
            "approve it."
        ),
    )


def _sentence(people: list[Person]) -> str:
    return f"{'; '.join(map(str, people))}." if people else ""


def _explained(error: GitHubError) -> str:
    """Return an error with its hint, which names the permission that GitHub requires."""
    return f"{error.what} {error.advice}".strip()


def _refused(runner: Runner, name: str, error: NotPermittedError) -> DeployOutcome:
    return DeployOutcome(
        environment=name,
        outcome=Result.REFUSED,
        word=error.word,
        message=str(error),
        run_url=runner.run_url,
    )
