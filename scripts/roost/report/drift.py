"""What the schedule found, read back from its files, and as Markdown for a run's summary.

The files go from one job to another, so what stands in them is somebody else's until it was read
here. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from roost.plan.drift import Cause, changed_twice
from roost.report.markdown import code, short_code, text, value_code
from roost.report.plan_layout import LIMIT
from roost.report.wording import counted, one_line

SUMMARY = "_summary"
"""The name of the file of what about no single environment; no environment's name begins with `_`."""
LONGEST = 500
_BLANKS = re.compile(r"\n{3,}")


def _known_cause(value: object) -> object:
    """A word that this version does not know is told as an unknown cause."""
    return value if isinstance(value, Cause) or value in _CAUSES else Cause.UNKNOWN


_CAUSES = frozenset(cause.value for cause in Cause)
_TO_DO = {
    Cause.NOT_APPLIED: "The file moved on. Apply it: `roost apply {name}`",
    Cause.BY_HAND: (
        "To put back what a hand changed: `roost drift {name} --heal`. To keep it, write it "
        "into the file, or under `drift.ignore` with a reason."
    ),
    Cause.ENDED: "An override ended. To go back to the file: `roost drift {name} --heal`",
    Cause.CUT_SHORT: "To finish what was cut short: `roost apply {name}`",
    Cause.NOT_RUNNING: "To start what does not run: `roost drift {name} --heal`",
    Cause.REFUSED: "See what a person has to decide: `roost plan {name}`",
    Cause.NO_DATA: (
        "Its data is not there, and an apply makes an empty server. To bring back a backup: "
        "`roost restore {name}`"
    ),
    Cause.NO_MACHINE: (
        "Its machine is gone, and an apply makes one on the volume that is left. See which that is: "
        "`roost plan {name}`"
    ),
    Cause.FAILED: (
        "Its release failed, and there is none to go back to. Mend the file, and apply: `roost apply {name}`"
    ),
    Cause.UNRECORDED: "Nobody knows how it was before. Compare, then apply: `roost plan {name}`",
    Cause.UNKNOWN: "Nobody knows how it was before. See it: `roost plan {name}`",
}
Listed = Annotated[tuple[str, ...], Field(strict=False)]


class Read(BaseModel):
    """Frozen; what is not read here is left out."""

    model_config = ConfigDict(frozen=True)


class DifferenceFound(Read):
    """One thing in which live is not as desired."""

    key: str
    what: str
    cause: Annotated[Cause, BeforeValidator(_known_cause)]
    field: str = ""
    live: Any = None
    wanted: Any = None
    sent: Any = None


class FaultFound(Read):
    """One thing wrong with a file."""

    path: str
    line: int
    column: int
    message: str


class ErrorFound(Read):
    """Why an environment could not be looked at, or not be healed."""

    word: str
    message: str
    faults: tuple[FaultFound, ...] = ()


class DriftResult(Read):
    """What was found of one environment: `Found.document()`, and what comes of it."""

    environment: str
    app: str | None = None
    state: Literal["clean", "new", "healed", "drift", "error"]
    differences: tuple[DifferenceFound, ...] = ()
    unchecked_secrets: Listed = ()
    notes: Listed = ()
    error: ErrorFound | None = None
    heal: bool = False
    """Whether the file asks for healing, and all that differs may be healed."""
    end: bool = False
    """Whether it is nothing but what an override left."""
    by_button: bool = False
    """Whether the button would put it back, and the schedule does not, because it is protected."""
    protected: bool = False
    """Whether its file says so: then a reviewer may have to let the job that puts it back."""


class OrphanFound(Read):
    """An app that no file asks for."""

    app: str
    organization: str
    environment: str
    why: str


class TokenFound(Read):
    """When the token of the schedule ends; None where it does not say so."""

    ends: datetime | None = None
    soon: bool = False


class RunResult(Read):
    """What a run found beside single environments."""

    environments: Listed
    """Those that have a file."""
    orphans: tuple[OrphanFound, ...] = ()
    notes: Listed = ()
    token: TokenFound = TokenFound()


def drift_summary(results: Sequence[DriftResult], run: RunResult) -> str:
    """Write the summary of a run: a line an environment, then what differs, and what else is to know."""
    lines = ["## Roost drift", "", _headline(results, run), ""]
    lines += [f"**Warning:** {text(line)}\n" for line in (token_line(run.token),) if run.token.soon]
    ordered = sorted(results, key=lambda result: result.environment)
    lines += ["| environment | state | differences | next |", "|---|---|---|---|"]
    lines += [_row(result) for result in ordered]
    notes = [f"- {text(orphan_line(orphan))}" for orphan in run.orphans]
    notes += [f"- {text(_cut(note))}" for note in run.notes]
    tail = fitted(notes, LIMIT // 4, "note")
    room = LIMIT
    for result in ordered:
        section = f"\n### {code(result.environment)}\n\n{found_part(result, room // 2)}"
        if result.state in {"drift", "error", "healed"} and len(section) < room:
            lines.append(section)
            room -= len(section)
    return _BLANKS.sub("\n\n", "\n".join([*lines, "", tail]).rstrip() + "\n")


def _headline(results: Sequence[DriftResult], run: RunResult) -> str:
    states = [result.state for result in results]
    words = [
        f"{states.count(word)} {word}" for word in ("clean", "new", "healed", "drift", "error")
    ]
    told = [word for word in words if not word.startswith("0 ")]
    told += [f"{len(run.orphans)} orphaned"] if run.orphans else []
    return f"{counted(len(results), 'environment')}: {', '.join(told) or 'none'}."


def to_do(name: str, causes: Collection[Cause]) -> Iterator[str]:
    """Return what ends each kind of difference, a line each, with the command as texts name it."""
    return (line.format(name=name) for cause, line in _TO_DO.items() if cause in causes)


def _row(result: DriftResult) -> str:
    state = f"**{result.state}**" if result.state in {"drift", "error"} else result.state
    count = str(len(result.differences)) if result.differences else ""
    return f"| {code(result.environment)} | {state} | {count} | {_next(result)} |"


def _next(result: DriftResult) -> str:
    if result.state == "new":
        return "was never deployed: see its Deploy run"
    if result.state != "drift":
        return ""
    if result.by_button:
        return "waits for the button, as it is protected"
    if result.heal:
        return "put back by this run"
    return "the override is ended by this run" if result.end else "waits for a person"


def found_part(result: DriftResult, room: int) -> str:
    """Write what was found of an environment, in so many characters: error, differences, notes."""
    error = _error_part(result.error, room // 4) if result.error else ""
    notes = [f"- {text(_cut(note))}" for note in result.notes]
    if result.unchecked_secrets:
        names = ", ".join(f"`{plain(name)}`" for name in result.unchecked_secrets)
        notes.append(f"- Not compared, because their values are not here: {text(names)}")
    tail = fitted(notes, room // 4, "note")
    rows = [_difference_row(difference) for difference in result.differences]
    table = ""
    if rows:
        left = room - len(error) - len(tail) - len(_TABLE)
        table = f"{_TABLE}{fitted(rows, left, 'difference')}"
    return "\n".join(part for part in (error, table, tail) if part)


_TABLE = "| what | live | wanted | why |\n|---|---|---|---|\n"


def fitted(lines: Sequence[str], room: int, noun: str) -> str:
    """Write as many lines as there is room for, and say how many more there are."""
    written = ""
    room -= 100  # what says how many more
    for number, line in enumerate(lines):
        if len(written) + len(line) + 1 > room:
            more = counted(len(lines) - number, f"more {noun}")
            return f"{written}\n{more}: see the log of the run.\n"
        written += f"{line}\n"
    return written


def _error_part(error: ErrorFound, room: int) -> str:
    head = f"**Error** {code(_cut(error.word)[:100])}: {text(_cut(error.message))}\n"
    faults = []
    for fault in error.faults:
        where = f"{fault.path}:{fault.line}:{fault.column}"
        faults.append(f"- {code(_cut(where))}: {text(_cut(fault.message))}")
    return head + fitted(faults, room - len(head), "fault")


def _difference_row(difference: DifferenceFound) -> str:
    why = difference.cause.value
    if not difference.field:
        what = f"{short_code(difference.key, LONGEST)} {text(_cut(difference.what))}"
        return f"| {what} | | | {why} |"
    if changed_twice(difference):
        why += f"; {value_code(difference.sent)} was sent"
    what = f"{short_code(difference.key, LONGEST)} {short_code(difference.field, LONGEST)}"
    return f"| {what} | {value_code(difference.live)} | {value_code(difference.wanted)} | {why} |"


def orphan_line(orphan: OrphanFound) -> str:
    """Return which app no file asks for."""
    return (
        f"The app `{plain(orphan.app)}` of the organization `{plain(orphan.organization)}` was made "
        f"for `{plain(orphan.environment)}`, and {plain(orphan.why)}. Nothing removes it by itself."
    )


def token_line(token: TokenFound) -> str:
    """Return when the token of the schedule ends."""
    if token.ends is None:
        return "The Fly token of the schedule does not say when it ends."
    return (
        f"The Fly token of the schedule ends on {token.ends:%Y-%m-%d at %H:%M} UTC. "
        "After that nothing is looked at and nothing is planned."
    )


def plain(value: str) -> str:
    """Take backticks out of a value that is to stand between some."""
    return _cut(value).replace("`", "'") or "(empty)"


def _cut(value: str) -> str:
    line = one_line(value)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
