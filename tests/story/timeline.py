"""What happened in a story: when each app was awake, and when each run began and ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

ASLEEP = frozenset({"suspended", "stopped"})
WAKE_BEFORE = timedelta(seconds=90)
"""A server is woken a minute before a run is due."""


@dataclass(frozen=True)
class Look:
    """The states of the machines at one time.

    Args:
        at: when, in UTC.
        awake: the apps with a machine that does not sleep.
    """

    at: datetime
    awake: frozenset[str]


@dataclass(frozen=True)
class Span:
    """A time in which an app was awake."""

    app: str
    begins: datetime
    ends: datetime

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.ends - self.begins).total_seconds()


def look(at: datetime, apps: Mapping[str, Any]) -> Look:
    """Return a look from the status of the local Fly: machines with their states, by app."""
    awake = {
        name
        for name, app in apps.items()
        if any(machine["state"] not in ASLEEP for machine in app["machines"])
    }
    return Look(at, frozenset(awake))


def spans(looks: Sequence[Look]) -> tuple[Span, ...]:
    """Return when each app was awake; the time between two looks counts as the first of them."""
    found: list[Span] = []
    open_since: dict[str, datetime] = {}
    for each in looks:
        ended = open_since.keys() - each.awake
        found += [Span(app, open_since.pop(app), each.at) for app in ended]
        for app in each.awake - open_since.keys():
            open_since[app] = each.at
    found += [Span(app, begins, looks[-1].at) for app, begins in open_since.items()]
    return tuple(sorted(found, key=lambda span: (span.begins, span.app)))


def awake_s(found: Iterable[Span], app: str, begins: datetime, ends: datetime) -> float:
    """Return for how many seconds an app was awake between two times."""
    inside = ((max(span.begins, begins), min(span.ends, ends)) for span in found if span.app == app)
    return sum(max(0.0, (end - begin).total_seconds()) for begin, end in inside)


@dataclass(frozen=True)
class Run:
    """A flow run as the server recorded it.

    Args:
        deployment: its deployment.
        due: when it was to start.
        started: when it was Running for the first time; None if it never was.
        ended: when it ended; None if it did not.
        state: its last state.
        executions: how often it began.
    """

    deployment: str
    due: datetime
    started: datetime | None
    ended: datetime | None
    state: str
    executions: int = 1

    @property
    def late_s(self) -> float | None:
        """How late it started, in seconds."""
        return (self.started - self.due).total_seconds() if self.started else None


def read_run(found: Mapping[str, Any], deployments: Mapping[str, str]) -> Run:
    """Return a flow run from Prefect's answer; `deployments` has the names by id."""
    return Run(
        deployments[found["deployment_id"]],
        _time(found["expected_start_time"]),
        _time(found["start_time"]) if found["start_time"] else None,
        _time(found["end_time"]) if found["end_time"] else None,
        str(found["state_name"]),
        int(found["run_count"]),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def woken(run: Run, found: Iterable[Span]) -> tuple[str, ...]:
    """Return the apps that woke for a run: those that became awake shortly before it started."""
    if run.started is None:
        return ()
    since, until = run.due - WAKE_BEFORE, run.started
    return tuple(span.app for span in found if since <= span.begins <= until)
