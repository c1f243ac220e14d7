"""`roost github permit`: whether whoever started a run may change a protected environment.

Everybody with write access may run workflows, and GitHub offers reviewers of deployments only for
public repositories and on its Enterprise plan. So this asks GitHub in the job itself, after any
reviewer and before any step that holds a token. It changes nothing, and refuses where GitHub does
not answer.
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
from roost.report.outcome import Outcome, Result
from roost.workflows.job import need_runner
from roost.workflows.merges import PUSH, branch_of
from roost.workflows.remote_checkout import UntoldError, open_head
from roost.workflows.superseded import DEPLOY, decides

UNATTENDED = frozenset({PUSH, "schedule"})
"""Events that no person starts by a button; what a push may change is decided by its approval."""
HARMLESS = frozenset({"smoke", "wake"})
"""Verbs that change nothing: a request wakes a server as well, and a smoke test cleans up."""
FIRST = "1"
"""The number of a run's first attempt; every later one was started by a person."""
BOT = "[bot]"
"""Ends the name of an App, or of a workflow's own token. No person can have such a name."""
NEEDED = "maintain or admin"


@dataclass(frozen=True)
class Person:
    """One of those who started a run, and what GitHub says of them.

    Args:
        login: the name.
        started: how, such as `ran it again`.
        role: in the repository.
        maintains: whether that role is enough by itself.
    """

    login: str
    started: str
    role: str
    maintains: bool

    def __str__(self) -> str:
        return f"{self.login}, who {self.started}, has {self.role}"


async def permit(context: Context, name: str, doing: str, results: Path | None) -> ExitCode:
    """Check that whoever started this run may change an environment.

    Args:
        context: where things are, and where to print.
        name: of the environment.
        doing: what is to be done, where a verb is chosen by whoever starts the run.
        results: where a refusal is written as an outcome, for the job that reports; None for nowhere.

    Raises:
        UsageError: this is no run of a workflow.
        NotPermittedError: they may not, or GitHub does not say that they may.
        MissingTokenError: GITHUB_TOKEN is not set.
    """
    runner = need_runner(context)
    try:
        told = await _check(context, runner, name, doing)
    except NotPermittedError as error:
        if results:
            write_document(results, name, _refused(runner, name, error).document())
        raise
    context.out.print(told, markup=False, soft_wrap=True)
    return ExitCode.DONE


async def _check(context: Context, runner: Runner, name: str, doing: str) -> str:
    """Return why they may.

    Raises:
        NotPermittedError: they may not.
    """
    file = load_environment(name, context.environments)
    if doing in HARMLESS:
        return f"{doing} changes nothing: whoever may run workflows may do it."
    started = started_by(runner, name)
    if not started:
        return f"No person started this run: the {runner.event_name} did."
    anybody = f"{name} is not protected: whoever may run workflows may change it."
    if not file.environment.protected and runner.run_attempt == FIRST:
        return anybody
    async with github_of(context.environ) as github:
        if not await _is_protected(context, github, runner, file):
            return anybody
        return await _check_people(github, runner, name, started)


def started_by(runner: Runner, name: str) -> dict[str, str]:
    """Return who started this attempt of a run, and how; nobody where GitHub did so by itself.

    A run has its actor in every attempt, and acts with that person's rights. A later attempt also
    has whoever ran it again: both have to be permitted, but for what no person started at first.

    Raises:
        NotPermittedError: the run does not say.
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
            "The run does not say who started it.",
            where=name,
            advice="Nothing was changed. Update the runner, then start the workflow anew.",
        )
    return found


async def _is_protected(
    context: Context, github: GitHub, runner: Runner, file: EnvironmentFile
) -> bool:
    """Return whether an environment is protected, in this commit or by now.

    A run that is started again has the files of its own commit, which may be 30 days old. What the
    branch has by now and cannot be read counts as protected.
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
    except (UntoldError, RoostError):
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
            objections.append(f"GitHub did not say what {login} may do: {_said(error)}")
    if not objections and all(person.maintains for person in people):
        return f"{name} is protected. {_sentence(people)}"
    try:
        reviewers = await reviewers_of(github, runner, name)
    except GitHubError as error:
        raise _refusal(
            name, people, [*objections, f"GitHub did not say who approved it: {_said(error)}"]
        ) from error
    own = sorted(reviewers & {login.casefold() for login in started})
    others = sorted(reviewers.difference(own))
    # Of a later attempt nobody knows which review let it go on; their own may have, and the
    # others' be of an earlier one.
    if others and (not own or runner.run_attempt == FIRST):
        return f"{name} is protected, and {', '.join(others)} approved this run."
    objections += [f"An approval by {login} does not count for their own run." for login in own]
    raise _refusal(name, people, objections)


async def _person(github: GitHub, login: str, how: str) -> Person:
    """Ask for what somebody may do; an App, or the token of a workflow, is nobody with a role."""
    found = None if login.endswith(BOT) else await github.collaborator(login)
    if found is None:
        return Person(login, how, "no role here", maintains=False)
    role = found.role or found.permission or "none"
    return Person(login, how, f"the role {role}", found.maintains)


async def reviewers_of(github: GitHub, runner: Runner, name: str) -> frozenset[str]:
    """Return the people who approved this run for an environment, in small letters.

    GitHub lists the reviews of all attempts of a run, and asks for a new one at each, as long as
    the environment wants any. Where it no longer does, one of an earlier attempt does not count.

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
    said = " ".join(filter(None, [_sentence(lacking), *objections]))
    return NotPermittedError(
        f"It is protected: to change it by hand needs the role {NEEDED}, or another person's approval "
        f"of the run. {said}",
        where=name,
        advice=(
            f"Nothing was changed. Ask somebody with the role {NEEDED} to start the workflow; or, "
            f"where the GitHub environment {name} has reviewers, start it anew and have one of them "
            "approve it."
        ),
    )


def _sentence(people: list[Person]) -> str:
    return f"{'; '.join(map(str, people))}." if people else ""


def _said(error: GitHubError) -> str:
    """What GitHub said, and which permission would help, as the refusal itself tells."""
    return f"{error.what} {error.advice}".strip()


def _refused(runner: Runner, name: str, error: NotPermittedError) -> Outcome:
    return Outcome(
        environment=name,
        outcome=Result.REFUSED,
        word=error.word,
        message=str(error),
        run_url=runner.run_url,
    )
