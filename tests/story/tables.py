"""The tables of a story, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from story.timeline import Run, Span, awake_s, woken
from story.timetable import Timetable

NONE = "-"


@dataclass(frozen=True)
class AppHours:
    """One app in a month.

    Args:
        app: its name.
        measured_min: the minutes that it was awake in the story.
        month_h: the hours that it is awake in a month of the examples' schedules.
        month_usd: what that month costs.
        always_usd: what it costs if it never sleeps.
    """

    app: str
    measured_min: float
    month_h: float
    month_usd: float
    always_usd: float


def run_rows(ours: Sequence[Run], stock: Sequence[Run], spans: Sequence[Span], app: str) -> str:
    """Return the table of the runs, ours beside the same run of stock."""
    beside = {(run.deployment, run.due.replace(second=0, microsecond=0)): run for run in stock}
    rows = [("deployment", "due", "started", "ended", "state", "woke", "stock started")]
    for run in ours:
        other = beside.get((run.deployment, run.due.replace(second=0, microsecond=0)))
        who = [name.removeprefix(f"{app}-") for name in woken(run, spans)]
        rows.append(
            (
                run.deployment,
                f"{run.due:%H:%M:%S}",
                _after(run.late_s),
                _after((run.ended - run.due).total_seconds() if run.ended else None),
                run.state,
                ", ".join("server" if name == app else name for name in who) or "nobody",
                _after(other.late_s if other else None),
            )
        )
    return markdown(rows)


def hour_rows(found: Iterable[AppHours]) -> str:
    """Return the table of the apps with their hours and costs, and the sum."""
    apps = tuple(found)
    rows = [("app", "awake in the story", "awake in a month", "USD a month", "always on, USD")]
    rows += [
        (
            each.app,
            f"{each.measured_min:.1f} min",
            f"{each.month_h:.1f} h",
            f"{each.month_usd:.2f}",
            f"{each.always_usd:.2f}",
        )
        for each in apps
    ]
    total = (sum(each.month_usd for each in apps), sum(each.always_usd for each in apps))
    return markdown([*rows, ("all", "", "", f"{total[0]:.2f}", f"{total[1]:.2f}")])


def measured_min(spans: Iterable[Span], app: str, times: Timetable) -> float:
    """Return for how many minutes of the story an app was awake."""
    return awake_s(spans, app, times.begins, times.ends) / 60


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table; the first one is its head."""
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _after(seconds: float | None) -> str:
    return NONE if seconds is None else f"+{seconds:.1f} s"
