"""Watch what waits for flow servers: wake them, end the runs of dead ones, and decide on sleep.

It does nothing until a flow server was online once: a server without one costs what it did before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from roost_server.due_runs import WaitingRun, active_runs, deployment_names, waiting_runs
from roost_server.flow_server_book import Book
from roost_server.flow_server_wake import Waker
from roost_server.flow_servers import Caller, FlowServer
from roost_server.last_error import FailureLog
from roost_server.missed_runs import MISSED_S
from roost_server.next_due import NextDue

LOOK_S, LEAST_S = 2.0, 0.5
AFTER_FAILURE_S = 5.0
SAVE_S = 60.0
AHEAD_S = 5.0
"""A flow server is woken this long before a run is due, in seconds."""
NEAR_S = 60.0
"""A run that is due sooner than this keeps the server awake: a sleep would not be worth it."""
SILENT_S = 600.0
"""A boot that was not seen for this long while it executed runs is gone, in awake seconds."""


def waits_for(record: FlowServer, run: WaitingRun) -> bool:
    """Return whether a run waits for this flow server."""
    return run.deployment in record.deployments or run.pool in record.pools


class FlowWatch:
    """Looks at due and executed runs every few seconds.

    Args:
        book: the flow servers.
        waker: wakes them.
        is_open: returns whether the server accepts all clients; the watch rests until then.
    """

    def __init__(self, book: Book, waker: Waker, is_open: Callable[[], bool]) -> None:
        self._book = book
        self._waker = waker
        self._is_open = is_open
        self._waiting: list[WaitingRun] = []
        self._active: set[str] = set()
        self._nudge = asyncio.Event()
        self._looking = asyncio.Lock()
        self._saved_at = 0.0
        self._failures = FailureLog("the watch of flow servers failed")

    async def run(self) -> None:
        """Watch until cancelled; a failure of the database is logged, and the watch goes on."""
        while True:
            pause_s, began = LOOK_S, time.monotonic()
            try:
                await self._book.load()
                await self._book.changed.wait()
                if self._is_open() and self._book.servers:
                    await self.look()
                self._failures.clear()
            except Exception as error:  # noqa: BLE001 - any failure is logged and tried again
                self._failures.note(error)
                pause_s = AFTER_FAILURE_S
            self._book.clock.tick()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), pause_s)
                # Many runs may be created in a second; one look sees them all.
                await asyncio.sleep(LEAST_S - (time.monotonic() - began))
            self._nudge.clear()

    def nudge(self) -> None:
        """Look now: a run may have been created."""
        self._nudge.set()

    async def look(self) -> None:
        """Read what waits and what is executed, and act on it."""
        async with self._looking:
            self._book.clock.tick()
            await self._read()
            for record in list(self._book.servers.values()):
                await self._wake(record)
            for name in list(self._book.servers):
                await self._end_silent(name)
            if self._book.now() - self._saved_at >= SAVE_S:
                await self._book.save_dirty()
                self._saved_at = self._book.now()

    async def _read(self) -> None:
        servers = list(self._book.servers.values())
        self._waiting = await waiting_runs(
            {each for record in servers for each in record.deployments},
            {each for record in servers for each in record.pools},
            before=self._time() + timedelta(seconds=NEAR_S + LOOK_S),
        )
        claimed = self._book.begin_review()
        self._active = await active_runs(claimed)
        self._book.end_review(claimed - self._active)

    async def _wake(self, record: FlowServer) -> None:
        ahead = self._time() + timedelta(seconds=AHEAD_S)
        due = [run for run in self._waiting if run.at <= ahead and waits_for(record, run)]
        if not due or not self._book.is_asleep(record.name):
            return
        self._waker.wake(record)
        missed = self._time() - timedelta(seconds=MISSED_S)
        if len(due) > 1 and due[0].at < missed:
            await self._book.skip_missed(record.name)

    async def _end_silent(self, name: str) -> None:
        record = self._book.servers[name]
        boots = {boot for run, boot in record.runs.items() if run in self._active}
        silent = {
            boot
            for boot in boots
            if boot not in record.fenced and self._book.silent_s(Caller(name, boot)) > SILENT_S
        }
        if silent:
            print(f"roost: flow server {name} was not seen for {SILENT_S:.0f} s", flush=True)
            await self._book.fence(name, silent)
        elif record.dead_runs():  # an earlier attempt failed
            await self._book.settle(name)

    def stays_awake(self) -> str | None:
        """Return why the server must not sleep now, for its log; None if it may."""
        if not self._book.servers or not self._is_open():
            return None
        for record in self._book.servers.values():
            if executed := next((run for run in record.runs if run in self._active), None):
                return f"flow server {record.name} executes the run {executed}"
        near = self._time() + timedelta(seconds=NEAR_S)
        for record in self._book.servers.values():
            due = (run for run in self._waiting if run.at <= near and waits_for(record, run))
            if (run := next(due, None)) and not self._waker.gave_up(record.name):
                return f"the run {run.run} for flow server {record.name} is due at {run.at:%H:%M:%S} UTC"
        return None

    async def prepare_sleep(self) -> bool:
        """Look again, and return whether the server may sleep.

        Without any flow server nothing is read or written.
        """
        if not self._book.servers or not self._is_open():
            return True
        try:
            await self.look()
            await self._book.save_dirty()
        except Exception as error:  # noqa: BLE001 - a server that cannot look must still sleep
            self._failures.note(error)
            return True
        return not self.stays_awake()

    def is_used(self) -> bool:
        """Return whether there is any flow server."""
        return bool(self._book.servers)

    async def next_due(self) -> NextDue | None:
        """Return the earliest run that waits for a flow server.

        A run that is overdue for a flow server that cannot be woken is left out: it would wake this
        server again and again.
        """
        await self._book.load()
        found: list[tuple[WaitingRun, str]] = []
        for record in self._book.servers.values():
            after = self._time() if self._waker.gave_up(record.name) else None
            runs = await waiting_runs(record.deployments, record.pools, after=after, limit=1)
            found += [(run, record.name) for run in runs]
        earliest = min(found, key=lambda each: each[0].at, default=None)
        return await _describe(*earliest) if earliest else None

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._book.now(), UTC)


async def _describe(run: WaitingRun, name: str) -> NextDue:
    """Return a run as what is due next, with the names of its flow server and deployment."""
    names = await deployment_names([run.deployment] if run.deployment else [])
    named = names.get(run.deployment or "")
    deployment = f"{named.flow}/{named.name}" if named else ""
    return NextDue(run.at, {"flow_server": name, "deployment": deployment})
