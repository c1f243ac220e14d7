"""The life of machines: created, started, suspended, stopped, updated, destroyed.

One lock a machine keeps its transitions in order, whoever asks: the API, the proxy, or the machine
itself. Facts about states and events: Fly's documentation of machine states, and fly-go.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from localfly.admission import Admission
from localfly.boot import log_path, make_spec, root_folder
from localfly.checks import CheckRunner
from localfly.durations import seconds
from localfly.errors import LocalFlyError, StartRefusedError
from localfly.host import MachineView
from localfly.images import Images
from localfly.machine_config import may_suspend, signal_number
from localfly.problems import ApiError, not_found, precondition
from localfly.process import Exit, RunningProcess
from localfly.records import App, Machine, Volume, timestamp
from localfly.restarts import Restarts
from localfly.runtime import Runtime
from localfly.sockets import MachineSockets
from localfly.world import World

Json = dict[str, Any]

STOP_TIMEOUT_S = 5.0  # Fly's default kill timeout
SHELL_SIGNAL_BASE = 128  # Fly tells the end by a signal as a shell does: 137 for SIGKILL
STARTABLE = frozenset({"created", "stopped", "suspended", "failed"})
STOPPABLE = frozenset({"started", "suspended", "starting"})
# The answer to a machine that suspends itself must be out before it is frozen.
ANSWER_FIRST_S = 0.05


@dataclass
class Life:
    """What is not stored of a machine: its process, its lock, and who watches it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    process: RunningProcess | None = None
    stopping: bool = False
    restarts: Restarts = field(default_factory=Restarts)
    checks: CheckRunner | None = None


@dataclass(frozen=True)
class Ending:
    """How a process is to be ended."""

    signal: int
    timeout_s: float


class Machines:
    """All machines of the local Fly; also the `Host` that the proxy asks."""

    def __init__(
        self, world: World, images: Images, runtime: Runtime, sockets: MachineSockets
    ) -> None:
        self._world = world
        self._images = images
        self._runtime = runtime
        self._sockets = sockets
        self._admission = Admission(world, images)
        self._lives: dict[str, Life] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    # The proxy's view (host.Host). Shielded: a visitor who goes away leaves nothing half done.

    def machines(self, app: str) -> Sequence[MachineView]:
        """Give every machine of the app, for routing."""
        return [self._view(machine) for machine in self._world.machines_of(app)]

    async def start(self, app: str, machine_id: str, source: str) -> None:
        """Start or resume a machine; return when it is started.

        Raises:
            StartRefusedError: it cannot be started now.
        """
        try:
            machine = self._world.machine(app, machine_id)
            await asyncio.shield(self._background(self.start_machine(machine, source)))
        except (ApiError, LocalFlyError) as error:
            raise StartRefusedError(str(error)) from error

    async def stop(self, app: str, machine_id: str, source: str) -> None:
        """Stop a machine, unless somebody holds its lease."""
        machine = self._world.machine(app, machine_id)
        if machine.current_lease is None:
            await asyncio.shield(self._background(self.stop_machine(machine, source)))

    async def suspend(self, app: str, machine_id: str, source: str) -> None:
        """Suspend a machine, unless somebody holds its lease."""
        machine = self._world.machine(app, machine_id)
        if machine.current_lease is None:
            await asyncio.shield(self._background(self.suspend_machine(machine, source)))

    def log(self, app: str, machine_id: str | None, line: str) -> None:
        """Keep a line of the proxy's in the machine's log, or the app's."""
        path = log_path(self._world.home, machine_id or app)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{timestamp()} proxy[{app}] {line}\n")

    def _view(self, machine: Machine) -> MachineView:
        checks = self.life(machine).checks
        return MachineView(
            id=machine.id,
            name=machine.name,
            state=machine.state,
            config=machine.config,
            address=machine.address,
            region=machine.region,
            cordoned=machine.cordoned,
            checks_passing=checks.passing() if checks else None,
        )

    # Creation and change

    def create(self, app: App, request: Json) -> Machine:
        """Create a machine; it starts in the background unless `skip_launch` says not to.

        Raises:
            ApiError: Fly would refuse it too.
        """
        machine = self._admission.new_machine(app, request)
        machine.launch_pending = not request.get("skip_launch")
        machine.note_version()
        self._world.machines[machine.id] = machine
        self._note(machine, "launch", "created", "user")
        self._world.attach_volume(machine)
        if request.get("lease_ttl"):
            self._world.take_lease(machine, request["lease_ttl"], "create", "")
        self.launch_pending(machine)
        return machine

    def update(self, app: App, machine: Machine, request: Json, nonce: str) -> None:
        """Replace the whole config; what runs is replaced in the background.

        Raises:
            ApiError: it is leased, changed meanwhile, or the config is refused.
        """
        self._world.check_lease(machine, nonce)
        self.check_exists(machine)
        self._admission.change(app, machine, request)
        machine.updated_at = timestamp()
        machine.launch_pending = not request.get("skip_launch")
        if machine.state not in ("stopped", "created", "failed"):
            machine.state = "replacing"
        self._note(machine, "update", machine.state, "user")
        if machine.state == "replacing" or machine.launch_pending:
            self._background(self._replace(machine))

    def launch_pending(self, machine: Machine) -> None:
        """Start a machine that was asked to be started, in the background of other work."""
        if machine.launch_pending:
            self._background(self._launch_pending(machine))

    async def _launch_pending(self, machine: Machine) -> None:
        async with self.life(machine).lock:
            if machine.launch_pending:
                await self._launch_or_fail(machine, "user")

    async def _replace(self, machine: Machine) -> None:
        life = self.life(machine)
        async with life.lock:
            life.restarts = Restarts()
            await self._end_process(machine)
            if machine.launch_pending:
                await self._launch_or_fail(machine, "user")
            elif machine.state == "replacing":
                self.settle(machine, "stopped")

    # Starting and stopping

    async def start_machine(self, machine: Machine, source: str) -> str:
        """Start or resume; give the state it was in.

        Raises:
            ApiError: 412 from a state that cannot be started from.
            LocalFlyError: its process cannot be started.
        """
        life, began = self.life(machine), time.monotonic()
        async with life.lock:
            before = machine.state
            if before == "started":
                return before
            if before == "replacing":
                raise precondition("machine getting replaced, refusing to start")
            if before not in STARTABLE:
                raise precondition(f"unable to start machine from current state: '{before}'")
            if before == "suspended" and life.process and life.process.running:
                self._resume(machine, source, began)
                return before
            life.restarts = Restarts()
            await self._launch(machine, source, began)
            return before

    def _resume(self, machine: Machine, source: str, began: float) -> None:
        life = self.life(machine)
        assert life.process is not None  # noqa: S101 - the caller has looked
        life.process.resume()
        if life.checks:
            life.checks.resume()
        machine.state = "started"
        self._note(machine, "start", "started", source, took_s=time.monotonic() - began)

    async def suspend_machine(self, machine: Machine, source: str) -> None:
        """Freeze a machine; one that cannot be is stopped instead, as on Fly."""
        if not may_suspend(machine.config):
            await self.stop_machine(machine, source)
            return
        life, began = self.life(machine), time.monotonic()
        async with life.lock:
            if machine.state != "started" or life.process is None:
                return
            if life.checks:
                life.checks.pause()
            life.process.suspend()
            machine.state = "suspended"
            self._note(machine, "suspend", "suspended", source, took_s=time.monotonic() - began)

    def begin_suspend(self, machine: Machine, nonce: str, source: str) -> None:
        """Answer first, then freeze: the one who asks may be the machine itself.

        Raises:
            ApiError: it is leased, or does not run.
        """
        self._world.check_lease(machine, nonce)
        if machine.state == "suspended":
            return
        if machine.state != "started":
            raise precondition(f"unable to suspend machine from current state: '{machine.state}'")
        self._background(self._after_answer(self.suspend_machine(machine, source), source))

    def begin_stop(
        self, machine: Machine, nonce: str, source: str, ending: Ending | None = None
    ) -> None:
        """Answer first, then stop.

        Raises:
            ApiError: it is leased or gone.
        """
        self._world.check_lease(machine, nonce)
        self.check_exists(machine)
        self._background(self._after_answer(self.stop_machine(machine, source, ending), source))

    async def stop_machine(
        self, machine: Machine, source: str, ending: Ending | None = None
    ) -> None:
        """Stop a machine; a suspended one loses its memory."""
        began = time.monotonic()
        async with self.life(machine).lock:
            if machine.state not in STOPPABLE:
                return
            machine.launch_pending = False
            machine.state = "stopping"
            self._note(machine, "stop", "stopping", source)
            await self._end_process(machine, ending)
            self.settle(machine, "stopped")
            told = {"type": "stop", "status": "stopped", "source": source}
            self._world.tell(machine, told, time.monotonic() - began)

    async def restart_machine(
        self, machine: Machine, source: str, ending: Ending | None = None
    ) -> None:
        """Stop and start in one go.

        Raises:
            ApiError: 412 from a state that cannot be started from.
        """
        async with self.life(machine).lock:
            if machine.state not in STARTABLE | STOPPABLE:
                raise precondition(f"unable to restart machine from state: '{machine.state}'")
            self._note(machine, "restart", "restarting", source)
            await self._end_process(machine, ending)
            await self._launch(machine, source, time.monotonic())

    async def destroy_machine(self, machine: Machine, *, force: bool) -> None:
        """End a machine for ever; its volume is free again.

        Raises:
            ApiError: 412 while it runs and is not forced.
        """
        async with self.life(machine).lock:
            if machine.state in (*STOPPABLE, "replacing") and not force:
                raise precondition("unable to destroy machine, not currently stopped; use force")
            machine.launch_pending = False
            await self._end_process(machine)
            self._sockets.close(machine.id)
            machine.state = "destroyed"
            machine.lease = None
            self._note(machine, "destroy", "destroyed", "user")
            self._world.detach_volumes(machine)
        root = root_folder(self._world.home, machine.id)
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)

    def send_signal(self, machine: Machine, signal: str | int) -> None:
        """Send a signal to what runs in the machine.

        Raises:
            ApiError: 400 for no signal, 412 when nothing runs.
        """
        number = signal_number(signal)
        process = self.life(machine).process
        if process is None:
            raise precondition(f"machine is {machine.state}")
        process.send_signal(number)

    @contextlib.asynccontextmanager
    async def still(self, volume: Volume) -> AsyncIterator[None]:
        """Hold whoever writes to a volume while it is copied: a copy of one moment, as Fly's are."""
        machine = self._world.machines.get(volume.attached_machine_id or "")
        if machine is None:
            yield
            return
        life = self.life(machine)
        async with life.lock:
            running = life.process if machine.state == "started" else None
            try:
                if running:
                    running.suspend()
                yield
            finally:
                if running:
                    running.resume()

    def begin_snapshot(self, volume: Volume) -> None:
        """Make a snapshot in the background."""
        self._background(self._snapshot(volume, self._world.begin_snapshot(volume)))

    async def _snapshot(self, volume: Volume, record: Json) -> None:
        async with self.still(volume):
            await self._world.fill_snapshot(volume, record)

    # Processes

    async def _launch_or_fail(self, machine: Machine, source: str) -> None:
        if self._closing:
            return  # it stays pending: the next daemon starts it
        try:
            await self._launch(machine, source, time.monotonic())
        except (ApiError, LocalFlyError) as error:
            self.log(machine.app, machine.id, f"launch failed: {error}")
            if machine.state != "failed":
                self._fail(machine)

    async def _launch(self, machine: Machine, source: str, began: float) -> None:
        if self._closing:
            raise ApiError(503, "the local Fly is shutting down")
        life = self.life(machine)
        spec = await make_spec(self._world, self._images, self._sockets, machine)
        machine.state = "starting"
        self._note(machine, "start", "starting", source)
        try:
            process = await self._runtime.start(spec)
        except LocalFlyError:
            self._fail(machine)
            raise
        life.process, life.stopping = process, False
        machine.pid, machine.create_time = process.pid, process.create_time
        machine.launch_pending = False
        machine.state = "started"
        self._note(machine, "start", "started", source, took_s=time.monotonic() - began)
        self.watch(machine, process)

    def _fail(self, machine: Machine) -> None:
        machine.launch_pending = False
        machine.state = "failed"
        self._note(machine, "launch", "failed", "flyd")

    def watch(self, machine: Machine, process: RunningProcess) -> None:
        """Check a process's health, and notice its end."""
        life = self.life(machine)
        life.process = process
        life.checks = CheckRunner(machine.config, machine.address)
        if machine.state == "suspended":
            life.checks.pause()
        self._background(life.checks.run(process))
        self._background(self._await_exit(machine, process))

    async def _end_process(self, machine: Machine, ending: Ending | None = None) -> None:
        """End the process, as `stop_config` says where nothing is asked; its exit is noted here."""
        life = self.life(machine)
        process = life.process
        if process is None:
            return
        life.stopping = True
        how = ending or self.ending(machine)
        ended = await process.stop(how.signal, how.timeout_s)
        life.process = None
        machine.pid = None
        self.note_exit(machine, ended, requested=True)

    def ending(self, machine: Machine, signal: Any = None, timeout: Any = None) -> Ending:
        """Say how a process is to be ended; Fly's own defaults are SIGINT and 5 s.

        Raises:
            ApiError: 400 for what is no signal or no duration.
        """
        asked = machine.config.get("stop_config") or {}
        limit = seconds(timeout, seconds(asked.get("timeout"), STOP_TIMEOUT_S))
        return Ending(signal_number(signal or asked.get("signal") or "SIGINT"), limit)

    async def _await_exit(self, machine: Machine, process: RunningProcess) -> None:
        """Wait for a process to end by itself, and do what the restart policy says."""
        ended = await process.wait()
        life = self.life(machine)
        async with life.lock:
            if life.process is not process:
                return  # it was asked to end, and that is noted already
            life.process = None
            machine.pid = None
            again = life.restarts.allowed(machine.config, ended, time.monotonic())
            if again:
                machine.state = "starting"
            self.note_exit(machine, ended, requested=False, restarting=again)
            if not again:
                self.settle(machine, "stopped")
        if again:
            await self._restart_later(machine)
        elif machine.config.get("auto_destroy"):
            await self.destroy_machine(machine, force=True)

    async def _restart_later(self, machine: Machine) -> None:
        life = self.life(machine)
        await asyncio.sleep(life.restarts.next_delay_s(time.monotonic()))
        async with life.lock:
            if machine.state == "starting" and life.process is None:
                await self._launch_or_fail(machine, "flyd")

    async def shut_down(self) -> None:
        """Stop every machine, as a host does before it goes; the next request wakes them."""
        self._closing = True
        alive = [m for m in self._world.machines.values() if self._occupied(m)]
        await asyncio.gather(*(self.stop_machine(machine, "flyd") for machine in alive))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _occupied(self, machine: Machine) -> bool:
        life = self.life(machine)
        return life.process is not None or life.lock.locked()

    # Small things

    def life(self, machine: Machine) -> Life:
        """Give what is not stored of a machine."""
        return self._lives.setdefault(machine.id, Life())

    def check_results(self, machine: Machine) -> list[Json]:
        """Give the last result of each health check."""
        checks = self.life(machine).checks
        return checks.results() if checks else []

    def check_exists(self, machine: Machine) -> None:
        """Refuse what is asked of a machine that is no more.

        Raises:
            ApiError: 404.
        """
        if machine.state == "destroyed":
            raise not_found(f"machine {machine.id}")

    def note_exit(
        self, machine: Machine, ended: Exit, *, requested: bool, restarting: bool = False
    ) -> None:
        """Note how a process ended."""
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
            "restart_count": self.life(machine).restarts.count,
        }
        self._note(machine, "exit", "stopped", "flyd", request=request)

    def settle(self, machine: Machine, state: str) -> None:
        """Let a machine rest in a state; what led to it is noted already."""
        machine.state = state
        self._world.save(machine)

    def _note(  # noqa: PLR0913 - an event has these parts
        self,
        machine: Machine,
        kind: str,
        status: str,
        source: str,
        *,
        request: Json | None = None,
        took_s: float | None = None,
    ) -> None:
        event = machine.add_event(kind, status, source, request)
        self._world.save(machine)
        self._world.tell(machine, event, took_s)

    def _background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it was told; nobody else needs to be

    async def _after_answer(self, work: Coroutine[Any, Any, None], source: str) -> None:
        if source == "machine":
            await asyncio.sleep(ANSWER_FIRST_S)
        await work
