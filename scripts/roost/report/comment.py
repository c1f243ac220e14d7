"""The one comment of a pull request: its plan, what was approved by merging it, and what came of it.

Its first line is hidden from readers and is how the next job finds and reads the comment. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from roost.errors import BadDocumentError
from roost.plan.approval import Approved, read_approved
from roost.report.markdown import PlannedEnvironment, code, plan_comment, text
from roost.report.outcome import Outcome, Result, read_outcome
from roost.report.wording import counted

FORMAT = 1
ENTIRE_LIMIT = 65_000
"""GitHub takes 65,536 characters."""
LONGEST_MARKER = 30_000
LONGEST_SECTION = 20_000
MAX_MESSAGE = 600
_MARKER = re.compile(r"^<!-- roost-plan (\{.*\}) -->$")
_BEGIN, _END = "<!-- roost-outcome -->", "<!-- end of roost-outcome -->"
_SECTION = re.compile(rf"{_BEGIN}.*?{_END}\n", re.DOTALL)
_CUT = "\n\nThe plan is too long to stand below this; it is in the history of this comment.\n"
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


@dataclass(frozen=True)
class Marker:
    """What the comment remembers.

    Args:
        head: the commit of the pull request that was planned.
        approved: by environment, what a merge of that commit approves.
        outcomes: by environment, what came of it.
    """

    head: str
    approved: Mapping[str, Approved] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    def line(self) -> str:
        """Write it as the first line of the comment.

        What would be too long is left out whole: what was not approved is then asked for by hand.
        """
        for kept in (self, replace(self, outcomes={})):
            written = _marker_line(kept)
            if len(written) <= LONGEST_MARKER:
                return written
        return _marker_line(Marker(self.head))


def _marker_line(marker: Marker) -> str:
    document = {
        "format": FORMAT,
        "head": marker.head,
        "environments": {n: a.document() for n, a in sorted(marker.approved.items())},
        "outcomes": {n: o.document() for n, o in sorted(marker.outcomes.items())},
    }
    written = json.dumps(document, separators=(",", ":"))
    # Nothing in it may end the HTML comment, nor stand for one.
    for sign in "-<>":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return f"<!-- roost-plan {written} -->"


def is_ours(body: str) -> bool:
    """Say whether a comment is the one of the plan, readable or not."""
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
        {str(n): read_outcome(o, "the comment") for n, o in document["outcomes"].items()},
    )


def planned_comment(
    marker: Marker, planned: Iterable[PlannedEnvironment], notes: Iterable[str] = ()
) -> str:
    """Write the comment of a plan; notes stand at its end."""
    told = "".join(f"\n> {text(note)}\n" for note in notes)
    body = plan_comment(planned, marker.line(), room=len(told))
    return body + told


def with_outcomes(body: str, outcomes: Iterable[Outcome]) -> str:
    """Give a comment its final state: what came of each environment, above the plan.

    Of an environment that is told of again the newer word counts. That a job told nothing is no
    word: what an earlier one left, such as a server that stands badly, stays told.
    """
    marker = read_marker(body) or Marker("")
    newer = {
        outcome.environment: _short(outcome)
        for outcome in outcomes
        if outcome.outcome is not Result.MISSING or outcome.environment not in marker.outcomes
    }
    told = {**marker.outcomes, **newer}
    _, _, rest = _SECTION.sub("", body).partition("\n")
    head = f"{replace(marker, outcomes=told).line()}\n{outcome_section(told.values())}"
    return head + (rest if len(head) + len(rest) <= ENTIRE_LIMIT else _CUT)


def _short(outcome: Outcome) -> Outcome:
    return outcome.model_copy(update={"message": outcome.message[:MAX_MESSAGE]})


def outcome_section(outcomes: Iterable[Outcome]) -> str:
    """Write what came of each environment as a table, worst first."""
    entries = sorted(outcomes, key=lambda o: (o.outcome.good, o.environment))
    lines = [_BEGIN, f"## {_headline(entries)}", "", "| environment | outcome | |", "|---|---|---|"]
    written = 0
    for number, outcome in enumerate(entries):
        row = _row(outcome)
        written += len(row)
        if written > LONGEST_SECTION:
            left = counted(len(entries) - number, "environment")
            lines += ["", f"and {left} more: see the runs."]
            break
        lines.append(row)
    return "\n".join((*lines, "", _END)) + "\n"


def _headline(entries: list[Outcome]) -> str:
    bad = [entry for entry in entries if not entry.outcome.good]
    if bad:
        return f"{counted(len(bad), 'environment')} of {len(entries)} not deployed"
    if all(entry.outcome is Result.SUPERSEDED for entry in entries):
        return "Superseded by a newer commit"
    return "Deployed"


def _row(outcome: Outcome) -> str:
    told = _TOLD[outcome.outcome]
    if outcome.unproved:
        told = "deployed; not proved, as its server sleeps"
    elif outcome.outcome is Result.DEPLOYED:
        told += f" in {outcome.seconds:.0f} s"
    words = [text(outcome.message)] if outcome.message else []
    words += [code(outcome.url)] if outcome.url and outcome.outcome.good else []
    words += [f"[Run]({outcome.run_url})"] if _is_plain(outcome.run_url) else []
    return f"| {code(outcome.environment)} | {told} | {'<br>'.join(words)} |"


def _is_plain(url: str) -> bool:
    """Whether an address can stand in a link: what GitHub gives as a run's address can."""
    return re.fullmatch(r"https?://[A-Za-z0-9._:/-]+", url) is not None
