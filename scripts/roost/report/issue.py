"""The issue of an environment that differs: what it says, and when it is opened, closed or reopened.

There is one for each environment, for ever: found again by its label and by the marker in its
first line, which says what it is about and what was told last. Only issues that the workflows' own
login opened count, because anybody may open one that looks the same. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from roost.github.models import ACTIONS_BOT, Issue
from roost.plan.drift import only_apply_ends
from roost.report.drift import (
    DriftResult,
    OrphanFound,
    Read,
    RunResult,
    TokenFound,
    fitted,
    found_part,
    orphan_line,
    plain,
    to_do,
    token_line,
)
from roost.report.hints import as_typed
from roost.report.markdown import code, text
from roost.report.plan_layout import LIMIT
from roost.report.wording import counted

LABEL = "roost-drift"
LABEL_COLOR = "d93f0b"
LABEL_TEXT = "Live differs from what environments/ asks for"
TOKEN = "token"  # noqa: S105 - what an issue is about
_MARKER = re.compile(r"\A<!-- roost-drift (\{[^\n]{0,1000}\}) -->")
# An orphan's environment is what somebody wrote into a machine's metadata.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_BLANKS = re.compile(r"\n{3,}")
_OPEN, _CLOSED = "open", "closed"


class Marker(Read):
    """What the first line of an issue says of it."""

    about: str
    """`environment/NAME`, or `token`."""
    told: str = ""
    """A mark of what was told last: while it stays, there is nothing new to say."""
    run: int = 0
    """The run that wrote it. An older one, which waited for a reviewer, knows less and leaves it."""


@dataclass(frozen=True)
class Seen:
    """When it was looked, and in which run."""

    when: datetime
    run_url: str = ""

    @property
    def run(self) -> int:
        """The number of the run, which GitHub counts up; 0 outside of one."""
        number = self.run_url.rpartition("/")[2]
        return int(number) if number.isascii() and number.isdigit() else 0

    @property
    def line(self) -> str:
        """Report both."""
        run = f", in [this run]({self.run_url})" if self.run_url else ""
        return f"{self.when:%Y-%m-%d %H:%M} UTC{run}"


@dataclass(frozen=True)
class Topic:
    """What there is to say of one thing now.

    Args:
        about: see Marker.
        title: never changes.
        is_open: whether somebody has to know.
        body: all of it, with the marker.
        told: see Marker.
        news: one line, for when that changes.
        run: see Marker.
    """

    about: str
    title: str
    is_open: bool
    body: str
    told: str
    news: str
    run: int = 0


@dataclass(frozen=True)
class Change:
    """What is to be done: to a new issue where it has no number."""

    topic: Topic
    number: int = 0
    state: str = ""
    """Empty where it stays."""
    comment: str = ""
    duplicates: tuple[int, ...] = field(default=())
    """Open ones about the same, to be closed."""

    @property
    def word(self) -> str:
        """What is done, for people."""
        if not self.number:
            return "opened"
        return {_OPEN: "reopened", _CLOSED: "closed"}.get(self.state, "updated")


def changes(topics: Iterable[Topic], issues: Iterable[Issue]) -> tuple[Change, ...]:
    """Return what brings the issues to what there is to say; nothing for what was closed and is fine."""
    known = known_issues(issues)
    found = (_change(topic, known.get(topic.about, ())) for topic in topics)
    return tuple(change for change in found if change)


def known_issues(issues: Iterable[Issue]) -> Mapping[str, tuple[Issue, ...]]:
    """Return the issues that count by what they are about, the oldest first."""
    known: dict[str, tuple[Issue, ...]] = {}
    for issue in sorted(issues, key=lambda issue: issue.number):
        marker = read_marker(issue.body)
        if marker and issue.author == ACTIONS_BOT and not issue.is_pull and LABEL in issue.labels:
            known[marker.about] = (*known.get(marker.about, ()), issue)
    return known


def _change(topic: Topic, issues: Sequence[Issue]) -> Change | None:
    if not issues:
        return Change(topic) if topic.is_open else None
    first, *others = issues
    duplicates = tuple(issue.number for issue in others if issue.state == _OPEN)
    was_open = first.state == _OPEN
    marker = read_marker(first.body)
    if marker is not None and marker.run > topic.run > 0:
        return None
    if topic.is_open:
        new = not was_open or marker is None or marker.told != topic.told
        state = "" if was_open else _OPEN
        return Change(topic, first.number, state, topic.news if new else "", duplicates)
    if was_open or duplicates:
        return Change(topic, first.number, _CLOSED, topic.news if was_open else "", duplicates)
    return None


def read_marker(body: str) -> Marker | None:
    """Read the first line of an issue; None where it is none of ours."""
    found = _MARKER.match(body)
    if found is None:
        return None
    try:
        return Marker.model_validate_json(found[1])
    except ValidationError:
        return None


def _marked(about: str, told: str, seen: Seen, lines: Iterable[str]) -> str:
    """Put the marker before a text; nothing in it can end the comment that it stands in."""
    written_by = {"run": seen.run} if seen.run else {}
    said = json.dumps({"about": about, "told": told, **written_by}, separators=(",", ":"))
    hidden = said.replace("<", "\\u003c").replace(">", "\\u003e")
    written = "\n".join([f"<!-- roost-drift {hidden} -->", *lines])
    return _BLANKS.sub("\n\n", f"{written}\n")


def topics(
    results: Iterable[DriftResult],
    run: RunResult,
    known: Iterable[str],
    seen: Seen,
) -> tuple[Topic, ...]:
    """Return all there is to say: of each environment that was looked at or is gone, and of the token.

    Args:
        results: of each environment the last one; one without a result is not spoken of.
        run: what was found beside them.
        known: what there are issues about.
        seen: when, and in which run.
    """
    by_name = {result.environment: result for result in results}
    orphans: dict[str, tuple[OrphanFound, ...]] = {}
    for orphan in run.orphans:
        if _NAME.fullmatch(orphan.environment):
            orphans[orphan.environment] = (*orphans.get(orphan.environment, ()), orphan)
    had = {about.removeprefix(_ENVIRONMENT) for about in known if about.startswith(_ENVIRONMENT)}
    gone = had - {*by_name, *orphans, *run.environments}
    found = [
        environment_topic(name, by_name.get(name), orphans.get(name, ()), seen)
        for name in sorted({*by_name, *orphans})
    ]
    if not run.notes:  # where something could not be looked at, its app may be there
        found += [gone_topic(name, seen) for name in sorted(gone)]
    return (*found, token_topic(run.token, seen))


_ENVIRONMENT = "environment/"


def environment_topic(
    name: str, result: DriftResult | None, orphans: Sequence[OrphanFound], seen: Seen
) -> Topic:
    """Return how an environment stands.

    Args:
        name: the environment's.
        result: what was found; None for one whose file is gone.
        orphans: apps that were made for it, and that its file does not mean.
        seen: when, and in which run.
    """
    is_open = bool(orphans) or (result is not None and result.state in {"drift", "error"})
    headline = _headline(name, result, orphans)
    lines = [headline, ""]
    tail = [*_steps(name, result, orphans), *_last(seen, is_open=is_open)]
    if result is not None and is_open:
        room = LIMIT - sum(map(len, [*lines, *tail])) - 2000
        lines.append(found_part(result, room))
    about, told = f"{_ENVIRONMENT}{name}", _mark(result, orphans)
    body = _marked(about, told, seen, [*lines, *tail])
    return Topic(about, f"Drift: {name}", is_open, body, told, f"{headline} {_at(seen)}", seen.run)


def gone_topic(name: str, seen: Seen) -> Topic:
    """Report that neither the file nor the app of an environment is there any more."""
    headline = f"{code(name)} is gone: it has no file, and no app."
    about = f"{_ENVIRONMENT}{name}"
    body = _marked(about, "gone", seen, [headline, *_last(seen, is_open=False)])
    news = f"{headline} {_at(seen)}"
    return Topic(about, f"Drift: {name}", False, body, "gone", news, seen.run)  # noqa: FBT003 - it is closed


def token_topic(token: TokenFound, seen: Seen) -> Topic:
    """Return when the token of the schedule ends."""
    headline = text(token_line(token))
    lines = [headline]
    if token.soon:
        lines += [
            "",
            "### What to do",
            "",
            "- Make another one: `fly tokens create readonly ORGANIZATION -x 2160h`",
            "- Put it where the job finds it: `gh secret set FLY_API_TOKEN --env plan`",
            "- The deploy tokens of the other GitHub environments may end about then, too.",
        ]
    told = token.ends.isoformat() if token.ends else ""
    body = _marked(TOKEN, told, seen, [*lines, *_last(seen, is_open=token.soon)])
    news = f"{headline} {_at(seen)}"
    return Topic(TOKEN, "Fly token ends soon", token.soon, body, told, news, seen.run)


def _headline(name: str, result: DriftResult | None, orphans: Sequence[OrphanFound]) -> str:
    if result is None:
        return f"{code(name)} is orphaned: its file is gone, and its app is not."
    app = f" (app {code(result.app)})" if result.app else ""
    said = _said(result)
    beside = (
        f" {counted(len(orphans), 'app')} of it that its file does not mean." if orphans else ""
    )
    return f"{code(name)}{app} {said}{beside}"


def _said(result: DriftResult) -> str:
    count = counted(len(result.differences), "difference")
    if result.state == "healed":
        return "is healed, and proved."
    if result.state == "clean":
        return "is as its file asks."
    if result.state == "new":
        return "was never deployed."
    if result.state == "drift":
        return f"is not as its file asks: {count}."
    word = code(result.error.word[:100] if result.error else "error")
    if result.differences:
        return f"is not as its file asks, and putting it back ended with {word}: {count}."
    return f"cannot be compared: {word}."


def _steps(name: str, result: DriftResult | None, orphans: Sequence[OrphanFound]) -> Iterator[str]:
    told = [f"{orphan_line(orphan)} {_removal(name, orphan)}" for orphan in orphans]
    if result is not None and result.state == "drift":
        told += _advice(name, result)
    if result is not None and result.state == "error":
        told.append("Mend what the error says. The next run of the schedule looks again.")
    if told:
        lines = [f"- {text(line)}" for line in told]
        yield f"\n### What to do\n\n{fitted(lines, LIMIT // 4, 'app')}"


def _removal(name: str, orphan: OrphanFound) -> str:
    if "file is gone" not in orphan.why:
        return (
            f"Look at what it holds, then remove it by hand: `fly apps destroy {plain(orphan.app)}`"
        )
    return (
        f"To remove it after a last snapshot, put the file back, run `./run roost destroy "
        f"{plain(name)}`, and remove the file again."
    )


def _advice(name: str, result: DriftResult) -> Iterator[str]:
    if result.heal or result.end:
        what = "what was changed" if result.heal else "what the override left"
        if result.protected:
            yield (
                f"If the run below waits for a reviewer, approve it: it puts back {what}, and says so here."
            )
            return
        yield f"Nothing: the schedule puts back {what}, and says so here."
        return
    if result.by_button:
        yield (
            "It is protected, so the schedule leaves it to a person with the role maintain or admin, or "
            "to one whose run a reviewer approves. To put it back: under Actions, "
            f"Drift, Run workflow; or by hand `./run roost drift {plain(name)} --heal`"
        )
        return
    if only_apply_ends(result.differences):
        command = f"`./run roost apply {plain(name)}`"
        yield f"The file moved on. An apply brings that, and puts back the rest: {command}"
        return
    causes = {difference.cause for difference in result.differences}
    yield from (as_typed(line, local=False) for line in to_do(plain(name), causes))


def _last(seen: Seen, *, is_open: bool) -> Iterator[str]:
    keeps = "It is kept up to date by the drift workflow"
    yield f"\n---\n\nLast looked at {seen.line}. {keeps}{', and closes by itself' if is_open else ', and opens again by itself'}."


def _at(seen: Seen) -> str:
    return f"([run]({seen.run_url}))" if seen.run_url else f"({seen.when:%Y-%m-%d %H:%M} UTC)"


def _mark(result: DriftResult | None, orphans: Sequence[OrphanFound]) -> str:
    """Return a mark of what matters: not of times, request ids or the order of things."""
    told: dict[str, Any] = {"orphans": sorted(orphan.app for orphan in orphans)}
    if result is not None:
        differences = [difference.model_dump(mode="json") for difference in result.differences]
        told["differences"] = sorted(json.dumps(found, sort_keys=True) for found in differences)
        told["open"] = result.state in {"drift", "error"}
        if result.error:
            told["error"] = result.error.word
            told["faults"] = sorted(f"{f.path}: {f.message}" for f in result.error.faults)
    written = json.dumps(told, sort_keys=True)
    return hashlib.sha256(written.encode(errors="backslashreplace")).hexdigest()[:16]
