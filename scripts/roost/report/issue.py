"""The drift issue of an environment: its text, and when it is opened, closed or reopened. Pure.

Each environment has one issue, which is reused. It is found by its label and by the marker in its first
line, which says what it is about and what it reported last. Only issues of the workflows' own login
count, because anybody can open one that looks the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import AliasChoices, Field, ValidationError

from roost.environment.flow_units import split_name
from roost.environment.notify import Fact
from roost.errors.command import TYPED, Command, rendered
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
from roost.report.markdown import code, text, unmarked_text
from roost.report.plan_layout import LIMIT
from roost.report.wording import counted

LABEL = "roost-drift"
LABEL_COLOR = "d93f0b"
LABEL_TEXT = "Live differs from what environments/ asks for"
TOKEN = "token"  # noqa: S105 - what an issue is about
_MARKER = re.compile(r"\A<!-- roost-drift (\{[^\n]{0,1000}\}) -->")
# The environment of an orphan comes from a machine's metadata, which anybody may have written.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}([.][a-z0-9][a-z0-9-]{0,62})?", re.ASCII)
_BLANKS = re.compile(r"\n{3,}")
_OPEN, _CLOSED = "open", "closed"


class Marker(Read):
    """The data in the first line of an issue."""

    about: str
    """`environment/NAME`, or `token`."""
    digest: str = Field("", validation_alias=AliasChoices("digest", "told"))
    """A hash of what it reported last. While that is equal, no comment is added.

    Earlier versions wrote it as `told`.
    """
    run: int = 0
    """The run that wrote it. An older run, which waited for a reviewer, does not overwrite it."""


@dataclass(frozen=True)
class Seen:
    """The time of the check, and its run."""

    when: datetime
    run_url: str = ""

    @property
    def run(self) -> int:
        """The number of the run, which GitHub counts up; 0 outside a run."""
        number = self.run_url.rpartition("/")[2]
        return int(number) if number.isascii() and number.isdigit() else 0

    @property
    def line(self) -> str:
        """The time with a link to the run."""
        run = f", in [this run]({self.run_url})" if self.run_url else ""
        return f"{self.when:%Y-%m-%d %H:%M} UTC{run}"


@dataclass(frozen=True)
class Topic:
    """The present content of one issue.

    Args:
        about: see `Marker`.
        title: the title, which never changes.
        is_open: whether somebody has to act.
        body: the body with its marker.
        digest: see `Marker`.
        news: the comment to add if `digest` changed.
        run: see `Marker`.
        fact: what kind of message tells of it.
        environment: the environment; empty if it is about all.
        plain: the message: what it is, and the next step.
    """

    about: str
    title: str
    is_open: bool
    body: str
    digest: str
    news: str
    run: int = 0
    fact: Fact = "drift"
    environment: str = ""
    plain: str = ""


@dataclass(frozen=True)
class Change:
    """A change of an issue; without a number, a new one is opened."""

    topic: Topic
    number: int = 0
    state: str = ""
    """The new state; empty if it stays."""
    comment: str = ""
    duplicates: tuple[int, ...] = field(default=())
    """The numbers of open duplicates, to be closed."""

    @property
    def is_news(self) -> bool:
        """Whether it says something that the issue did not say before, and that somebody has to act on."""
        return self.topic.is_open and (not self.number or bool(self.comment))

    @property
    def word(self) -> str:
        """The change in a word, for people."""
        if not self.number:
            return "opened"
        return {_OPEN: "reopened", _CLOSED: "closed"}.get(self.state, "updated")


def changes(topics: Iterable[Topic], issues: Iterable[Issue]) -> tuple[Change, ...]:
    """Return the changes that bring the issues up to date; none for a closed one that stays closed."""
    known = known_issues(issues)
    found = (_change(topic, known.get(topic.about, ())) for topic in topics)
    return tuple(change for change in found if change)


def known_issues(issues: Iterable[Issue]) -> Mapping[str, tuple[Issue, ...]]:
    """Return Roost's own issues by what they are about, the oldest first."""
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
        told = marker is not None and marker.digest == topic.digest
        new = not told or (not was_open and topic.fact != "budget")  # a month is told once
        state = "" if was_open else _OPEN
        return Change(topic, first.number, state, topic.news if new else "", duplicates)
    if was_open or duplicates:
        return Change(topic, first.number, _CLOSED, topic.news if was_open else "", duplicates)
    return None


def read_marker(body: str) -> Marker | None:
    """Return the marker of an issue; None if it has none."""
    found = _MARKER.match(body)
    if found is None:
        return None
    try:
        return Marker.model_validate_json(found[1])
    except ValidationError:
        return None


def marked(about: str, mark: str, seen: Seen, lines: Iterable[str]) -> str:
    """Return a text with its marker, in which nothing can end the HTML comment."""
    written_by = {"run": seen.run} if seen.run else {}
    fields = json.dumps({"about": about, "digest": mark, **written_by}, separators=(",", ":"))
    hidden = fields.replace("<", "\\u003c").replace(">", "\\u003e")
    written = "\n".join([f"<!-- roost-drift {hidden} -->", *lines])
    return _BLANKS.sub("\n\n", f"{written}\n")


def topics(
    results: Iterable[DriftResult],
    run: RunResult,
    known: Iterable[str],
    seen: Seen,
) -> tuple[Topic, ...]:
    """Return the content of all issues: of each environment that was checked or is gone, and the token.

    Args:
        results: the latest result of each environment; one without a result is left out.
        run: what the run found apart from them.
        known: what the existing issues are about.
        seen: the time and the run.
    """
    by_name = {result.environment: result for result in results}
    orphans: dict[str, tuple[OrphanFound, ...]] = {}
    for orphan in run.orphans:
        if _NAME.fullmatch(orphan.environment):
            orphans[orphan.environment] = (*orphans.get(orphan.environment, ()), orphan)
    had = {about.removeprefix(_ENVIRONMENT) for about in known if about.startswith(_ENVIRONMENT)}
    gone = {
        name
        for name in had - {*by_name, *orphans, *run.environments}
        if not _unknown(name, by_name, run)
    }
    found = [
        environment_topic(name, by_name.get(name), orphans.get(name, ()), seen)
        for name in sorted({*by_name, *orphans})
    ]
    if not run.notes:  # a note says that something could not be read, so an app may still exist
        found += [gone_topic(name, seen) for name in sorted(gone)]
    return (*found, token_topic(run.token, seen))


_ENVIRONMENT = "environment/"


def _unknown(name: str, results: Mapping[str, DriftResult], run: RunResult) -> bool:
    """Return whether a flow server may still be in the file of its environment, which was not read."""
    environment, flow = split_name(name)
    result = results.get(environment)
    unread = result is None or result.state == "error"
    return bool(flow) and environment in run.environments and unread


def environment_topic(
    name: str, result: DriftResult | None, orphans: Sequence[OrphanFound], seen: Seen
) -> Topic:
    """Return the issue of an environment.

    Args:
        name: name of the environment.
        result: the result; None if its file is gone.
        orphans: apps that were created for it and that its file does not name.
        seen: the time and the run.
    """
    is_open = bool(orphans) or (result is not None and result.state in {"drift", "error"})
    headline = _headline(name, result, orphans)
    lines = [headline, ""]
    steps = [*_steps(name, result, orphans)]
    tail = [*steps, *last_line(seen, is_open=is_open)]
    if result is not None and is_open:
        room = LIMIT - sum(map(len, [*lines, *tail])) - 2000
        lines.append(found_part(result, room))
    about, mark = f"{_ENVIRONMENT}{name}", _mark(result, orphans)
    body = marked(about, mark, seen, [*lines, *tail])
    news, plain_text = f"{headline} {at_run(seen)}", unmarked_text([headline, *steps])
    return Topic(
        about, f"Drift: {name}", is_open, body, mark, news, seen.run, "drift", name, plain_text
    )


def gone_topic(name: str, seen: Seen) -> Topic:
    """Return the issue of an environment without a file and without an app."""
    lacks = (
        "it is in no file and has no app"
        if split_name(name)[1]
        else "it has neither a file nor an app"
    )
    headline = f"{code(name)} is gone: {lacks}."
    about = f"{_ENVIRONMENT}{name}"
    body = marked(about, "gone", seen, [headline, *last_line(seen, is_open=False)])
    news = f"{headline} {at_run(seen)}"
    return Topic(about, f"Drift: {name}", False, body, "gone", news, seen.run)  # noqa: FBT003 - it is closed


def token_topic(token: TokenFound, seen: Seen) -> Topic:
    """Return the issue about the expiry of the schedule's token."""
    headline = text(token_line(token))
    lines = [headline]
    if token.soon:
        lines += [
            "",
            "### What to do",
            "",
            "- Create a new one: `fly tokens create readonly ORGANIZATION -x 2160h`",
            "- Store it for the job: `gh secret set FLY_API_TOKEN --env plan`",
            "- The deploy tokens of the other GitHub environments may expire at that time, too.",
        ]
    mark = token.ends.isoformat() if token.ends else ""
    body = marked(TOKEN, mark, seen, [*lines, *last_line(seen, is_open=token.soon)])
    news = f"{headline} {at_run(seen)}"
    told = unmarked_text(lines)
    return Topic(
        TOKEN, "Fly token ends soon", token.soon, body, mark, news, seen.run, "token", plain=told
    )


def _headline(name: str, result: DriftResult | None, orphans: Sequence[OrphanFound]) -> str:
    if result is None:
        why = text(orphans[0].why) if orphans else "its file is gone"
        return f"{code(name)} is orphaned: {why}, but its app still exists."
    app = f" (app {code(result.app)})" if result.app else ""
    state = _state_text(result)
    beside = (
        f" {counted(len(orphans), 'app')} of it that its file does not name." if orphans else ""
    )
    return f"{code(name)}{app} {state}{beside}"


def _state_text(result: DriftResult) -> str:
    count = counted(len(result.differences), "difference")
    if result.state == "healed":
        return "is healed, and proved."
    if result.state == "clean":
        return "matches its file."
    if result.state == "new":
        return "was never deployed."
    if result.state == "drift":
        return f"differs from its file: {count}."
    word = code(result.error.word[:100] if result.error else "error")
    if result.differences:
        return f"differs from its file, and healing it failed with {word}: {count}."
    return f"cannot be compared: {word}."


def _steps(name: str, result: DriftResult | None, orphans: Sequence[OrphanFound]) -> Iterator[str]:
    steps = [f"{orphan_line(orphan)} {_removal(name, orphan)}" for orphan in orphans]
    if result is not None and result.state == "drift":
        steps += _advice(name, result)
    if result is not None and result.state == "error":
        steps.append("Correct what the error says. The next run of the schedule checks again.")
    if steps:
        lines = [f"- {text(rendered(line, TYPED))}" for line in steps]
        yield f"\n### What to do\n\n{fitted(lines, LIMIT // 4, 'app')}"


def _removal(name: str, orphan: OrphanFound) -> str:
    if not orphan.file_is_gone:
        return f"Check its data, then remove it by hand: `fly apps destroy {plain(orphan.app)}`"
    return (
        f"To remove it after a final snapshot, restore the file, run "
        f"`{Command('destroy', plain(name))}`, and remove the file again."
    )


def _advice(name: str, result: DriftResult) -> Iterator[str]:
    if result.heal or result.end:
        what = "the changes by hand" if result.heal else "what the override left"
        if result.protected:
            yield (
                f"If the run below waits for a reviewer, approve it: it undoes {what} and reports here."
            )
            return
        yield f"Nothing: the schedule undoes {what} and reports here."
        return
    if result.by_button:
        yield (
            "It is protected, so the schedule leaves it to a person with the role maintain or admin, or "
            "to one whose run a reviewer approves. To heal it: under Actions, "
            f"Drift, Run workflow; or by hand `{Command('drift', plain(name), '--heal')}`"
        )
        return
    if only_apply_ends(result.differences):
        command = f"`{Command('apply', plain(name))}`"
        yield f"The file changed. An apply brings that change and undoes the others: {command}"
        return
    yield from to_do(plain(name), result.differences)


def last_line(seen: Seen, *, is_open: bool, workflow: str = "drift") -> Iterator[str]:
    """Yield the end of an issue: when it was checked, and which workflow changes it by itself."""
    keeps = f"It is kept up to date by the {workflow} workflow"
    yield f"\n---\n\nLast checked {seen.line}. {keeps}{', and closes by itself' if is_open else ', and opens again by itself'}."


def at_run(seen: Seen) -> str:
    """Return a link to the run, or the time outside of a run."""
    return f"([run]({seen.run_url}))" if seen.run_url else f"({seen.when:%Y-%m-%d %H:%M} UTC)"


def _mark(result: DriftResult | None, orphans: Sequence[OrphanFound]) -> str:
    """Return a hash of the result, without times, request ids and order."""
    content: dict[str, Any] = {"orphans": sorted(orphan.app for orphan in orphans)}
    if result is not None:
        differences = [difference.model_dump(mode="json") for difference in result.differences]
        content["differences"] = sorted(json.dumps(found, sort_keys=True) for found in differences)
        content["open"] = result.state in {"drift", "error"}
        if result.error:
            content["error"] = result.error.word
            content["faults"] = sorted(f"{f.path}: {f.message}" for f in result.error.faults)
    written = json.dumps(content, sort_keys=True)
    return hashlib.sha256(written.encode(errors="backslashreplace")).hexdigest()[:16]
