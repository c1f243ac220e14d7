"""Translate retention into Prefect's settings, and warn what a change deletes. Pure.

The settings are those of Prefect's own vacuum service (`prefect.server.services.db_vacuum`), which
runs at each start and then every hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from roost.environment.disk import (
    EVENTS_DAYS,
    EVENTS_SETTING,
    FLOW_RUNS_SETTING,
    KEEP,
    VACUUM_SETTING,
    Retention,
)
from roost.plan.steps import Step, UpdateMachine

DAY_S = 24 * 3600
PREFECT_FLOW_RUNS_S = 90 * DAY_S
"""Prefect's default when its vacuum of flow runs is on and no period is set."""
_ALL = frozenset({"1", "true", "t", "yes", "y", "on"})


def retention_settings(retention: Retention) -> dict[str, str]:
    """Return Prefect's settings for a retention, without those that equal its defaults."""
    settings = {}
    if retention.events != EVENTS_DAYS:
        settings[EVENTS_SETTING] = str(retention.events * DAY_S)
    if retention.flow_runs != KEEP:
        settings[VACUUM_SETTING] = "events,flow_runs"
        settings[FLOW_RUNS_SETTING] = str(retention.flow_runs * DAY_S)
    return settings


def deletes_more(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Return whether the second settings delete data that the first ones keep."""
    return _shorter(flow_runs_seconds(before), flow_runs_seconds(after)) or _shorter(
        _seconds(before.get(EVENTS_SETTING), EVENTS_DAYS * DAY_S),
        _seconds(after.get(EVENTS_SETTING), EVENTS_DAYS * DAY_S),
    )


def deletion_notes(steps: Iterable[Step]) -> Iterator[str]:
    """Yield what Prefect deletes after a plan that it kept before, and how to keep it."""
    for step in steps:
        if not isinstance(step, UpdateMachine):
            continue
        changed = {change.field for change in step.changes}
        variables = step.config.get("env") or {}
        on_volume = bool(step.config.get("mounts"))
        flow_runs = flow_runs_seconds(variables)
        if flow_runs and changed & {f"env.{VACUUM_SETTING}", f"env.{FLOW_RUNS_SETTING}"}:
            yield (
                f"Prefect deletes flow runs {_days(flow_runs)} after they ended, with their task "
                "runs, logs and artifacts, and those that are older already when it starts. "
                f"{_way_back(on_volume=on_volume)} To keep them all: "
                "`database.retention.flow_runs: keep`."
            )
        if f"env.{EVENTS_SETTING}" in changed:
            events = _seconds(variables.get(EVENTS_SETTING), EVENTS_DAYS * DAY_S)
            yield f"Prefect deletes events after {_days(events)}."


def _way_back(*, on_volume: bool) -> str:
    if on_volume:
        return "A snapshot is taken first, where that deletes more than before."
    return "Roost takes no snapshot of a Postgres database: make a backup of it first."


def flow_runs_seconds(variables: Mapping[str, str]) -> float | None:
    """Return the seconds after which flow runs are deleted; None if they are kept."""
    enabled = variables.get(VACUUM_SETTING, "").strip().lower()
    kinds = {kind.strip(" []\"'") for kind in enabled.split(",")}
    if enabled not in _ALL and "flow_runs" not in kinds:
        return None
    return _seconds(variables.get(FLOW_RUNS_SETTING), PREFECT_FLOW_RUNS_S)


def _seconds(text: str | None, default: float) -> float:
    """Return a period in seconds. A text form, which Roost never writes, counts as endless."""
    try:
        return float(text) if text else default
    except ValueError:
        return math.inf


def _shorter(before: float | None, after: float | None) -> bool:
    return after is not None and (before is None or after < before)


def _days(seconds: float) -> str:
    return f"{seconds / DAY_S:g} days"
