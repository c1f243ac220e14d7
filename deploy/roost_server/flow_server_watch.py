"""Watch what waits for flow servers: wake them, end the runs of dead ones, and decide on sleep.

It does nothing until a flow server was online once: a server without one costs what it did before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_

from roost_server.dead_runs import settle_runs
from roost_server.due_runs import (
    WaitingRun,
    active_runs,
    deployment_names,
    pending_runs,
    waiting_runs,
)
from roost_server.flow_server_book import Book
from roost_server.flow_server_wake import Waker
from roost_server.flow_servers import Caller, FlowServer, Served
from roost_server.last_error import FailureLog
from roost_server.missed_runs import MISSED_S
from roost_server.missing_processes import GONE_S, PENDING_S
from roost_server.next_due import NextDue
from roost_server.silent_flow_servers import (
    give_up,
    is_given_up,
    next_try,
    starts_since,
    try_again,
    why_silent,
)
from roost_server.subflows import Orphan, find_orphans
from roost_server.untaken_runs import Patience

LOOK_S, LEAST_S = 2.0, 0.5
AFTER_FAILURE_S = 5.0
SAVE_S = 60.0
AHEAD_S = 5.0
"""A flow server is woken this long before a run is due, in seconds."""
NEAR_S = 60.0
"""A run that is due sooner than this keeps the server awake: a sleep would not be worth it."""
SILENT_S = 600.0
"""A boot that was not seen for this long while it executed runs is gone, in awake seconds."""
ORPHAN_S = 60.0
"""How long a subflow may take to end after its parent did; both are executed by one process."""


def still_waits(record: FlowServer, run: WaitingRun) -> bool:
    """Return whether a run waits for this flow server, which is to be woken for it."""
    return run.run not in record.untaken and run.is_for(record.served)


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
        self._orphans: list[Orphan] = []
        self._patience: dict[str, Patience] = {}
        self._looked_s = self._wanted_at = 0.0
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

    def nudge(self, wanted: bool = False) -> None:  # noqa: FBT001, FBT002 - it is passed as a callback
        """Look now: a run may have been created.

        Args:
            wanted: whether somebody started it, which is worth a wake of whoever was given up.
        """
        if wanted:
            self._wanted_at = self._book.now()
        self._nudge.set()

    def expect(self, deployment: str) -> None:
        """Wake the flow server of a deployment for which a run is being created."""
        for record in list(self._book.servers.values()):
            serves = self._is_open() and deployment in record.deployments
            if serves and self._book.is_asleep(record.name) and not self._is_given_up(record):
                self._waker.wake(record)

    async def look(self) -> None:
        """Read what waits and what is executed, and act on it."""
        async with self._looking:
            self._book.clock.tick()
            await self._read()
            self._note_untaken()
            for record in list(self._book.servers.values()):
                await self._note_silent(record)
            for record in list(self._book.servers.values()):
                await self._wake(record)
            for name in list(self._book.servers):
                await self._end_silent(name)
            for name in list(self._book.servers):
                await self._end_lost(name)
            await self._end_orphans()
            if self._book.now() - self._saved_at >= SAVE_S:
                await self._book.save_dirty()
                self._saved_at = self._book.now()

    async def _read(self) -> None:
        served = reduce(or_, (each.served for each in self._book.servers.values()), Served())
        self._waiting = await waiting_runs(
            served,
            before=self._time() + timedelta(seconds=NEAR_S + LOOK_S),
        )
        claimed = self._book.begin_review()
        active = await active_runs(claimed)
        self._orphans = await find_orphans(claimed) if claimed else []
        # A run that ended is remembered until its subflows have ended too.
        self._active = active | ({orphan.parent for orphan in self._orphans} & claimed)
        if ended := claimed - self._active:
            self._book.end_review(ended)
            self.try_again()  # it may have held a slot that others wait for

    def _note_untaken(self) -> None:
        """Note which runs are there to be taken for too long; they wake nobody any more."""
        now_s = self._book.clock.seconds
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        for record in list(self._book.servers.values()):
            due = [run for run in self._waiting if run.is_for(record.served)]
            is_able = not self._book.is_asleep(record.name) and not self._executed(record)
            patience = self._patience.setdefault(record.name, Patience())
            untaken = patience.untaken(record.untaken, due, passed_s if is_able else 0.0)
            for run in untaken.keys() - record.untaken.keys():
                print(
                    f"roost: flow server {record.name} asks for work and does not take the run "
                    f"{run}, which keeps nobody awake any more",
                    flush=True,
                )
            self._book.put(replace(record, untaken=untaken))

    def try_again(self) -> None:
        """Wait for untaken runs again, for a while: what holds them may have changed."""
        for record in list(self._book.servers.values()):
            if record.untaken:
                self._patience.setdefault(record.name, Patience()).begin_again()
                self._book.put(replace(record, untaken={}))
                self._nudge.set()

    def _executed(self, record: FlowServer) -> str | None:
        """Return a run that this flow server executes; None if there is none."""
        return next((run for run in record.runs if run in self._active), None)

    async def _note_silent(self, record: FlowServer) -> None:
        """Give up a flow server that was started again and again and asks for no work."""
        if self._executed(record) or not (waking := self._waker.silent(record.name)):
            return
        caller = Caller(record.name, record.boot)
        is_seen = self._book.silent_s(caller) < self._book.clock.seconds - waking.since
        starts = starts_since(record, waking.boot)
        why = why_silent(starts, record.address, is_seen=is_seen)
        if not record.gave_up_at:
            print(f"roost: gives up flow server {record.name} for an hour: {why}", flush=True)
        self._book.put(give_up(record, self._book.now(), why))
        self._waker.forget(record.name)
        await self._book.save(record.name)

    def _is_given_up(self, record: FlowServer) -> bool:
        """Return whether a flow server that asked for no work is still left alone."""
        now = self._book.now()
        return is_given_up(record, now, ahead_s=NEAR_S, wanted_at=self._wanted_at)

    async def _wake(self, record: FlowServer) -> None:
        ahead = self._time() + timedelta(seconds=AHEAD_S)
        due = [run for run in self._waiting if run.at <= ahead and still_waits(record, run)]
        if not due or not self._book.is_asleep(record.name) or self._is_given_up(record):
            return
        self._book.put(record := try_again(record, self._book.now()))
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

    async def _end_lost(self, name: str) -> None:
        """End runs that have no process, although their flow server is there.

        A run that never had one may be started elsewhere by a worker, but not by `serve()`. Whose runs
        they were is forgotten at the next look, as one may be executed again at once.
        """
        gone, late = self._book.lost(name, GONE_S).gone, self._book.lost(name, PENDING_S)
        pending = await pending_runs(gone | late.unseen)
        served = self._book.servers[name].deployments
        unstarted = {
            run
            for run, deployment in pending.items()
            if run in late.gone or (run in late.unseen and deployment in served)
        }
        executed = (gone & self._active) - pending.keys()
        for runs, what in ((executed, "is gone"), (unstarted, "never began")):
            if runs:
                await settle_runs(sorted(runs), f"the process of this run on {name} {what}")

    async def _end_orphans(self) -> None:
        """End the subflows whose parent ended without them: its process crashed, or was killed."""
        before = self._time() - timedelta(seconds=ORPHAN_S)
        for orphan in self._orphans:
            if orphan.ended_at < before:
                why = f"the run {orphan.parent} ended, and with it the process of this subflow"
                await settle_runs([orphan.run], why)

    def stays_awake(self) -> str | None:
        """Return why the server must not sleep now, for its log; None if it may."""
        if not self._book.servers or not self._is_open():
            return None
        for record in self._book.servers.values():
            if executed := self._executed(record):
                return f"flow server {record.name} executes the run {executed}"
        near = self._time() + timedelta(seconds=NEAR_S)
        for record in self._book.servers.values():
            due = (run for run in self._waiting if run.at <= near and still_waits(record, run))
            if self._waker.gave_up(record.name) or self._is_given_up(record):
                continue
            if run := next(due, None):
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

        A run that would wake this server again and again is left out: one that is untaken, and one
        that is overdue for a flow server that cannot be woken.
        """
        await self._book.load()
        found: list[tuple[WaitingRun, str]] = []
        for record in self._book.servers.values():
            gave_up = bool(record.gave_up_at) or self._waker.gave_up(record.name)
            run = await first_due(record, self._time(), gave_up=gave_up)
            found += [(run, record.name)] if run else []
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


async def first_due(record: FlowServer, now: datetime, *, gave_up: bool) -> WaitingRun | None:
    """Return the earliest run that this flow server is to be woken for.

    Args:
        record: the flow server.
        now: the time, with its zone.
        gave_up: whether it could not be woken, so that overdue runs do not count.
    """
    after = now if gave_up else None
    runs = await waiting_runs(record.served, after=after, limit=1 + len(record.untaken))
    waiting = next((run for run in runs if run.run not in record.untaken), None)
    return waiting and next_try(record, waiting)
