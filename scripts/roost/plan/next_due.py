"""Read when a sleeping server is needed next, and decide whether to wake it. Pure.

A server of Roost's image leaves the time in its machine's metadata before it sleeps, as JSON, or nothing:
`{"at": RFC 3339, "flow_server": NAME, "deployment": "flow/deployment"}` for a run, and `{"at": RFC 3339,
"window": "mon-fri 08:00-18:00 Europe/Berlin"}` for a window in which it stays awake. It is text that a
machine sent, so it is checked and shortened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from roost.environment.windows import WindowError, read_window, spans_around
from roost.fly.models import Machine
from roost.http.messages import one_line
from roost.plan.awake_windows import windows_of
from roost.plan.desired import WINDOWS

NEXT_DUE_KEY = "roost_next_due"
LEAD = timedelta(seconds=60)
"""So long before something is due its server is woken. A server stays awake for what is nearer."""
TRIES = timedelta(hours=1)
"""So long a server is woken again for the same thing, if it slept and left the same time."""
MAX_WORDS = 100
_ASLEEP = frozenset({"stopped", "suspended", "stopping", "suspending"})
_AWAKE = frozenset({"started", "starting"})
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True)
class NextDue:
    """What a server is needed for next: a run that it has to start, or a window.

    Args:
        at: when, in UTC.
        flow_server: the flow server that runs it; empty for a window.
        deployment: its flow and deployment, as `flow/deployment`; empty for a run of none.
        window: the window that opens; empty for a run.
    """

    at: datetime
    flow_server: str = ""
    deployment: str = ""
    window: str = ""

    def document(self) -> dict[str, str]:
        """Return the JSON form, as in the metadata."""
        at = {"at": self.at.isoformat().replace("+00:00", "Z")}
        if self.window:
            return {**at, "window": self.window}
        return {**at, "flow_server": self.flow_server, "deployment": self.deployment}


def parse_next_due(text: str) -> NextDue | None:
    """Return what a machine's metadata names next; None if it names nothing.

    Raises:
        ValueError: the text has another form.
    """
    if not text:
        return None
    try:
        left = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return read_next_due(left)


def read_next_due(left: Any) -> NextDue:
    """Return a parsed JSON value as what a server is needed for next.

    Raises:
        ValueError: the value has another form.
    """
    if not isinstance(left, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - a fault of the text, not of a caller
    at = read_time(left.get("at"))
    if "window" in left and (window := _words(left, "window")):
        return NextDue(at, window=window)
    flow_server, deployment = (_words(left, key) for key in ("flow_server", "deployment"))
    if not flow_server:
        raise ValueError("it names neither a flow server nor a window")
    return NextDue(at, flow_server, deployment)


def as_of_now(due: NextDue, now: datetime, machines: Iterable[Machine]) -> NextDue:
    """Return a window that opened since it was named as what is open now, or opens next.

    A run that was missed still has to be started, and is returned as it is. A window that nobody was
    woken for may be over, and another one open.

    Args:
        due: what was named.
        now: the time.
        machines: those whose configs have the windows.
    """
    if not due.window or due.at > now:
        return due
    kept = [window for machine in machines for window in windows_of(machine.config or {})]
    try:
        is_open, following = spans_around(kept or [read_window(due.window)], now)
    except WindowError:  # of another version, or with a zone that is not known here
        return due
    newest = is_open or following
    if newest is None or newest.begin <= due.at:
        return due
    return replace(due, at=newest.begin, window=str(newest.opens))


def read_time(value: Any) -> datetime:
    """Return a time of RFC 3339 in UTC.

    Raises:
        ValueError: the value is another thing, or no time that exists.
    """
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("its time is none of RFC 3339")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:
        raise ValueError("its time is out of range") from None


def _words(left: dict[str, Any], key: str) -> str:
    value = left.get(key)
    if not isinstance(value, str):
        raise ValueError(f"it has no {key}")  # noqa: TRY004 - a fault of the text, not of a caller
    return one_line(value, MAX_WORDS)


class Decision(Enum):
    """What a tick does about one environment."""

    NO_MACHINE = "no-machine"
    AWAKE = "awake"
    BUSY = "busy"
    """Its machine is being created, replaced or removed, or it failed."""
    NOTHING_DUE = "nothing-due"
    LATER = "later"
    LEFT_OVER = "left-over"
    """It was awake since it was due, for long enough, and slept again in peace."""
    DUE = "due"
    """It is woken."""


@dataclass(frozen=True)
class Decided:
    """The decision about one environment, and what it rests on.

    Args:
        decision: what to do.
        due: the next run or window that the machines name.
        notes: values in the metadata that could not be read.
    """

    decision: Decision
    due: NextDue | None = None
    notes: tuple[str, ...] = ()


def _has_windows(machine: Machine) -> bool:
    """Return whether a machine's config names windows, also one that is not understood here."""
    return bool(((machine.config or {}).get("env") or {}).get(WINDOWS))


def next_due_of(machines: Iterable[Machine]) -> tuple[NextDue | None, tuple[str, ...]]:
    """Return the earliest time that machines name, and a note for each value that cannot be read."""
    found: list[NextDue] = []
    notes: list[str] = []
    for machine in machines:
        try:
            due = parse_next_due(machine.metadata.get(NEXT_DUE_KEY, ""))
        except ValueError as fault:
            why = one_line(str(fault), MAX_WORDS)
            notes.append(
                f"The metadata {NEXT_DUE_KEY} of {machine.id} cannot be read ({why}): nothing is known "
                "to be due. The server writes it again when it sleeps the next time."
            )
            continue
        if due and due.window and not _has_windows(machine):
            continue  # left by a release that had windows
        found += [due] if due else []
    return min(found, key=lambda due: due.at, default=None), tuple(notes)


def decide(machines: Sequence[Machine], now: datetime) -> Decided:
    """Decide whether to wake an environment's server now.

    Args:
        machines: the environment's machines, as Fly lists them, with their newest events.
        now: the time.
    """
    # A cordoned machine gets no requests: Fly's proxy would not start it.
    serving = [machine for machine in machines if not machine.cordoned]
    if not serving:
        return Decided(Decision.NO_MACHINE)
    named, notes = next_due_of(serving)
    due = as_of_now(named, now, serving) if named else None
    return Decided(_decision(serving, due, now), due, notes)


def _decision(serving: Sequence[Machine], due: NextDue | None, now: datetime) -> Decision:
    states = {machine.state for machine in serving}
    if not states & _ASLEEP or states & _AWAKE:
        return Decision.AWAKE if states & _AWAKE else Decision.BUSY
    if due is None:
        return Decision.NOTHING_DUE
    if due.at > now + LEAD:
        return Decision.LATER
    is_old = now - due.at > TRIES
    left_over = is_old and any(_was_awake_since(machine, due.at) for machine in serving)
    return Decision.LEFT_OVER if left_over else Decision.DUE


def _was_awake_since(machine: Machine, due: datetime) -> bool:
    """Return whether a machine was started since a run was due, and did not fail afterwards.

    Such a server did not write its metadata anew when it slept: an older image is back, which knows
    nothing of it. To wake that one at each tick would keep it awake for good.
    """
    since = [event for event in machine.events if event.timestamp / 1000 > due.timestamp()]
    started = any((event.type, event.status) == ("start", "started") for event in since)
    endings = [ending for event in since if (ending := event.exit_event) is not None]
    return started and all(ending.get("requested_stop") for ending in endings)
