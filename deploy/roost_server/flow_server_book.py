"""What is known about the flow servers while the server runs: records, and who was seen when.

Records are loaded once and written when they change. The moment of the last poll is written rarely.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from roost_server.awake_clock import AwakeClock
from roost_server.dead_runs import settle_runs
from roost_server.flow_server_store import Records
from roost_server.flow_servers import DRAIN_S, Caller, FlowServer, Online, Served, first_online
from roost_server.missed_runs import skip_missed
from roost_server.missing_processes import Missing, MissingProcesses

GAP_S = 120.0
"""Runs count as missed only if a flow server asked for no work for this many seconds."""
ALIVE_S = 15.0
"""A flow server that asked for no work for this many seconds is asleep, stopped, or starts."""
IN_FLIGHT_S, LOOK_S = 10.0, 0.02
HOLD_S = 3.0
"""How long a poll of a flow server that is being woken waits for the end of its drain, in seconds."""


class FencedError(Exception):
    """The caller is an older start of a flow server; the message is for its log."""


class Book:
    """The flow servers of this server.

    Args:
        records: where they are kept.
        clock: the awake seconds of this server.
        on_asks: called with the name of a flow server that asks for work.
        is_waking: returns whether a flow server was requested to wake and did not ask for work yet.
    """

    def __init__(
        self,
        records: Records,
        clock: AwakeClock,
        on_asks: Callable[[str], None] = lambda _: None,
        is_waking: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._records = records
        self.clock = clock
        self._on_asks = on_asks
        self._is_waking = is_waking
        self.servers: dict[str, FlowServer] = {}
        self.changed = asyncio.Event()
        self.in_flight: Counter[Caller] = Counter()
        self.claiming: set[str] = set()
        self._seen: dict[Caller, float] = {}
        self._seen_at: dict[str, float] = {}
        self._alive: dict[str, float] = {}
        self._dirty: set[str] = set()
        self._touched: set[str] = set()
        self._missing: dict[str, MissingProcesses] = {}
        self._loaded = False
        self._loading, self._saving, self._skipping = (asyncio.Lock() for _ in range(3))
        self._settling = asyncio.Lock()

    async def load(self) -> None:
        """Load the records, once; each executing boot has its full time to be seen again."""
        async with self._loading:
            if self._loaded:
                return
            self.servers = await self._records.load() | self.servers
            self._loaded = True
        if self.servers:
            self.changed.set()

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self.clock.wall()

    def put(self, record: FlowServer) -> None:
        """Replace a record in memory; `save` writes it."""
        if self.servers.get(record.name) != record:
            self.servers[record.name] = record
            self._dirty.add(record.name)
        self.changed.set()

    async def save(self, name: str) -> None:
        """Write a record as it is now."""
        async with self._saving:
            if record := self.servers.get(name):
                await self._records.save(record)
                if self.servers.get(name) is record:
                    self._dirty.discard(name)

    async def save_dirty(self) -> None:
        """Write every record that changed since it was written."""
        for name in sorted(self._dirty):
            await self.save(name)
        self._dirty &= self.servers.keys()

    def check(self, caller: Caller) -> FlowServer | None:
        """Return the record of a caller and note that it was seen; None if it is unknown.

        Raises:
            FencedError: a newer boot is online, or this one was silent and its runs were ended.
        """
        record = self.servers.get(caller.name)
        if record is None:
            return None
        if caller.boot in record.fenced:
            raise FencedError(
                f"Start {caller.boot} of flow server {caller.name} was replaced or silent for too "
                "long, and its runs were ended. Start again with a new id."
            )
        self._seen[caller] = self.clock.seconds
        if caller.boot == record.boot:
            self._seen_at[caller.name] = self.now()
        return record

    @contextmanager
    def request(self, caller: Caller) -> Iterator[None]:
        """Count a request of a caller while it is under way."""
        self.in_flight[caller] += 1
        try:
            yield
        finally:
            self.in_flight[caller] -= 1
            if not self.in_flight[caller]:
                del self.in_flight[caller]

    async def come_online(self, name: str, online: Online) -> FlowServer:
        """Take over a new boot, fence the others, and settle their runs.

        Raises:
            FencedError: the boot is fenced itself.
        """
        old = self.servers.get(name)
        if old:
            self.check(Caller(name, online.boot))
        at = datetime.fromtimestamp(self.now(), UTC).isoformat()
        self.put(old.come_online(online, at) if old else first_online(name, online, at))
        self._note_alive(name)
        await self.save(name)
        self.check(Caller(name, online.boot))
        await self.settle(name)
        await self.skip_missed(name)
        return self.servers[name]

    async def drain(self, name: str, *, draining: bool) -> FlowServer:
        """Give a flow server no work from now on, or work again."""
        until = self.now() + DRAIN_S if draining else 0.0
        self.put(replace(self.servers[name], draining_until=until))
        self._alive.pop(name, None)
        if not draining:
            self._note_alive(name)
            await self.skip_missed(name)
        await self.save(name)
        return self.servers[name]

    async def poll(self, caller: Caller, polled: Served) -> bool:
        """Note that a caller asks for work, and for which; return whether it gets any now."""
        record = self.servers[caller.name]
        learned = record.learn(caller.boot, polled)
        if learned is not record:
            self.put(learned)
            await self.save(caller.name)
        if not await self._may_work(caller):
            return False
        await self.skip_missed(caller.name)
        self._note_alive(caller.name)
        self._on_asks(caller.name)
        record = self.servers[caller.name]
        self.put(record.got_work(self.now()))
        if record.gave_up_at:
            await self.save(caller.name)
        return True

    async def _may_work(self, caller: Caller) -> bool:
        """Return whether a caller gets work; while it wakes, wait for the end of its drain.

        Its command asks at once after a wake, and its launcher ends the drain at the same time. An
        empty reply would cost the run that it was woken for a whole interval between two polls.
        """
        ends = time.monotonic() + HOLD_S
        while (record := self.servers.get(caller.name)) and record.is_draining(self.now()):
            if not self._is_waking(caller.name) or time.monotonic() >= ends:
                return False
            await asyncio.sleep(LOOK_S)
        # Meanwhile it may have been forgotten, or replaced by a newer boot.
        return record is not None and caller.boot not in record.fenced

    async def claim(self, caller: Caller, run: str) -> bool:
        """Record, before it begins, that a caller executes a run; return whether that was new."""
        record = self.servers[caller.name]
        self._touched.add(run)
        if missing := self._missing.get(caller.name):
            missing.forget(run)
        if record.runs.get(run) == caller.boot:
            return False
        self.put(record.claim(run, caller.boot))
        try:
            await self.save(caller.name)
        except BaseException:
            # The client sends the request again, and its claim has to be written then.
            self.release(caller.name, [run])
            raise
        return True

    def note_missing(self, caller: Caller, missing: Missing) -> None:
        """Record which runs have no process, as the newest boot says."""
        record = self.servers.get(caller.name)
        if record is None or record.boot != caller.boot:
            return
        known = self._missing.get(caller.name)
        if known is None or known.boot != caller.boot:
            known = self._missing[caller.name] = MissingProcesses(caller.boot)
        known.note(missing, self.clock.seconds)

    def lost(self, name: str, limit_s: float) -> Missing:
        """Return the runs of the newest boot that have had no process for so many seconds."""
        record, known = self.servers[name], self._missing.get(name)
        if known is None or known.boot != record.boot:
            return Missing()
        ours = {run for run, boot in record.runs.items() if boot == record.boot} - self.claiming
        found = known.lost(self.clock.seconds, limit_s)
        return Missing(found.gone & ours, found.unseen & ours)

    def begin_review(self) -> set[str]:
        """Return the claimed runs whose claims are not under way; their states are read next."""
        self._touched = set(self.claiming)
        claimed = {run for record in self.servers.values() for run in record.runs}
        return claimed - self._touched

    def end_review(self, ended: Collection[str]) -> None:
        """Forget who executed runs that ended, unless one was claimed again meanwhile."""
        for name in list(self.servers):
            self.release(name, set(ended) - self._touched)

    def release(self, name: str, runs: Collection[str]) -> None:
        """Forget who executes these runs; written with the next change."""
        if (record := self.servers.get(name)) and record.runs.keys() & set(runs):
            self.put(record.release(runs))

    def take_over(self, name: str, run: str) -> None:
        """Forget that others executed a run that Prefect gave to this flow server.

        Two may serve one pool, and the former one may still report that its process is gone.
        """
        for other in [each for each in self.servers if each != name]:
            self.release(other, [run])
            if missing := self._missing.get(other):
                missing.forget(run)

    async def forget(self, name: str) -> None:
        """Delete a flow server; its runs are ended, because nobody is left to start them again."""
        record = self.servers[name]
        why = f"flow server {name} was removed"
        await settle_runs(list(record.runs), why, may_retry=False)
        async with self._saving:
            await self._records.delete(name)
            self.servers.pop(name, None)
        self._on_asks(name)

    def is_draining(self, name: str) -> bool:
        """Return whether a flow server gets no work now, because it sleeps or stops."""
        return self.servers[name].is_draining(self.now())

    def is_asleep(self, name: str) -> bool:
        """Return whether a flow server asked for no work lately, or gets none."""
        alive = self._alive.get(name)
        return self.is_draining(name) or alive is None or not 0 <= self.now() - alive <= ALIVE_S

    def silent_s(self, caller: Caller) -> float:
        """Return for how many awake seconds a boot was not seen; counted from the start at most."""
        return self.clock.seconds - self._seen.get(caller, 0.0)

    def seen_at(self, name: str) -> float | None:
        """Return when the newest boot was seen since this server started, in s since 1970."""
        return self._seen_at.get(name)

    async def fence(self, name: str, boots: Collection[str]) -> None:
        """Refuse the requests of boots that are gone, and settle their runs."""
        self.put(self.servers[name].fence(boots))
        await self.save(name)
        await self.settle(name)

    async def settle(self, name: str) -> None:
        """End the runs of fenced boots, after the last request of those boots."""
        # One at a time: the next boot may already execute what an earlier call scheduled again.
        async with self._settling:
            ends = time.monotonic() + IN_FLIGHT_S
            while self._dead_in_flight(name) and time.monotonic() < ends:  # noqa: ASYNC110 - a counter has no event
                await asyncio.sleep(LOOK_S)
            record = self.servers.get(name)
            if record is None or not (dead := record.dead_runs()):
                return
            why = f"flow server {name} started again, and the process of this run is gone"
            if record.boot in record.fenced:
                why = (
                    f"flow server {name} was not seen any more, and the process of this run is gone"
                )
            await settle_runs(dead, why)
            if (now := self.servers.get(name)) is None:
                return
            self.release(name, set(dead) & set(now.dead_runs()))
            await self.save(name)

    def _dead_in_flight(self, name: str) -> bool:
        """Return whether a fenced boot that has runs still has a request under way."""
        record = self.servers.get(name)
        if record is None or not record.dead_runs():
            return False
        return any(Caller(name, boot) in self.in_flight for boot in record.fenced)

    async def skip_missed(self, name: str) -> None:
        """Skip missed runs by the policy, if the flow server asked for no work for a while."""
        async with self._skipping:
            record = self.servers[name]
            if self.now() - record.polled > GAP_S:
                await skip_missed(record.served, record.missed, name)

    def _note_alive(self, name: str) -> None:
        """Note that a flow server works, or is about to ask for work."""
        self._alive[name] = self.now()
