"""What people are told in a chat or by mail: short messages about facts that need somebody. Pure.

Texts hold names and errors of others, so none of them may notify a channel's members, or show one
address as another: both are signs of the chat, not of the person who reads.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from roost.environment.notify import Fact
from roost.errors import BadDocumentError, RoostError
from roost.errors.command import TYPED, rendered
from roost.plan.drift import Cause
from roost.report.drift import DriftResult
from roost.report.issue import Change
from roost.report.outcome import DeployOutcome, Result, result_of
from roost.report.wording import one_line

MOST_HANDED = 100_000
"""Bytes that are handed from job to job: a variable of a step is limited to 128 KB."""
LONGEST_TEXT = 600
_TEXTS = (LONGEST_TEXT, 200, 60)
"""How long texts may be where many facts are handed on."""
MOST_TEXT = 1700
"""Discord refuses more than 2,000 characters, the title included."""
_ENDINGS = {
    Result.FAILED: "the deploy failed",
    Result.ROLLED_BACK: "the deploy failed and was rolled back",
    Result.NOT_ROLLED_BACK: "the deploy failed and was not rolled back",
    Result.MISSING: "the deploy did not run",
    Result.REFUSED: "the deploy was refused",
}


class Notice(BaseModel):
    """One fact, for those who want to be told.

    Args:
        fact: what it is about.
        environment: the environment; empty if it is about all.
        title: where and what, in a few words.
        text: what happened, and the next step.
        link: the address of the run.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fact: Fact
    environment: Annotated[str, Field(max_length=200)] = ""
    title: Annotated[str, Field(max_length=500)]
    text: Annotated[str, Field(max_length=20_000)] = ""
    link: Annotated[str, Field(max_length=500)] = ""

    def short_document(self, most: int = LONGEST_TEXT) -> dict[str, Any]:
        """Return the JSON form, with what a message has room for."""
        cut = self.model_copy(update={"text": _cut(self.text, most)})
        return cut.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True)
class Message:
    """What one address gets."""

    title: str
    body: str


_NOTICES = TypeAdapter(tuple[Notice, ...])


def handed_on(notices: Sequence[Notice]) -> tuple[str, int]:
    """Return notices as JSON for another job, and how many had no room even with short texts."""
    for most in _TEXTS:
        written = [json.dumps(notice.short_document(most)) for notice in notices]
        if sum(len(one) + 2 for one in written) <= MOST_HANDED:
            return _listed(written), 0
    shortest = [json.dumps(notice.short_document(_TEXTS[-1])) for notice in notices]
    sizes = list(accumulate(len(one) + 2 for one in shortest))
    kept = bisect_right(sizes, MOST_HANDED)
    return _listed(shortest[:kept]), len(notices) - kept


def _listed(written: Iterable[str]) -> str:
    return f"[{', '.join(written)}]"


def read_notices(text: str, where: str) -> tuple[Notice, ...]:
    """Read what another job wrote.

    Raises:
        BadDocumentError: it is no list of notices.
    """
    try:
        return _NOTICES.validate_json(text)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise BadDocumentError(
            f"It is no list of messages: {place or 'the whole document'} has another form.",
            where=where,
        ) from error


def message_of(notices: Sequence[Notice]) -> Message:
    """Return one message about one or more facts; what has no room is counted."""
    if len(notices) == 1:
        (notice,) = notices
        return Message(f"[Roost] {plain_text(notice.title)}", _section(notice))
    parts: list[str] = []
    room = MOST_TEXT
    for number, notice in enumerate(notices):
        part = f"{plain_text(notice.title)}\n{_section(notice)}"
        if len(part) > room:
            parts.append(f"{len(notices) - number} more: see the run.")
            break
        parts.append(part)
        room -= len(part) + 2
    return Message(f"[Roost] {len(notices)} facts need somebody", "\n\n".join(parts))


def _section(notice: Notice) -> str:
    text = plain_text(_cut(notice.text, LONGEST_TEXT))
    return "\n".join(part for part in (text, notice.link) if part)


def plain_text(text: str) -> str:
    """Return a text on one line that mentions nobody and has no link under another name.

    Chats find mentions by `@`, and links by `](`; an invisible space follows each.
    """
    line = one_line(rendered(text, TYPED))
    return line.replace("@", "@\u200b").replace("](", "]\u200b(")


def _cut(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def deploy_notices(outcomes: Iterable[DeployOutcome], run_url: str) -> tuple[Notice, ...]:
    """Return what is told of deploys: each that somebody has to look at."""
    return tuple(
        _deploy_notice(outcome, run_url) for outcome in outcomes if not outcome.outcome.good
    )


def _deploy_notice(outcome: DeployOutcome, run_url: str) -> Notice:
    awaited = outcome.awaits_approval
    what = "a person has to approve the plan" if awaited else _ENDINGS[outcome.outcome]
    return Notice(
        fact="approval" if awaited else "failed",
        environment=outcome.environment,
        title=f"{outcome.environment}: {what}",
        text=_cut(outcome.message, LONGEST_TEXT),
        link=outcome.run_url or run_url,
    )


def waiting_notice(environment: str, reviewers: Sequence[str], run_url: str) -> Notice:
    """Return what is told of a deploy that waits until a reviewer approves its job."""
    who = f"One of {', '.join(reviewers)} approves it" if reviewers else "A reviewer approves it"
    return Notice(
        fact="approval",
        environment=environment,
        title=f"{environment}: the deploy waits for an approval",
        text=_cut(f"{who} in the run, under Review deployments.", LONGEST_TEXT),
        link=run_url,
    )


def drift_notices(
    changes: Iterable[Change], results: Iterable[DriftResult], run_url: str
) -> tuple[Notice, ...]:
    """Return what is told of issues: each that opens, or says something new.

    A server that is down differs from its file too; only that it is down is told.
    """
    news = [change.topic for change in changes if change.is_news]
    down = {topic.environment for topic in news if topic.fact == "down"}
    stopped = {
        result.environment
        for result in results
        if result.differences
        and all(difference.cause is Cause.NOT_RUNNING for difference in result.differences)
    }
    return tuple(
        Notice(
            fact=topic.fact,
            environment=topic.environment,
            title=topic.title,
            text=_cut(topic.plain, LONGEST_TEXT),
            link=run_url,
        )
        for topic in news
        if topic.fact != "drift" or topic.environment not in down & stopped
    )


def drill_notice(environment: str, error: RoostError) -> Notice:
    """Return what is told of a drill that restored no backup, whatever the reason."""
    return Notice(
        fact="backup",
        environment=environment,
        title=f"{environment}: the backup drill failed",
        text=_cut(str(error), LONGEST_TEXT),
    )


def apply_notice(environment: str, error: RoostError) -> Notice | None:
    """Return what is told of an apply by hand that changed a server and failed, else None."""
    result = result_of(error)
    if result not in {Result.ROLLED_BACK, Result.NOT_ROLLED_BACK}:
        return None
    return Notice(
        fact="failed",
        environment=environment,
        title=f"{environment}: {_ENDINGS[result]}",
        text=_cut(str(error), LONGEST_TEXT),
    )


def broken_notice(job: str, run_url: str) -> Notice:
    """Return what is told of a job of Deploy that failed before it could say what was deployed."""
    return Notice(
        fact="failed",
        title=f"Deploy: the job {_cut(job, 100)} failed",
        text="Not all of the merge may be deployed. See the log of the job, and run it again.",
        link=run_url,
    )


def trial_notice(environment: str) -> Notice:
    """Return the message of `roost notify ENV --test`."""
    return Notice(
        fact="failed",
        environment=environment,
        title=f"{environment}: a test message",
        text="Messages about this environment arrive here. Nothing is wrong, and nothing is to do.",
    )
