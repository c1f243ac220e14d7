"""Have a machine copy its database from its volume to PostgreSQL, in place of the server.

The machine gets a config whose program copies, turns clients away meanwhile, and exits. A request
neither wakes nor stops it, and nobody writes to either database. A copy that fails leaves the target as it
was, and the machine gets its former config back. A killed command leaves the machine with the copier;
the next apply copies again, or goes back if the file does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio

from roost.apply import start_stop
from roost.errors import DatabaseMoveError
from roost.errors.command import Command
from roost.fly.client import FlyClient
from roost.fly.leases import Notice
from roost.fly.models import Machine
from roost.plan.database_move import (
    CopyProgress,
    CopyResult,
    copier_config,
    copy_progress,
    copy_result,
    is_copier,
    served,
)
from roost.plan.machines import LAUNCHED
from roost.plan.releases import last_good, releases_on
from roost.plan.steps import Json, UpdateMachine

STILL_S = 600.0
"""Seconds after which a copy is given up that has done nothing more; the longest single statement is a
foreign key that PostgreSQL checks row by row."""
SILENT_S = 2700.0
"""The longest copy of a machine that does not say how far it is."""
REPORT_S = 30.0
"""Seconds between two lines about how far it is."""
POLL_S = 1.0
SHOWS_WITHIN_S = 20.0
"""Seconds until a machine that is down must have left its result."""
DOWN = frozenset({"stopped", "failed", "launch_failed"})

MoreTime = Callable[[float], None]
"""Gives the command so many seconds more."""
Send = Callable[[UpdateMachine, Json], Awaitable[Machine]]
"""Sends the config of a step, and returns the machine with its new version."""


@dataclass(frozen=True)
class Copier:
    """Copies the database of one machine.

    Args:
        fly: the API.
        app: the app's name.
        environment: the environment's name, for messages.
        notice: called with a line for each step.
        send: updates the machine, whose lease is held.
        more_time: gives the command the time that the copy takes while it goes on.
    """

    fly: FlyClient
    app: str
    environment: str
    notice: Notice
    send: Send
    more_time: MoreTime

    async def copy(self, step: UpdateMachine, machine: Machine, nonce: str) -> str:
        """Copy the database; return the version of the machine, which then is stopped.

        Args:
            step: the step that follows the copy.
            machine: the machine, which is as planned.
            nonce: of its lease.

        Raises:
            DatabaseMoveError: the database cannot be copied; the server has its former config back.
            FlyError: Fly refused or failed; the next apply goes on.
        """
        former = former_config(machine)
        if machine.state in start_stop.SUSPENDED:
            # Resumed, it stops in order and saves what it has only in memory.
            await start_stop.start(self.fly, self.app, machine.id, nonce)
        config = copier_config(step.config, machine.metadata)
        copier = await self.send(replace(step, skip_launch=False), config)
        if machine.state not in LAUNCHED and machine.state not in start_stop.SUSPENDED:
            await start_stop.start(self.fly, self.app, machine.id, nonce, machine.config)
        result = await outcome(self.fly, self.app, copier, CopyWatch(self.notice, self.more_time))
        if result.error:
            await self._put_back(step, copier, former, nonce)
            raise self._failed(result.error, back=former is not None)
        show(result, self.notice)
        return copier.instance_id

    async def _put_back(
        self, step: UpdateMachine, copier: Machine, former: Json | None, nonce: str
    ) -> None:
        """Give the machine its former config, so that the server serves the volume's file again."""
        if former is None:
            return
        self.notice("start the server on its volume again")
        back = replace(step, current_version=copier.instance_id, skip_launch=False)
        await self.send(back, former)
        await start_stop.start(self.fly, self.app, copier.id, nonce, copier.config)

    def _failed(self, why: str, *, back: bool) -> DatabaseMoveError:
        serves = (
            "The server serves the database on its volume again."
            if back
            else "The server is stopped; its database is on its volume."
        )
        return DatabaseMoveError(
            f"The database was not copied to PostgreSQL: {why.rstrip('.')}. {serves}",
            where=self.environment,
            advice=f"Correct that, and try again: {Command('migrate', self.environment, '--to', 'postgres')}",
        )


@dataclass
class CopyWatch:
    """Reports how far a copy is, and notices when it stands still.

    Args:
        notice: called with a line now and then.
        more_time: gives the command the time that the copy takes while it goes on.
    """

    notice: Notice
    more_time: MoreTime
    _last: CopyProgress | None = None
    _moved_at: float = 0.0
    _reported: tuple[float, CopyProgress] | None = None

    def begin(self, now: float) -> None:
        """Begin to count, in seconds of the loop's clock."""
        self._moved_at = now

    def look(self, found: CopyProgress | None, now: float) -> str:
        """Take what the machine says now; return why the copy is given up, or an empty text."""
        if found and (self._last is None or found.done > self._last.done):
            self.more_time(now - self._moved_at)
            self._last, self._moved_at = found, now
            self._report(found, now)
        limit = STILL_S if self._last else SILENT_S
        if now - self._moved_at <= limit:
            return ""
        if self._last is None:
            return f"the copy did not end within {SILENT_S / 60:.0f} minutes"
        at = f", at the table {self._last.table}" if self._last.table else ""
        return f"the copy did nothing more for {STILL_S / 60:.0f} minutes{at}"

    def _report(self, found: CopyProgress, now: float) -> None:
        if self._reported and now - self._reported[0] < REPORT_S:
            return
        before, self._reported = self._reported, (now, found)
        self.notice(
            progress_line(found, before[1] if before else None, now - before[0] if before else 0)
        )


def progress_line(found: CopyProgress, before: CopyProgress | None, seconds: float) -> str:
    """Return how far a copy is in one line of less than 80 columns, with its rate since `before`."""
    verb = "compared" if found.doing == "compare" else "copied"
    same = before is not None and before.doing == found.doing and seconds > 0
    rate = f", {(found.rows - before.rows) / seconds:,.0f}/s" if same and before else ""
    return f"{verb} {found.rows:,} of {found.of:,} rows{rate}: {found.table}"


async def outcome(fly: FlyClient, app: str, copier: Machine, watch: CopyWatch) -> CopyResult:
    """Wait until a machine that copies has ended or does nothing more, and return what it found."""
    now, patience = anyio.current_time, 0.0
    watch.begin(now())
    while True:
        machine = await fly.get_machine(app, copier.id)
        if machine is None or machine.instance_id != copier.instance_id:
            return CopyResult(error="somebody else changed the machine meanwhile")
        down = machine.state in DOWN
        if (found := copy_result(machine)) and down:
            return found
        patience = (patience or now() + SHOWS_WITHIN_S) if down else 0.0
        if patience and now() > patience:
            return _ending(machine)
        if why := watch.look(copy_progress(machine), now()):
            return CopyResult(error=why)
        await anyio.sleep(POLL_S)


def show(result: CopyResult, notice: Notice) -> None:
    """Print the tables that were copied, with their rows."""
    if not result.tables:
        notice("the database was copied; the machine's log has the number of rows")
        return
    rows = sum(table.rows for table in result.tables)
    notice(f"{rows} rows copied in {result.seconds:g} s; the same on both sides:")
    filled = [table for table in result.tables if table.rows]
    width = max((len(table.name) for table in filled), default=0)
    for table in filled:
        notice(f"  {table.name:<{width}} {table.rows:>10} rows  {table.digest}")


def former_config(machine: Machine) -> Json | None:
    """Return the config to put back after a failed copy; None if it is not known.

    After an interrupted copy that is the last good release's.
    """
    if not is_copier(machine.config):
        return machine.config and served(machine.config)
    release = last_good(releases_on([machine]))
    if release is None or machine.config is None:
        return None
    own = {"mounts": machine.config["mounts"], "metadata": machine.metadata}
    return served({**release.config, **own})


def _ending(machine: Machine) -> CopyResult:
    """Return what the exit of a machine says that left no result.

    Where that is wrong, the server does not start: the note on the volume says what was copied.
    """
    endings = (event.exit_event for event in machine.events if event.exit_event is not None)
    ending = next(endings, None) or {}
    if ending.get("oom_killed"):
        return CopyResult(error="the machine that copied it was killed because its memory was full")
    if ending.get("exit_code") == 0 and not ending.get("requested_stop"):
        return CopyResult()
    return CopyResult(error="the machine that copied it ended without a result; its log says why")
