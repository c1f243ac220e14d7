"""The issues about a server that is down, a month over its budget, and a failed deploy. Pure.

They open, stay and close as those about drift do, in issue.py, and so each is reported once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from roost.environment.flow_units import split_name
from roost.environment.notify import Fact
from roost.errors.command import TYPED, Command, rendered
from roost.github.models import Issue
from roost.report.drift import BudgetFound, DriftResult, RunResult, budget_line, plain
from roost.report.issue import Seen, Topic, at_run, last_line, marked, read_marker
from roost.report.markdown import code, text, unmarked_text


@dataclass(frozen=True)
class Kind:
    """One kind of issue: what its marker and its title begin with, and what kind of message tells of it."""

    prefix: str
    title: str
    fact: Fact

    def about(self, name: str) -> str:
        """Return what the marker of an environment's issue says."""
        return f"{self.prefix}{name}"


DOWN = Kind("down/", "Down", "down")
BUDGET = Kind("budget/", "Budget", "budget")
DEPLOY = Kind("deploy/", "Deploy", "failed")


def standing_topics(
    results: Iterable[DriftResult],
    run: RunResult,
    known: Mapping[str, Sequence[Issue]],
    seen: Seen,
    later: Collection[str] = (),
) -> tuple[Topic, ...]:
    """Return the content of these issues; nothing about what was not read.

    Args:
        results: the latest result of each environment.
        run: what the run found apart from them.
        known: the existing issues by what they are about.
        seen: the time and the run.
        later: the environments that this run heals at once, whose servers are reported afterwards.
    """
    found = tuple(results)
    unread = {split_name(result.environment)[0] for result in found if result.state == "error"}
    down = [down_topic(result, seen) for result in found if result.state != "error"]
    topics = [*down, *(_budget_topic(budget, known, seen) for budget in run.budgets)]
    said = {topic.about for topic in topics}
    now = [topic for topic in topics if topic not in down or topic.environment not in later]
    gone = [] if run.notes else [*_without_file(known, run, seen)]
    return (*now, *_left(known, said, unread, seen), *gone)


def _budget_topic(found: BudgetFound, known: Mapping[str, Sequence[Issue]], seen: Seen) -> Topic:
    issues = known.get(BUDGET.about(found.environment), ())
    marker = read_marker(issues[0].body) if issues else None
    return budget_topic(found, seen, marker.digest if marker else "")


def _left(
    known: Iterable[str], said: Collection[str], unread: Collection[str], seen: Seen
) -> Iterator[Topic]:
    """Close the issues about what is no longer there: a file, a flow server or a budget."""
    for about in sorted(set(known) - set(said)):
        for kind in (DOWN, BUDGET):
            name = about.removeprefix(kind.prefix)
            if name != about and split_name(name)[0] not in unread:
                what = "has no budget any more" if kind is BUDGET else "is gone"
                yield closed_topic(kind, name, f"{code(name)} {what}.", seen)


def _without_file(known: Iterable[str], run: RunResult, seen: Seen) -> Iterator[Topic]:
    """Close the issues about deploys of environments that no file describes any more."""
    for about in sorted(known):
        name = about.removeprefix(DEPLOY.prefix)
        if name != about and name not in run.environments:
            yield closed_topic(DEPLOY, name, f"{code(name)} has no file any more.", seen)


def down_topic(result: DriftResult, seen: Seen) -> Topic:
    """Return the issue of a server that is down, or of one that is not."""
    name = result.environment
    if not result.down:
        return closed_topic(DOWN, name, f"{code(name)} is not down.", seen)
    steps = (
        f"See its state: `{Command('status', plain(split_name(name)[0]))}`",
        f"To start it again as its file says: `{Command('drift', plain(name), '--heal')}`",
    )
    return open_topic(DOWN, name, f"{code(name)} is down: {text(result.down)}", steps, "down", seen)


def budget_topic(found: BudgetFound, seen: Seen, told: str = "") -> Topic:
    """Return the issue of an environment's budget in this month.

    Args:
        found: the month.
        seen: the time and the run.
        told: the digest of the existing issue. A closed one keeps it: a forecast near the budget passes
            it again and again, and a month is told once.
    """
    name, headline = found.environment, text(budget_line(found))
    if not found.over:
        return closed_topic(BUDGET, name, headline, seen, told)
    steps = (
        f"See what it is paid for: `{Command('cost', plain(name))}`",
        f"See when it was awake: `{Command('status', '--html', 'fleet.html')}`",
        "Let it sleep more, make its machine smaller, or raise budget.monthly_usd.",
    )
    # With the month in it, the budget of the next month is reported again.
    digest = f"{found.month} {found.monthly_usd}"
    return open_topic(BUDGET, name, headline, steps, digest, seen)


def open_topic(  # noqa: PLR0913, PLR0917 - the parts of an issue
    kind: Kind,
    name: str,
    headline: str,
    steps: Sequence[str],
    digest: str,
    seen: Seen,
    *,
    found: Sequence[str] = (),
    workflow: str = "drift",
) -> Topic:
    """Return an open issue.

    Args:
        kind: what it is about.
        name: the environment.
        headline: what is wrong, as Markdown.
        steps: what to do, as text.
        digest: see `Marker`.
        seen: the time and the run.
        found: paragraphs of Markdown between the headline and the steps.
        workflow: the workflow that keeps it up to date.
    """
    lines = [f"- {text(rendered(step, TYPED))}" for step in steps]
    todo = "\n".join(["\n### What to do\n", *lines])
    about = kind.about(name)
    return Topic(
        about=about,
        title=f"{kind.title}: {name}",
        is_open=True,
        body=marked(
            about,
            digest,
            seen,
            [
                headline,
                *(f"\n{part}" for part in found),
                todo,
                *last_line(seen, is_open=True, workflow=workflow),
            ],
        ),
        digest=digest,
        news=f"{headline} {at_run(seen)}",
        run=seen.run,
        fact=kind.fact,
        environment=name,
        plain=unmarked_text([headline, lines[0]]),
    )


def closed_topic(  # noqa: PLR0913 - the parts of an issue
    kind: Kind,
    name: str,
    headline: str,
    seen: Seen,
    digest: str = "",
    *,
    workflow: str = "drift",
) -> Topic:
    """Return a closed issue, whose headline says why."""
    about = kind.about(name)
    return Topic(
        about=about,
        title=f"{kind.title}: {name}",
        is_open=False,
        body=marked(
            about, digest, seen, [headline, *last_line(seen, is_open=False, workflow=workflow)]
        ),
        digest=digest,
        news=f"{headline} {at_run(seen)}",
        run=seen.run,
        fact=kind.fact,
        environment=name,
    )
