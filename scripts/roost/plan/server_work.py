"""Read what an awake server reports of its work: clients, flow servers, windows, what is next. Pure.

The fields `clients`, `flow_servers`, `next_due` and `windows` of `/roost/report`. An older image reports
none of them, and a field of another form counts as missing: then nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roost.http.messages import one_line
from roost.plan.announced import Announced, read_announced
from roost.plan.next_due import MAX_WORDS, NextDue, read_next_due, read_time

MAX_ERROR, MAX_UNTAKEN = 300, 20
MOST_FAULTS = 20
POLLS = "polls_last_minute"
MOST = 2**53


@dataclass(frozen=True)
class ConnectedClients:
    """What keeps a server awake, apart from its own flow servers.

    Args:
        sockets: open web sockets, of workers and browsers.
        polls: polls for work in the last minute, of workers and `serve()`.
    """

    sockets: int
    polls: int

    @property
    def are_there(self) -> bool:
        """Whether anybody is connected."""
        return bool(self.sockets or self.polls)

    def document(self) -> dict[str, int]:
        """Return the JSON form."""
        return {"sockets": self.sockets, POLLS: self.polls}


@dataclass(frozen=True)
class UntakenRun:
    """A run that is overdue and that an awake flow server does not take; nobody is woken for it.

    Args:
        run: its id.
        due: when it was due, in UTC.
        deployment: its flow and deployment, as `flow/deployment`; may be empty.
        why: the likely reason.
    """

    run: str
    due: datetime | None
    deployment: str
    why: str

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "run": self.run,
            "due": _utc(self.due),
            "deployment": self.deployment,
            "why": self.why,
        }


@dataclass(frozen=True)
class FlowServerWork:
    """The work of one flow server, as the server knows it.

    Args:
        name: the flow server.
        due: its next run that is due, in UTC.
        overdue: how many of its runs should have started.
        running: how many of its runs are executing.
        wake_error: why it could not be woken; empty if it could.
        untaken: its runs that are overdue and that it does not take.
    """

    name: str
    due: datetime | None
    overdue: int
    running: int
    wake_error: str
    untaken: tuple[UntakenRun, ...] = ()

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "due": _utc(self.due),
            "overdue": self.overdue,
            "running": self.running,
            "wake_error": self.wake_error,
            "untaken": [run.document() for run in self.untaken],
        }


@dataclass(frozen=True)
class ServerWork:
    """What is known of a server's work; None is unknown.

    Args:
        clients: who is connected.
        flow_servers: its flow servers.
        next_due: the next run of any of them, or the next window; None also if there is none.
        waker: whether the waker knows that time; None also without a waker.
        window_faults: why it cannot use windows of its config.
    """

    clients: ConnectedClients | None = None
    flow_servers: tuple[FlowServerWork, ...] | None = None
    next_due: NextDue | None = None
    waker: Announced | None = None
    window_faults: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        servers = self.flow_servers
        return {
            "next_due": self.next_due and self.next_due.document(),
            "flow_servers": None if servers is None else [s.document() for s in servers],
            "waker": self.waker and self.waker.document(),
            "clients": None if self.clients is None else self.clients.document(),
        }


def read_work(report: Mapping[str, Any]) -> ServerWork:
    """Return the work that a server's report shows; what has another form is left out."""
    servers = report.get("flow_servers")
    return ServerWork(
        _clients(report.get("clients")),
        tuple(_flow_servers(servers)) if isinstance(servers, list) else None,
        _next_due(report.get("next_due")),
        read_announced(report.get("waker")),
        tuple(_window_faults(report.get("windows"))),
    )


def _clients(value: Any) -> ConnectedClients | None:
    if not isinstance(value, dict):
        return None
    sockets, polls = (_count(value.get(key)) for key in ("sockets", POLLS))
    return None if sockets is None or polls is None else ConnectedClients(sockets, polls)


def _flow_servers(records: list[Any]) -> Iterator[FlowServerWork]:
    for record in records:
        if not isinstance(record, dict) or not isinstance(record.get("name"), str):
            continue
        running, error = record.get("running"), record.get("wake_error")
        untaken = record.get("untaken")
        yield FlowServerWork(
            one_line(record["name"], MAX_WORDS),
            _time(record.get("due")),
            _count(record.get("overdue")) or 0,
            len(running) if isinstance(running, list) else 0,
            _line(error, MAX_ERROR),
            tuple(_untaken(untaken)) if isinstance(untaken, list) else (),
        )


def _untaken(runs: list[Any]) -> Iterator[UntakenRun]:
    for run in runs[:MAX_UNTAKEN]:
        if isinstance(run, dict):
            yield UntakenRun(
                _line(run.get("run"), MAX_WORDS),
                _time(run.get("due")),
                _line(run.get("deployment"), MAX_WORDS),
                _line(run.get("why"), MAX_ERROR),
            )


def _line(value: Any, longest: int) -> str:
    return one_line(value, longest) if isinstance(value, str) else ""


def _utc(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


def _next_due(value: Any) -> NextDue | None:
    try:
        return read_next_due(value)
    except ValueError:
        return None


def _window_faults(value: Any) -> Iterator[str]:
    faults = value.get("faults") if isinstance(value, dict) else None
    for fault in (faults if isinstance(faults, list) else [])[:MOST_FAULTS]:
        if isinstance(fault, str):
            yield one_line(fault, MAX_ERROR)


def _time(value: Any) -> datetime | None:
    try:
        return read_time(value)
    except ValueError:
        return None


def _count(value: Any) -> int | None:
    """Return a count; None if the value is none."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= MOST else None
