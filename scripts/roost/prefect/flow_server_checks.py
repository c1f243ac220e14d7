"""Checks that a flow server works: it is online, a run was executed on it, and it asks for work.

All are read from the Prefect server, whose part is deploy/roost_server/flow_servers.py. A flow server
itself answers only that it is awake.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

import anyio

from roost.prefect.probe import Check
from roost.prefect.read_checks import check_ready
from roost.prefect.server import CheckFailedError, Server

PATH = "/roost/flow-servers"
LOGIN = "PREFECT_SERVER_API_AUTH_STRING"
CANARY = "roost-canary"
"""The name of the flow that each new version of a flow server runs first (deploy/flows)."""
CANARY_LOG = "roost canary of "
ENDED_BADLY = frozenset({"FAILED", "CRASHED", "CANCELLED"})
WAKE_EVERY_S = 10.0
ONLINE, ONLINE_LIMIT_S = "online", 180.0
Json = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True)
class FlowServerSubject:
    """A flow server to prove.

    Args:
        name: its name in the environment file.
        label: its name in commands, `ENVIRONMENT.NAME`.
        versions: the config versions of its machine, one of which must be online; empty for any.
    """

    name: str
    label: str
    versions: frozenset[str] = frozenset()
    stop_s: float = 0.0
    """How long its former start may take to end, before the new one comes online."""


def flow_server_checks(subject: FlowServerSubject) -> tuple[Check, ...]:
    """Return the checks in order; each needs the ones before it."""
    return (
        Check(
            "server",
            90,
            check_ready,
            "The Prefect server does not answer. Look at its log.",
            vital=True,
        ),
        Check(
            ONLINE,
            ONLINE_LIMIT_S + subject.stop_s,
            partial(_check_online, subject),
            "It did not reach the Prefect server. Look at the log of its app.",
            vital=True,
        ),
        Check(
            "canary run",
            120,
            partial(_check_canary, subject),
            "It did not run a flow. Look at the log of its app.",
            vital=True,
        ),
        Check(
            "asks for work",
            120,
            partial(_check_polls, subject),
            "Its command runs and asks the Prefect server for no work. Does it call serve(), or "
            "start a worker?",
        ),
    )


async def read_record(server: Server, name: str) -> Json | None:
    """Return what the Prefect server knows of a flow server; None if it never was online."""
    answer = await server.http.get(f"{PATH}/{name}", headers=server.login())
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return None
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise CheckFailedError(
            "the Prefect server refuses the login (status 401)",
            f"The value of {LOGIN} here is not the server's. Set it to the server's and apply again; "
            "to change the login, apply the environment, which sets it on both.",
        )
    if answer.status_code != HTTPStatus.OK:
        raise CheckFailedError(
            f"GET {PATH}/{name} answered {answer.status_code}: {server.quote(answer.text)}"
        )
    found = answer.json()
    return found if isinstance(found, dict) else None


async def _check_online(subject: FlowServerSubject, server: Server) -> str:
    """Wait until the machine with the new config is online; wake it as the server does."""
    await _check_supported(server)
    server.waiting.last = "it never was online"
    next_wake = anyio.current_time()
    # Known, it may sleep by now, and Fly must report it as started: wake it once in any case.
    if await read_record(server, subject.name) is not None:
        await _wake(subject, server)
        next_wake += WAKE_EVERY_S

    async def look() -> Json | None:
        nonlocal next_wake
        record = await _current_record(subject, server)
        if record is None and anyio.current_time() >= next_wake:
            next_wake = anyio.current_time() + WAKE_EVERY_S
            await _wake(subject, server)
        return record

    record = await _poll(server, look)
    return f"Prefect {server.quote(str(record.get('prefect')))}"


async def _wake(subject: FlowServerSubject, server: Server) -> None:
    await server.http.post(f"{PATH}/{subject.name}/wake", headers=server.login())


async def _check_supported(server: Server) -> None:
    answer = await server.http.get(PATH, headers=server.login())
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise CheckFailedError(
            "the Prefect server knows nothing of flow servers",
            "Its image is older than flow servers. Apply the environment first.",
        )


async def _check_canary(subject: FlowServerSubject, server: Server) -> str:
    """Wait for the canary's run and for its log."""
    record = await _poll(server, partial(_current_record, subject, server))
    name = f"{CANARY}-{record['version']}"
    chosen = {"flow_runs": {"name": {"any_": [name]}}, "limit": 1}
    run = await _poll(server, partial(_ended_run, server, chosen))
    await _poll(server, partial(_log_of, server, str(run["id"])))
    return "executed, log arrived"


async def _ended_run(server: Server, chosen: Json) -> Json | None:
    """Return the canary's run once it is completed.

    Raises:
        CheckFailedError: it ended in another state.
    """
    runs = await server.call("POST", "/flow_runs/filter", chosen)
    if not runs:
        server.waiting.last = "its canary has no run"
        return None
    state = runs[0]["state"]
    server.waiting.last = f"its canary's run is {server.quote(str(state['type']))}"
    if state["type"] in ENDED_BADLY:
        raise CheckFailedError(
            f"its canary's run ended {server.quote(str(state['type']))}: "
            f"{server.quote(str(state.get('message') or ''))}"
        )
    found: Json = runs[0]
    return found if state["type"] == "COMPLETED" else None


async def _log_of(server: Server, run: str) -> bool:
    server.waiting.last = "the log of its canary's run did not arrive"
    chosen = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 50}
    lines = await server.call("POST", "/logs/filter", chosen)
    return any(str(line["message"]).startswith(CANARY_LOG) for line in lines)


async def _check_polls(subject: FlowServerSubject, server: Server) -> str:
    """Wait until the command asked for work since it is online."""
    server.waiting.last = "it has not asked for work"
    record = await _record_when(
        subject, server, lambda found: str(found["polled_at"] or "") > str(found["online_at"])
    )
    served = len(record["deployments"])
    pools = ", ".join(server.quote(str(pool)) for pool in record["pools"])
    return f"pool {pools}" if pools else f"{served} deployment{'s' if served != 1 else ''}"


async def _current_record(subject: FlowServerSubject, server: Server) -> Json | None:
    """Return the record, if it is of a machine with the config to prove."""
    record = await read_record(server, subject.name)
    if record and subject.versions and record["version"] not in subject.versions:
        server.waiting.last = "an earlier version of its machine is online"
        return None
    return record


async def _record_when(
    subject: FlowServerSubject, server: Server, fits: Callable[[Json], bool]
) -> Json:
    async def look() -> Json | None:
        record = await _current_record(subject, server)
        return record if record and fits(record) else None

    return await _poll(server, look)


async def _poll(server: Server, look: Callable[[], Awaitable[Found | None]]) -> Found:
    """Repeat a call until it returns something true; the check's limit ends it."""
    while True:
        if found := await look():
            return found
        await anyio.sleep(server.poll_s)
