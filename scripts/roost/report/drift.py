"""Read what the drift schedule found, and write it as Markdown for a run's summary. Pure.

The files go from one job to another, so their content is not trusted until it was checked here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from roost.errors.command import Command
from roost.plan.drift import Cause, Difference, changed_twice
from roost.plan.month_cost import MonthCost
from roost.plan.prefect_objects import KEY as OBJECTS
from roost.report.markdown import code, short_code, text, value_code
from roost.report.plan_layout import LIMIT
from roost.report.wording import counted, one_line

SUMMARY = "_summary"
"""The name of the file about the whole run; no environment's name begins with `_`."""
LONGEST = 500
_BLANKS = re.compile(r"\n{3,}")


def _known_cause(value: object) -> object:
    """Return the cause; a word that this version does not know counts as an unknown cause."""
    return value if isinstance(value, Cause) or value in _CAUSES else Cause.UNKNOWN


_CAUSES = frozenset(cause.value for cause in Cause)
Listed = Annotated[tuple[str, ...], Field(strict=False)]


class Read(BaseModel):
    """A frozen model; unknown fields are dropped."""

    model_config = ConfigDict(frozen=True)


class DifferenceFound(Read):
    """One difference between live and desired."""

    key: str
    what: str
    cause: Annotated[Cause, BeforeValidator(_known_cause)]
    field: str = ""
    live: Any = None
    wanted: Any = None
    sent: Any = None


class FaultFound(Read):
    """One fault in a file."""

    path: str
    line: int
    column: int
    message: str


class ErrorFound(Read):
    """Why an environment could not be compared or healed."""

    word: str
    message: str
    faults: tuple[FaultFound, ...] = ()


class DriftResult(Read):
    """The result for one environment: `Found.document()`, and what happens next."""

    environment: str
    app: str | None = None
    state: Literal["clean", "new", "healed", "drift", "error"]
    differences: tuple[DifferenceFound, ...] = ()
    unchecked_secrets: Listed = ()
    notes: Listed = ()
    error: ErrorFound | None = None
    heal: bool = False
    """Whether the file asks for healing, and every difference can be healed."""
    end: bool = False
    """Whether every difference is left by an expired override."""
    by_button: bool = False
    """Whether only the button heals it, because the environment is protected."""
    protected: bool = False
    """Whether it is protected, so that a reviewer may have to approve the job that heals it."""
    down: str = ""
    """Why it is down; empty if it runs, sleeps or changes."""


class OrphanFound(Read):
    """An app that no file asks for."""

    app: str
    organization: str
    environment: str
    why: str
    file_is_gone: bool = False


class TokenFound(Read):
    """When the token of the schedule expires; None if the token does not say."""

    ends: datetime | None = None
    soon: bool = False


class BudgetFound(Read):
    """What an environment with a budget costs in this calendar month, in USD."""

    environment: str
    month: str
    """Such as 2026-11."""
    monthly_usd: float
    so_far: float
    month_end: float
    """At the end of the month, if its machines go on as in the last week."""
    at_least: bool = False
    """Whether Fly has forgotten events of this month, so that it is more."""

    @classmethod
    def of(cls, name: str, monthly_usd: float, cost: MonthCost, now: datetime) -> BudgetFound:
        """Return the month of one environment beside its budget."""
        return cls(
            environment=name,
            month=f"{now.astimezone(UTC):%Y-%m}",
            monthly_usd=monthly_usd,
            so_far=round(cost.so_far, 2),
            month_end=round(cost.at_end, 2),
            at_least=cost.at_least,
        )

    @property
    def over(self) -> bool:
        """Whether the month runs over the budget."""
        return max(self.so_far, self.month_end) > self.monthly_usd


class RunResult(Read):
    """What a run found apart from the environments."""

    environments: Listed
    """The names of environments with a file."""
    orphans: tuple[OrphanFound, ...] = ()
    notes: Listed = ()
    token: TokenFound = TokenFound()
    budgets: tuple[BudgetFound, ...] = ()


def drift_summary(results: Sequence[DriftResult], run: RunResult) -> str:
    """Write the summary of a run: a row for each environment, then the differences and notes."""
    lines = ["## Roost drift", "", _headline(results, run), ""]
    lines += [f"**Warning:** {text(line)}\n" for line in (token_line(run.token),) if run.token.soon]
    ordered = sorted(results, key=lambda result: result.environment)
    lines += ["| environment | state | differences | next |", "|---|---|---|---|"]
    lines += [_row(result) for result in ordered]
    notes = [f"- {text(orphan_line(orphan))}" for orphan in run.orphans]
    notes += [f"- {text(_cut(f'{r.environment} is down: {r.down}'))}" for r in ordered if r.down]
    notes += [f"- {text(budget_line(found))}" for found in run.budgets]
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
    counts = [word for word in words if not word.startswith("0 ")]
    counts += [f"{len(run.orphans)} orphaned"] if run.orphans else []
    return f"{counted(len(results), 'environment')}: {', '.join(counts) or 'none'}."


def to_do(name: str, found: Collection[Difference | DifferenceFound]) -> Iterator[str]:
    """Yield a line with the next step for each cause; its commands are not rendered yet."""
    objects = [difference for difference in found if difference.key == OBJECTS]
    causes = {difference.cause for difference in found if difference not in objects}
    # Objects that a plan changes are not applied yet, as other changes of the files.
    causes |= {difference.cause for difference in objects} - {Cause.BY_HAND}
    yield from (line for cause, line in _next_steps(name).items() if cause in causes)
    if any(difference.cause is Cause.BY_HAND for difference in objects):
        heal = Command("drift", name, "--objects", "--heal")
        yield (
            f"To undo a change of Prefect's objects: `{heal}`. To keep it, write it into the file of objects; "
            "`drift.ignore` has no effect on them."
        )


def _next_steps(name: str) -> Mapping[Cause, str]:
    """Return the next step for each cause of drift."""
    return {
        Cause.NOT_APPLIED: f"The file changed. Apply it: `{Command('apply', name)}`",
        Cause.BY_HAND: (
            f"To undo a change by hand: `{Command('drift', name, '--heal')}`. To keep it, add it to the file, "
            "or to `drift.ignore` with a reason."
        ),
        Cause.ENDED: f"An override ended. To return to the file: `{Command('drift', name, '--heal')}`",
        Cause.CUT_SHORT: f"To finish an interrupted apply: `{Command('apply', name)}`",
        Cause.NOT_RUNNING: f"To start a machine that does not run: `{Command('drift', name, '--heal')}`",
        Cause.REFUSED: f"A person has to decide. See the plan: `{Command('plan', name)}`",
        Cause.NO_DATA: (
            "The volume is missing, and an apply creates an empty server. To restore a backup: "
            f"`{Command('restore', name)}`"
        ),
        Cause.NO_MACHINE: (
            "The machine is missing, and an apply creates one on the volume that is left. See which: "
            f"`{Command('plan', name)}`"
        ),
        Cause.FAILED: (
            f"The release failed, and there is none to roll back to. Correct the file and apply: `{Command('apply', name)}`"
        ),
        Cause.UNRECORDED: f"The previous value is unknown. Compare, then apply: `{Command('plan', name)}`",
        Cause.UNKNOWN: f"The previous value is unknown. See the plan: `{Command('plan', name)}`",
    }


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
        return "healed by this run"
    return "the override is ended by this run" if result.end else "waits for a person"


def found_part(result: DriftResult, room: int) -> str:
    """Write the error, differences and notes of an environment within `room` characters."""
    error = _error_part(result.error, room // 4) if result.error else ""
    notes = [f"- {text(_cut(note))}" for note in result.notes]
    if result.unchecked_secrets:
        names = ", ".join(f"`{plain(name)}`" for name in result.unchecked_secrets)
        notes.append(f"- Not compared, as their values are not available here: {text(names)}")
    tail = fitted(notes, room // 4, "note")
    rows = [_difference_row(difference) for difference in result.differences]
    table = ""
    if rows:
        left = room - len(error) - len(tail) - len(_TABLE)
        table = f"{_TABLE}{fitted(rows, left, 'difference')}"
    return "\n".join(part for part in (error, table, tail) if part)


_TABLE = "| what | live | wanted | why |\n|---|---|---|---|\n"


def fitted(lines: Sequence[str], room: int, noun: str) -> str:
    """Write as many lines as there is room for, and the count of the rest."""
    written = ""
    room -= 100  # for the line with the count
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
    """Return a sentence about an app without a file."""
    return (
        f"The app `{plain(orphan.app)}` of the organization `{plain(orphan.organization)}` was created "
        f"for `{plain(orphan.environment)}`, and {plain(orphan.why)}. Roost does not remove it by itself."
    )


def token_line(token: TokenFound) -> str:
    """Return a sentence about when the token of the schedule expires."""
    if token.ends is None:
        return "The Fly token of the schedule does not say when it expires."
    return (
        f"The Fly token of the schedule expires on {token.ends:%Y-%m-%d at %H:%M} UTC. "
        "After that, neither the drift check nor plans work."
    )


def budget_line(found: BudgetFound) -> str:
    """Return a sentence about an environment's month beside its budget."""
    least = "at least " if found.at_least else ""
    now = "is over" if found.so_far > found.monthly_usd else "runs over"
    state = f"{now} its budget" if found.over else "is within its budget"
    return (
        f"{plain(found.environment)} {state} of ${found.monthly_usd:.2f} a month: {least}${found.so_far:.2f} "
        f"so far in {plain(found.month)}, and ${found.month_end:.2f} at its end if it goes on as in the last week."
    )


def plain(value: str) -> str:
    """Return a value without backticks, to be written between backticks."""
    return _cut(value).replace("`", "'") or "(empty)"


def _cut(value: str) -> str:
    line = one_line(value)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
