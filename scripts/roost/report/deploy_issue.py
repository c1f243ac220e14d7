"""The issue of a deploy that failed, one for each environment; the next good one closes it. Pure.

It is found, opened, closed and reopened as those about drift are, in issue.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from roost.errors.command import TYPED, Command, rendered
from roost.report.issue import Seen, Topic
from roost.report.markdown import code, is_plain_url, text
from roost.report.outcome import DeployOutcome, Result
from roost.report.standing_issues import DEPLOY, closed_topic, open_topic

WORKFLOW = "deploy"
SHA_SHOWN = 10
MOST_MESSAGE = 4000
_HEADLINES = {
    Result.REFUSED: "was refused. Nothing was changed.",
    Result.FAILED: "failed.",
    Result.ROLLED_BACK: "failed and was rolled back.",
    Result.NOT_ROLLED_BACK: "failed and was **not** rolled back.",
    Result.MISSING: "did not run, or ended before it could report.",
}
_STANDS = {
    Result.REFUSED: "It runs what it ran before; main asks for something else.",
    Result.FAILED: "What was done before the error stays, and the rest was not done.",
    Result.ROLLED_BACK: "It runs the release from before this deploy; main asks for something else.",
    Result.NOT_ROLLED_BACK: "It may run parts of two releases, or none.",
    Result.MISSING: "It is not known whether anything was changed.",
}


@dataclass(frozen=True)
class Known:
    """What GitHub knows of an environment.

    Args:
        sha: the commit that was deployed and proved last; empty if there is none.
        pull: the pull request that asked for this deploy; 0 if none is known.
    """

    sha: str = ""
    pull: int = 0


def needs_issue(outcome: DeployOutcome) -> bool:
    """Return whether a deploy failed; a plan that waits for an approval has not."""
    return not outcome.outcome.good and not outcome.awaits_approval


def deploy_topics(
    outcomes: Iterable[DeployOutcome], known: Mapping[str, Known], seen: Seen
) -> tuple[Topic, ...]:
    """Return the content of the issues; none for an environment whose issue stays as it is.

    A deploy that waits for an approval, was left to a newer commit, or applied one of several plans
    neither opens nor closes an issue.

    Args:
        outcomes: the outcome of each environment.
        known: what GitHub knows of the environments that failed, by name.
        seen: the time and the run.
    """
    return tuple(_topics(outcomes, known, seen))


def _topics(
    outcomes: Iterable[DeployOutcome], known: Mapping[str, Known], seen: Seen
) -> Iterator[Topic]:
    for outcome in outcomes:
        if needs_issue(outcome):
            yield _failed(outcome, known.get(outcome.environment, Known()), seen)
        elif outcome.outcome in {Result.DEPLOYED, Result.UNCHANGED} and not outcome.left:
            headline = f"{code(outcome.environment)} {_good(outcome)}"
            yield closed_topic(DEPLOY, outcome.environment, headline, seen, workflow=WORKFLOW)


def _good(outcome: DeployOutcome) -> str:
    if outcome.unproved:
        return "was deployed. It sleeps, so the gate has not proved it yet."
    if outcome.outcome is Result.UNCHANGED:
        return "has what main asks for: there was nothing to deploy."
    return "was deployed and proved."


def _failed(outcome: DeployOutcome, known: Known, seen: Seen) -> Topic:
    name = outcome.environment
    word = f" ({code(outcome.word)})" if outcome.word else ""
    headline = f"The deploy of {code(name)} {_HEADLINES[outcome.outcome]}{word}"
    steps = _steps(outcome)
    found = tuple(_found(outcome, known))
    # The words of an error may have times and identifiers in them.
    mark = hashlib.sha256(f"{outcome.outcome} {outcome.word} {outcome.digest}".encode())
    return open_topic(
        DEPLOY,
        name,
        headline,
        tuple(steps),
        mark.hexdigest()[:16],
        seen,
        found=found,
        workflow=WORKFLOW,
    )


def _found(outcome: DeployOutcome, known: Known) -> Iterator[str]:
    """Yield what happened, and what stands where."""
    if outcome.message:
        yield f"### What happened\n\n{text(rendered(outcome.message[:MOST_MESSAGE], TYPED))}"
    app = [f"- App: {code(outcome.app)}"] if outcome.app else []
    last = f"commit {code(known.sha[:SHA_SHOWN])}" if known.sha else "none that GitHub recorded"
    pull = [f"- Asked for by: #{known.pull}"] if known.pull else []
    link = outcome.run_url
    run = [f"- Run: [{link.rpartition('/')[2]}]({link})"] if is_plain_url(link) else []
    lines = [f"- {_STANDS[outcome.outcome]}", *app, f"- Proved last: {last}", *pull, *run]
    yield "\n".join(["### What stands where", "", *lines])


def _steps(outcome: DeployOutcome) -> Iterator[str]:
    name = outcome.environment
    yield f"See which release each machine runs: `{Command('status', name)}`"
    if outcome.outcome is Result.NOT_ROLLED_BACK:
        yield (
            "To restore an earlier release: under Actions, Roll back, Run workflow; or by hand "
            f"`{Command('rollback', name)}`"
        )
    yield (
        "Correct the cause. Then run the failed jobs of the run again, or merge a pull request that "
        "changes the environment."
    )
