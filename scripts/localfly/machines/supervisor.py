"""Launch, watch, end and restart the processes of machines.

Callers of `launch` and `end` must have taken the machine's lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from localfly.api_errors import ApiError, precondition
from localfly.config.durations import seconds
from localfly.config.machine_config import signal_number
from localfly.errors import LocalFlyError
from localfly.images.builder import Images
from localfly.machines.commands import Finished, run_command
from localfly.machines.health_checks import CheckRunner
from localfly.machines.process_spec import make_spec, spec_of, write_log
from localfly.machines.restart_policy import Restarts
from localfly.runtime.machine_processes import Runtime
from localfly.runtime.machine_sockets import MachineSockets
from localfly.runtime.process import Exit, RunningProcess
from localfly.state.records import Machine, timestamp
from localfly.state.world import World

_LOG = logging.getLogger(__name__)
Json = dict[str, Any]

STOP_TIMEOUT_S = 5.0  # Fly's default kill timeout
SHELL_SIGNAL_BASE = 128  # Fly reports an end by a signal as a shell does: 137 for SIGKILL


@dataclass
class LiveMachine:
    """The state of a machine that is not stored: its process, lock, restarts and checks."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    process: RunningProcess | None = None
    restarts: Restarts = field(default_factory=Restarts)
    checks: CheckRunner | None = None

    @property
    def busy(self) -> bool:
        """Whether a process runs or a transition is in progress."""
        return self.process is not None or self.lock.locked()


@dataclass(frozen=True)
class Ending:
    """The signal and the timeout, in seconds, to end a process with."""

    signal: int
    timeout_s: float


class Processes:
    """The processes of all machines; `finished` is awaited after a final exit."""

    def __init__(
        self,
        world: World,
        images: Images,
        runtime: Runtime,
        sockets: MachineSockets,
        finished: Callable[[Machine], Awaitable[None]],
    ) -> None:
        self._world = world
        self._images = images
        self._runtime = runtime
        self._sockets = sockets
        self._finished = finished
        self._live: dict[str, LiveMachine] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.closing = False
        """Whether the daemon is stopping, and launches nothing any more."""

    async def aclose(self) -> None:
        """Cancel all background tasks."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def launch_or_fail(self, machine: Machine, source: str) -> None:
        """Launch a machine in the background; a failure sets its state."""
        if self.closing:
            return  # the start stays pending for the next daemon
        try:
            await self.launch(machine, source, time.monotonic())
        except (ApiError, LocalFlyError) as error:
            write_log(self._world.home, machine.id, f"flyd launch failed: {error}")
            if machine.state != "failed":
                self._fail(machine)

    async def launch(self, machine: Machine, source: str, began: float) -> None:
        """Start a process; `began` is the time of the request, in seconds of the monotonic clock.

        Raises:
            ApiError: its image does not exist any more, or the daemon is stopping.
            LocalFlyError: it cannot be started; the machine's state is `failed`.
        """
        if self.closing:
            raise ApiError(503, "the local Fly is shutting down")
        spec = await make_spec(self._world, self._images, self._sockets, machine)
        machine.state = "starting"
        self.note(machine, "start", "starting", source)
        try:
            process = await self._runtime.start(spec)
        except LocalFlyError:
            self._fail(machine)
            raise
        machine.pid, machine.create_time = process.pid, process.create_time
        machine.launch_pending = False
        machine.state = "started"
        self.note(machine, "start", "started", source, took_s=time.monotonic() - began)
        self.watch(machine, process)

    def _fail(self, machine: Machine) -> None:
        machine.launch_pending = False
        machine.state = "failed"
        self.note(machine, "launch", "failed", "flyd")

    def watch(self, machine: Machine, process: RunningProcess) -> None:
        """Run a process's health checks, and wait for its exit."""
        live = self.live(machine)
        live.process = process
        live.checks = CheckRunner(machine.config, machine.address)
        if machine.state == "suspended":
            live.checks.pause()
        self.background(live.checks.run(process))
        self.background(self._await_exit(machine, process))

    async def run_command(
        self, machine: Machine, argv: Sequence[str], *, stdin: str, timeout_s: float
    ) -> Finished:
        """Run a command beside a machine's process; see `commands.run_command`.

        Raises:
            ApiError: 412 if the machine does not run; and those of `commands.run_command`.
        """
        process = self.live(machine).process
        if machine.state != "started" or process is None:
            raise precondition(f"machine is {machine.state}")
        spec = await spec_of(self._world, self._images, self._sockets, machine)
        return await run_command(spec, process, argv, stdin=stdin, timeout_s=timeout_s)

    async def end(self, machine: Machine, ending: Ending | None = None) -> None:
        """End a machine's process, by default as `stop_config` says, and record its exit."""
        live = self.live(machine)
        process = live.process
        if process is None:
            return
        how = ending or self.ending(machine)
        ended = await process.stop(how.signal, how.timeout_s)
        live.process = None
        machine.pid = None
        self.note_exit(machine, ended, requested=True)

    def ending(self, machine: Machine, signal: Any = None, timeout: Any = None) -> Ending:
        """Return how to end a process; Fly's defaults are SIGINT and 5 s.

        Raises:
            ApiError: 400 for an unknown signal or an invalid duration.
        """
        asked = machine.config.get("stop_config") or {}
        limit = seconds(timeout, seconds(asked.get("timeout"), STOP_TIMEOUT_S))
        return Ending(signal_number(signal or asked.get("signal") or "SIGINT"), limit)

    async def _await_exit(self, machine: Machine, process: RunningProcess) -> None:
        """Wait for a process to exit by itself, and apply the restart policy."""
        ended = await process.wait()
        live = self.live(machine)
        async with live.lock:
            if live.process is not process:
                return  # `end` stopped it and has recorded the exit
            live.process = None
            machine.pid = None
            again = live.restarts.allowed(machine.config, ended, time.monotonic())
            if again:
                machine.state = "starting"
            self.note_exit(machine, ended, requested=False, restarting=again)
            if not again:
                self.set_state(machine, "stopped")
        if again:
            await self._restart_later(machine)
        else:
            await self._finished(machine)

    async def _restart_later(self, machine: Machine) -> None:
        live = self.live(machine)
        await asyncio.sleep(live.restarts.next_delay_s(time.monotonic()))
        async with live.lock:
            if machine.state == "starting" and live.process is None:
                await self.launch_or_fail(machine, "flyd")

    def live(self, machine: Machine) -> LiveMachine:
        """Return the live state of a machine."""
        return self._live.setdefault(machine.id, LiveMachine())

    def check_results(self, machine: Machine) -> list[Json]:
        """Return the last result of each health check."""
        checks = self.live(machine).checks
        return checks.results() if checks else []

    def note_exit(
        self, machine: Machine, ended: Exit, *, requested: bool, restarting: bool = False
    ) -> None:
        """Record the exit of a process as an event."""
        by_signal = SHELL_SIGNAL_BASE + ended.signal if ended.signal is not None else 0
        code = ended.exit_code if ended.exit_code is not None else by_signal
        request = {
            "exit_event": {
                "exit_code": code,
                "guest_exit_code": ended.exit_code or 0,
                "guest_signal": -1,
                "signal": ended.signal if ended.signal is not None else -1,
                "oom_killed": ended.oom_killed,
                "requested_stop": requested,
                "restarting": restarting,
                "exited_at": timestamp(),
            },
            "restart_count": self.live(machine).restarts.count,
        }
        self.note(machine, "exit", "stopped", "flyd", request=request)

    def set_state(self, machine: Machine, state: str) -> None:
        """Set and store a machine's state without an event."""
        machine.state = state
        self._world.save(machine)

    def note(  # noqa: PLR0913 - an event has these parts
        self,
        machine: Machine,
        kind: str,
        status: str,
        source: str,
        *,
        request: Json | None = None,
        took_s: float | None = None,
    ) -> None:
        """Store an event and the machine, and publish the event to followers."""
        event = machine.add_event(kind, status, source, request)
        self._world.save(machine)
        self._world.publish(machine, event, took_s)

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a task in the background; it is cancelled when the daemon stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, ApiError | LocalFlyError):
            _LOG.error("a background task broke", exc_info=error)
