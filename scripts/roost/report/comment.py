"""The one comment of a pull request: its plan, what was approved by merging it, and what came of it.

Its first line is hidden from readers and is how the next job finds and reads the comment. Pure.
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
"""Of the first line; what is approved has its room beside these."""
LONGEST_SECTION = 20_000
MAX_MESSAGE = 600
_ENDING = 100
"""Characters below the table of outcomes."""
_MARKER = re.compile(r"^<!-- roost-plan (\{.*\}) -->$")
_BEGIN, _END = "<!-- roost-outcome -->", "<!-- end of roost-outcome -->"
_SECTION = re.compile(rf"\A{_BEGIN}\n(.*?\n){_END}\n", re.DOTALL)
"""Stands right below the first line; what looks like it elsewhere is somebody's value."""
_TOLD = {
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
    """There was no room for it in the comment."""
    LATE = "late"
    """The comment was not written before the merge."""


@dataclass(frozen=True)
class Marker:
    """What the comment remembers.

    Args:
        head: the commit of the pull request that was planned.
        approved: by environment, what a merge of that commit approves.
        outcomes: by environment, what came of it.
        omitted: by environment, why a merge does not approve it.
        checked: whether the report saw that what is approved was written before the merge. It
            writes after the merge, so the time of its own text says nothing. Only the report sets it.
    """

    head: str
    approved: Mapping[str, Approved] = field(default_factory=dict)
    outcomes: Mapping[str, DeployOutcome] = field(default_factory=dict)
    omitted: Mapping[str, Omitted] = field(default_factory=dict)
    checked: bool = False

    def line(self) -> str:
        """Write it as the first line of the comment. What is approved is never left out of it."""
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
        """Take out what it approves, as it was not written before the merge."""
        late = dict.fromkeys(self.approved, Omitted.LATE)
        return replace(self, approved={}, omitted={**self.omitted, **late}, checked=False)


def _hidden(document: object) -> str:
    """Write JSON in which nothing can end an HTML comment, nor stand for one."""
    written = json.dumps(document, separators=(",", ":"))
    for sign in "-<>":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return written


def _hidden_size(name: str, document: object) -> int:
    """Return how many characters an entry takes in the first line, with what parts it from the next."""
    return len(_hidden({name: document})) - 1


def is_ours(body: str) -> bool:
    """Return whether a comment is the one of the plan, readable or not."""
    return body.startswith("<!-- roost-plan")


def read_marker(body: str) -> Marker | None:
    """Read what a comment remembers; None where it is none of ours, or is spoilt."""
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
    """Write the comment of a plan; notes stand at its end.

    Args:
        marker: with all that a merge would approve. Of that counts only what the comment shows.
        planned: what to tell of each environment.
        notes: what else is to be told.
        run_url: the run whose summary shows whole what the comment cuts.
    """
    told = "".join(f"\n> {text(note)}\n" for note in notes)
    sizes = {name: _hidden_size(name, a.document()) for name, a in marker.approved.items()}
    found = lay_out(planned, sizes, room=LIMIT - len(told), run_url=run_url)
    shown = {name: a for name, a in marker.approved.items() if name in found.whole}
    omitted = sorted(marker.approved.keys() - shown.keys())
    kept = replace(marker, approved=shown, omitted=_as_many(omitted))
    return f"{kept.line()}\n{found.text}{told}"


def _as_many(names: Sequence[str]) -> dict[str, Omitted]:
    """Remember which environments were left out, as far as there is room."""
    kept: dict[str, Omitted] = {}
    room = LONGEST_OMITTED
    for name in names:
        room -= _hidden_size(name, Omitted.LONG)
        if room >= 0:
            kept[name] = Omitted.LONG
    return kept


def with_outcomes(body: str, outcomes: Iterable[DeployOutcome], *, in_time: bool = True) -> str:
    """Return a comment its final state: what came of each environment, above the plan.

    Of an environment that is told of again the newer word counts. That a job told nothing is no
    word: what an earlier one left, such as a server that stands badly, stays told.

    Args:
        body: the comment as it is.
        outcomes: what came of environments.
        in_time: whether what it approves was written before the merge; else it is taken out.
    """
    found = read_marker(body) or Marker("")
    marker = replace(found, checked=True) if in_time else found.approving_nothing()
    newer = {
        outcome.environment: _short(outcome)
        for outcome in outcomes
        if outcome.outcome is not Result.MISSING or outcome.environment not in marker.outcomes
    }
    told = {**marker.outcomes, **newer}
    plan, _ = plan_and_outcomes(body)
    # What is approved has to stay there: a deploy that runs again looks for it.
    room = ENTIRE_LIMIT - len(plan) - len(replace(marker, outcomes={}).line())
    first = replace(marker, outcomes=_remembered(told.values(), room // 2)).line()
    return f"{first}\n{outcome_section(told.values(), room // 2)}{plan}"


def plan_and_outcomes(body: str) -> tuple[str, str]:
    """Part what a comment shows below its first line: the plan, and what came of it above that."""
    rest = body.partition("\n")[2]
    found = _SECTION.match(rest)
    return (rest[found.end() :], found[1]) if found else (rest, "")


def _remembered(outcomes: Iterable[DeployOutcome], room: int) -> dict[str, DeployOutcome]:
    """Choose what the first line remembers: all of it, else less of each, else the worst."""
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
"""What is remembered of each outcome where there is no room for more; the runs have the rest."""


def _only(fields: frozenset[str], outcome: DeployOutcome) -> DeployOutcome:
    return DeployOutcome.model_validate(outcome.model_dump(include=set(fields)))


def _worst_first(outcomes: Iterable[DeployOutcome]) -> list[DeployOutcome]:
    return sorted(outcomes, key=lambda o: (o.outcome.good, o.environment))


def _short(outcome: DeployOutcome) -> DeployOutcome:
    return outcome.model_copy(update={"message": outcome.message[:MAX_MESSAGE]})


def outcome_section(outcomes: Iterable[DeployOutcome], room: int = LONGEST_SECTION) -> str:
    """Write what came of each environment as a table, worst first.

    Args:
        outcomes: what came of environments.
        room: characters for all of it; what has none is counted.
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
    told = _TOLD[outcome.outcome]
    if outcome.unproved:
        told = "deployed; not proved, as its server sleeps"
    elif outcome.outcome is Result.DEPLOYED:
        told += f" in {outcome.seconds:.0f} s"
    words = [text(outcome.message)] if outcome.message else []
    words += [code(outcome.url)] if outcome.url and outcome.outcome.good else []
    words += [f"[Run]({outcome.run_url})"] if is_plain_url(outcome.run_url) else []
    return f"| {code(outcome.environment)} | {told} | {'<br>'.join(words)} |"
