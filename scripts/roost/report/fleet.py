"""All environments in one table, with what needs a person below it. Pure.

The columns are those that fit the terminal; `--json` has every value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len

from roost.errors import InvalidFilesError, RoostError
from roost.errors.command import Command
from roost.plan.awake_time import AwakeTime
from roost.plan.disk_usage import FULL_PERCENT
from roost.plan.fleet import FleetRow, State
from roost.plan.month_cost import MonthCost
from roost.plan.next_due import LEAD
from roost.plan.override import rfc3339
from roost.report.drift import BudgetFound, budget_line
from roost.report.due import length, what, when
from roost.report.text import GAP, Listing, listing
from roost.report.wording import counted, one_line

Json = dict[str, Any]
UNKNOWN = "-"
AT_LEAST = "+"


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        head: its heading.
        cell: returns the cell of a row at a time.
        rank: which columns are left out first where there is no room: those of a higher rank.
    """

    head: str
    cell: Callable[[FleetRow, datetime], str]
    rank: int


def _name(row: FleetRow, _: datetime) -> str:
    return row.name


def _state(row: FleetRow, _: datetime) -> str:
    return row.state.value


def _prefect(row: FleetRow, _: datetime) -> str:
    return row.prefect or UNKNOWN


def _release(row: FleetRow, _: datetime) -> str:
    release = row.release
    return f"{release.number} {release.verdict.value}" if release else UNKNOWN


def _drift(row: FleetRow, _: datetime) -> str:
    return UNKNOWN if row.drift is None else str(row.drift or "no")


def _since(row: FleetRow, now: datetime) -> str:
    return _short(row.awake_since, now) if row.awake_since else UNKNOWN


def _next(row: FleetRow, now: datetime) -> str:
    return _short(row.next_due.at, now) if row.next_due else UNKNOWN


def _short(at: datetime, now: datetime) -> str:
    """Return how far a time is, in its largest unit: `3 h`; one that has passed as `3 h`, too."""
    words = length(at - now).split()
    return " ".join(words[:2])


def _disk(row: FleetRow, _: datetime) -> str:
    return UNKNOWN if row.disk_percent is None else f"{row.disk_percent} %"


def _so_far(row: FleetRow, _: datetime) -> str:
    return _usd(row.cost, lambda cost: cost.so_far)


def _at_end(row: FleetRow, _: datetime) -> str:
    return _usd(row.cost, lambda cost: cost.at_end)


def _usd(cost: MonthCost | None, part: Callable[[MonthCost], float]) -> str:
    return UNKNOWN if cost is None else f"${part(cost):.2f}{AT_LEAST if cost.at_least else ''}"


def _override(row: FleetRow, now: datetime) -> str:
    return _short(row.override.until, now) if row.override else UNKNOWN


def _address(row: FleetRow, _: datetime) -> str:
    return row.address or UNKNOWN


COLUMNS = (
    Column("environment", _name, 0),
    Column("state", _state, 1),
    Column("Prefect", _prefect, 4),
    Column("release", _release, 3),
    Column("drift", _drift, 2),
    Column("awake for", _since, 6),
    Column("next in", _next, 7),
    Column("disk", _disk, 8),
    Column("so far", _so_far, 9),
    Column("month", _at_end, 5),
    Column("override for", _override, 11),
    Column("address", _address, 10),
)


def fleet_table(rows: Sequence[FleetRow], width: int, now: datetime) -> Listing:
    """Return the table with the columns that fit a width; why a row could not be read is in it."""
    columns = fitting(COLUMNS, rows, width, now)
    cells = [[column.cell(row, now) for column in columns] for row in rows]
    failed = any(row.error for row in rows)
    if not failed:
        return listing((column.head for column in columns), cells)
    why = [one_line(row.error.message) if row.error else UNKNOWN for row in rows]
    heads = (column.head for column in columns)
    return listing(heads, ([*row, words] for row, words in zip(cells, why, strict=True)), "why")


def fitting(
    columns: Iterable[Column], rows: Sequence[FleetRow], width: int, now: datetime
) -> tuple[Column, ...]:
    """Return the columns that fit, in their order; the first by rank always stays."""
    kept: list[Column] = []
    room = width + len(GAP)
    for column in sorted(columns, key=lambda column: column.rank):
        cells = (cell_len(one_line(column.cell(row, now))) for row in rows)
        room -= max(cell_len(column.head), *cells) + len(GAP)
        if kept and room < 0:
            break
        kept.append(column)
    return tuple(column for column in columns if column in kept)


def attention(row: FleetRow, now: datetime) -> Iterator[str]:
    """Return what a person should know of an environment that was read, with the next step."""
    if row.state is State.ILL:
        yield f"A health check of Fly's fails. See why: {Command('smoke', row.name)}"
    if row.state is State.EMPTY:
        yield f"Its app has no machine. See what to do: {Command('status', row.name)}"
    if row.drift:
        differs = f"It differs from its file: {counted(row.drift, 'difference')}."
        yield f"{differs} See which: {Command('drift', row.name)}"
    if row.override:
        yield f"Override: {row.override.summary()} ({row.override.reason}), by {row.override.who}."
    if row.disk_percent is not None and row.disk_percent >= FULL_PERCENT:
        yield f"Its volume is {row.disk_percent} % full. See what to do: {Command('plan', row.name)}"
    if (budget := budget_of(row, now)) and budget.over:
        yield f"{budget_line(budget)} See what for: {Command('cost', row.name)}"
    due = row.next_due
    if due and not due.window and now - due.at > LEAD:
        yield f"A run is late: {when(due, now)}, {what(due)}. Start it: {Command('wake', row.name)}"


def budget_of(row: FleetRow, now: datetime) -> BudgetFound | None:
    """Return the month of an environment beside its budget; None without one, or without its cost."""
    if row.budget_usd is None or row.cost is None:
        return None
    return BudgetFound.of(row.name, row.budget_usd, row.cost, now)


def fleet_notes(rows: Iterable[FleetRow]) -> Iterator[str]:
    """Return the notes of all environments, each with the name before it."""
    for row in rows:
        if isinstance(row.error, InvalidFilesError):
            yield from (one_line(str(fault)) for fault in row.error.faults)
        yield from (f"{row.name}: {one_line(note)}" for note in row.notes)


def fleet_summary(rows: Sequence[FleetRow], now: datetime) -> str:
    """Return how many environments are in which state, and what they cost in this month."""
    states = Counter(row.state.value for row in rows)
    counts = ", ".join(f"{states[s.value]} {s.value}" for s in State if states[s.value])
    cost = total(rows)
    if cost is None:
        return f"{counted(len(rows), 'environment')}: {counts}."
    least = "at least " if cost.at_least else ""
    forgotten = any(row.cost and row.cost.at_least for row in rows)
    why = f" {AT_LEAST}: Fly has forgotten when a machine was awake." if forgotten else ""
    return (
        f"{counted(len(rows), 'environment')}: {counts}. {now.astimezone(UTC):%B} costs {least}"
        f"${cost.so_far:.2f} so far, and {least}${cost.at_end:.2f} at its end.{why}"
    )


def total(rows: Sequence[FleetRow]) -> MonthCost | None:
    """Return the cost of all environments; at least that of those that could be read."""
    costs = [row.cost for row in rows if row.cost is not None]
    if not costs:
        return None
    unread = MonthCost(at_least=len(costs) < len(rows))
    return sum(costs, unread)


def fleet_document(rows: Sequence[FleetRow], now: datetime, source: str, date: str) -> Json:
    """Return all environments as one JSON object.

    Args:
        rows: the environments.
        now: the time at which they were read.
        source: where the prices are from.
        date: of which day the prices are.
    """
    cost = total(rows)
    prices = {"currency": "USD", "source": source, "date": date}
    return {
        "at": rfc3339(now),
        "prices": prices,
        "cost": cost and cost.document(),
        "environments": [row_document(row) for row in rows],
    }


def row_document(row: FleetRow) -> Json:
    """Return one environment as JSON."""
    release = row.release
    return {
        "environment": row.name,
        "app": row.app or None,
        "state": row.state.value,
        "url": row.address or None,
        "prefect": row.prefect or None,
        "release": release
        and {"number": release.number, "verdict": release.verdict.value, "at": release.at},
        "drift": row.drift,
        "override": row.override and row.override.document(),
        "next_due": row.next_due and row.next_due.document(),
        "window_until": row.window_until and rfc3339(row.window_until),
        "awake_since": row.awake_since and rfc3339(row.awake_since),
        "disk_percent": row.disk_percent,
        "cost": row.cost and row.cost.document(),
        "budget_usd": row.budget_usd,
        "awake": [_awake_document(awake) for awake in row.awake],
        "notes": list(row.notes),
        "error": row.error and _error_document(row.error),
    }


def _awake_document(awake: AwakeTime) -> Json:
    spans = [[_utc(span.begin), _utc(span.end)] for span in awake.spans]
    return {"known_from": _utc(awake.known_from), "spans": spans}


def _utc(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))


def _error_document(error: RoostError) -> Json:
    return {"word": error.word, "message": str(error)}
