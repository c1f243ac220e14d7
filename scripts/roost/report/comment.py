"""Write and read the comment of a pull request: its plan, what a merge approves, and the outcomes.

The first line is an HTML comment with JSON. By it the next job finds and reads the comment. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from roost.errors import BadDocumentError
from roost.plan.approval import Approved, read_approved
from roost.report.markdown import code, is_plain_url, text
from roost.report.outcome import DeployOutcome, Result, read_outcome
from roost.report.plan_layout import LIMIT, lay_out
from roost.report.plan_section import PlannedEnvironment
from roost.report.wording import counted

FORMAT = 1
ENTIRE_LIMIT = 65_000
"""GitHub takes 65,536 characters."""
LONGEST_OMITTED = 3_000
LONGEST_OUTCOMES = 10_000
"""The limit for outcomes in the first line; approvals have a limit of their own."""
LONGEST_SECTION = 20_000
MAX_MESSAGE = 600
_ENDING = 100
"""Characters for the lines below the table of outcomes."""
_MARKER = re.compile(r"^<!-- roost-plan (\{.*\}) -->$")
_BEGIN, _END = "<!-- roost-outcome -->", "<!-- end of roost-outcome -->"
_SECTION = re.compile(rf"\A{_BEGIN}\n(.*?\n){_END}\n", re.DOTALL)
"""The section right below the first line; a lookalike elsewhere is somebody's value."""
_RESULT_TEXT = {
    Result.DEPLOYED: "deployed and proved",
    Result.UNCHANGED: "nothing to do",
    Result.SUPERSEDED: "superseded by a newer commit",
    Result.REFUSED: "**not applied**",
    Result.FAILED: "**failed**",
    Result.ROLLED_BACK: "**rolled back**",
    Result.NOT_ROLLED_BACK: "**failed, and not rolled back**",
    Result.MISSING: "**not deployed**: its job did not get so far",
}


class Omitted(StrEnum):
    """Why a merge does not approve what an environment's plan would do."""

    LONG = "long"
    """The comment had no room for its plan."""
    LATE = "late"
    """The comment was written after the merge."""


@dataclass(frozen=True)
class Marker:
    """The data in the first line of the comment.

    Args:
        head: the planned commit of the pull request.
        approved: by environment, what a merge of that commit approves.
        outcomes: by environment, the outcome of its deploy.
        omitted: by environment, why a merge does not approve its plan.
        checked: whether the report job saw that the approvals were written before the merge. It
            edits the comment after the merge, so the comment's time no longer shows that. Only the
            report sets it.
    """

    head: str
    approved: Mapping[str, Approved] = field(default_factory=dict)
    outcomes: Mapping[str, DeployOutcome] = field(default_factory=dict)
    omitted: Mapping[str, Omitted] = field(default_factory=dict)
    checked: bool = False

    def line(self) -> str:
        """Return the first line of the comment; it always has all approvals."""
        document = {
            "format": FORMAT,
            "head": self.head,
            "environments": {n: a.document() for n, a in sorted(self.approved.items())},
            "outcomes": {n: o.short_document() for n, o in sorted(self.outcomes.items())},
            **({"omitted": dict(sorted(self.omitted.items()))} if self.omitted else {}),
            **({"checked": True} if self.checked else {}),
        }
        return f"<!-- roost-plan {_hidden(document)} -->"

    def approving_nothing(self) -> Marker:
        """Return the marker without approvals, for a comment that was written after the merge."""
        late = dict.fromkeys(self.approved, Omitted.LATE)
        return replace(self, approved={}, omitted={**self.omitted, **late}, checked=False)


def _hidden(document: object) -> str:
    """Return JSON that can neither begin nor end an HTML comment."""
    written = json.dumps(document, separators=(",", ":"))
    for sign in "-<>":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return written


def _hidden_size(name: str, document: object) -> int:
    """Return the characters of an entry in the first line, its comma included."""
    return len(_hidden({name: document})) - 1


def is_ours(body: str) -> bool:
    """Return whether a comment is the plan's comment, readable or not."""
    return body.startswith("<!-- roost-plan")


def read_marker(body: str) -> Marker | None:
    """Return the marker of a comment; None if it has none, or it is damaged."""
    found = _MARKER.match(body.split("\n", 1)[0].rstrip("\r"))
    if not found:
        return None
    try:
        return _read(json.loads(found[1]))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, BadDocumentError):
        return None


def _read(document: dict[str, Any]) -> Marker:
    if document["format"] != FORMAT:
        raise ValueError("another format")
    return Marker(
        str(document["head"]),
        {str(n): read_approved(a) for n, a in document["environments"].items()},
        {
            str(n): read_outcome({"environment": n, **o}, "the comment")
            for n, o in document["outcomes"].items()
        },
        {str(n): Omitted(word) for n, word in document.get("omitted", {}).items()},
        document.get("checked") is True,
    )


def planned_comment(
    marker: Marker,
    planned: Iterable[PlannedEnvironment],
    notes: Iterable[str] = (),
    run_url: str = "",
) -> str:
    """Write the comment of a plan, with notes at its end.

    Args:
        marker: with everything that a merge could approve; only what the comment shows is kept.
        planned: the plan of each environment.
        notes: further sentences.
        run_url: the run whose summary shows the plans in full length.
    """
    tail = "".join(f"\n> {text(note)}\n" for note in notes)
    sizes = {name: _hidden_size(name, a.document()) for name, a in marker.approved.items()}
    found = lay_out(planned, sizes, room=LIMIT - len(tail), run_url=run_url)
    shown = {name: a for name, a in marker.approved.items() if name in found.whole}
    omitted = sorted(marker.approved.keys() - shown.keys())
    kept = replace(marker, approved=shown, omitted=_as_many(omitted))
    return f"{kept.line()}\n{found.text}{tail}"


def _as_many(names: Sequence[str]) -> dict[str, Omitted]:
    """Return the omitted environments, as many as there is room for."""
    kept: dict[str, Omitted] = {}
    room = LONGEST_OMITTED
    for name in names:
        room -= _hidden_size(name, Omitted.LONG)
        if room >= 0:
            kept[name] = Omitted.LONG
    return kept


def with_outcomes(body: str, outcomes: Iterable[DeployOutcome], *, in_time: bool = True) -> str:
    """Return a comment with the outcomes of a deploy above its plan.

    A newer outcome of an environment replaces an older one. A missing outcome replaces nothing, so
    that a failure from an earlier run stays visible.

    Args:
        body: the comment as it is.
        outcomes: the new outcomes.
        in_time: whether the approvals were written before the merge; otherwise they are removed.
    """
    found = read_marker(body) or Marker("")
    marker = replace(found, checked=True) if in_time else found.approving_nothing()
    newer = {
        outcome.environment: _short(outcome)
        for outcome in outcomes
        if outcome.outcome is not Result.MISSING or outcome.environment not in marker.outcomes
    }
    merged = {**marker.outcomes, **newer}
    plan, _ = plan_and_outcomes(body)
    # The approvals must stay: a deploy that runs again reads them.
    room = ENTIRE_LIMIT - len(plan) - len(replace(marker, outcomes={}).line())
    first = replace(marker, outcomes=_remembered(merged.values(), room // 2)).line()
    return f"{first}\n{outcome_section(merged.values(), room // 2)}{plan}"


def plan_and_outcomes(body: str) -> tuple[str, str]:
    """Split a comment below its first line into the plan and the section of outcomes."""
    rest = body.partition("\n")[2]
    found = _SECTION.match(rest)
    return (rest[found.end() :], found[1]) if found else (rest, "")


def _remembered(outcomes: Iterable[DeployOutcome], room: int) -> dict[str, DeployOutcome]:
    """Return the outcomes for the first line: all, else fewer fields of each, else the worst."""
    entries, room = _worst_first(outcomes), min(room, LONGEST_OUTCOMES)
    for fields in _LESS:
        if sum(map(_size, entries)) > room:
            entries = [_only(fields, entry) for entry in entries]
    kept = {}
    for outcome in entries:
        room -= _size(outcome)
        if room >= 0:
            kept[outcome.environment] = outcome
    return kept


def _size(outcome: DeployOutcome) -> int:
    return _hidden_size(outcome.environment, outcome.short_document())


_LESS = (frozenset({"environment", "outcome", "run_url"}), frozenset({"environment", "outcome"}))
"""The fields of each outcome that are kept if there is less room; the runs have the rest."""


def _only(fields: frozenset[str], outcome: DeployOutcome) -> DeployOutcome:
    return DeployOutcome.model_validate(outcome.model_dump(include=set(fields)))


def _worst_first(outcomes: Iterable[DeployOutcome]) -> list[DeployOutcome]:
    return sorted(outcomes, key=lambda o: (o.outcome.good, o.environment))


def _short(outcome: DeployOutcome) -> DeployOutcome:
    return outcome.model_copy(update={"message": outcome.message[:MAX_MESSAGE]})


def outcome_section(outcomes: Iterable[DeployOutcome], room: int = LONGEST_SECTION) -> str:
    """Write the outcomes as a table, the worst first.

    Args:
        outcomes: the outcome of each environment.
        room: characters for the section; environments beyond are counted.
    """
    entries = _worst_first(outcomes)
    lines = [_BEGIN, f"## {_headline(entries)}", "", "| environment | outcome | |", "|---|---|---|"]
    left = min(room, LONGEST_SECTION) - sum(map(len, lines)) - _ENDING
    for number, outcome in enumerate(entries):
        row = _row(outcome)
        left -= len(row) + 1
        if left < 0:
            more = counted(len(entries) - number, "environment")
            lines += ["", f"and {more} more: see the runs."]
            break
        lines.append(row)
    return "\n".join((*lines, "", _END)) + "\n"


def _headline(entries: list[DeployOutcome]) -> str:
    bad = [entry for entry in entries if not entry.outcome.good]
    if bad:
        return f"{counted(len(bad), 'environment')} of {len(entries)} not deployed"
    if all(entry.outcome is Result.SUPERSEDED for entry in entries):
        return "Superseded by a newer commit"
    return "Deployed"


def _row(outcome: DeployOutcome) -> str:
    state = _RESULT_TEXT[outcome.outcome]
    if outcome.unproved:
        state = "deployed; not proved, as its server sleeps"
    elif outcome.outcome is Result.DEPLOYED:
        state += f" in {outcome.seconds:.0f} s"
    words = [text(outcome.message)] if outcome.message else []
    words += [code(outcome.url)] if outcome.url and outcome.outcome.good else []
    words += [f"[Run]({outcome.run_url})"] if is_plain_url(outcome.run_url) else []
    return f"| {code(outcome.environment)} | {state} | {'<br>'.join(words)} |"
