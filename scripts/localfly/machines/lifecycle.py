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
from typing import Any

from localfly.api_errors import ApiError, not_found, precondition
from localfly.config.machine_config import may_suspend, signal_number
from localfly.errors import LocalFlyError, StartRefusedError
from localfly.images.builder import Images
from localfly.machines.admission import Admission
from localfly.machines.process_spec import root_folder, write_log
from localfly.machines.restart_policy import Restarts
from localfly.machines.supervisor import Ending, Processes
from localfly.proxy.host import MachineView
from localfly.runtime.machine_processes import Runtime
from localfly.runtime.machine_sockets import MachineSockets
from localfly.state.home import Delays
from localfly.state.records import App, Machine, Volume, timestamp
from localfly.state.world import World

Json = dict[str, Any]

STARTABLE = frozenset({"created", "stopped", "suspended", "failed"})
SUSPENDED = frozenset({"suspended", "suspending"})
STOPPABLE = frozenset({"started", "starting"}) | SUSPENDED
# The answer to a machine that suspends itself must be out before it is frozen.
ANSWER_FIRST_S = 0.05


class Machines:
    """All machines of the local Fly; also the `Host` that the proxy asks."""

    def __init__(
        self,
        world: World,
        images: Images,
        runtime: Runtime,
        sockets: MachineSockets,
        delays: Delays,
    ) -> None:
        self._world = world
        self._delays = delays
        self._sockets = sockets
        self._admission = Admission(world, images, delays)
        self.processes = Processes(world, images, runtime, sockets, self._finished)

    # The proxy's view (host.Host). Shielded: a visitor who goes away leaves nothing half done.

    def machines(self, app: str) -> Sequence[MachineView]:
        """Return every machine of the app, for routing."""
        return [self._view(machine) for machine in self._world.machines_of(app)]

    async def start(self, app: str, machine_id: str, source: str) -> None:
        """Start or resume a machine; return when it is started.

        Raises:
            StartRefusedError: it cannot be started now.
        """
        try:
            machine = self._world.machine(app, machine_id)
            await asyncio.shield(self.processes.background(self.start_machine(machine, source)))
        except (ApiError, LocalFlyError) as error:
            raise StartRefusedError(str(error)) from error

    async def stop(self, app: str, machine_id: str, source: str) -> None:
        """Stop a machine, unless somebody holds its lease."""
        machine = self._world.machine(app, machine_id)
        if machine.current_lease is None:
            await asyncio.shield(self.processes.background(self.stop_machine(machine, source)))

    async def suspend(self, app: str, machine_id: str, source: str) -> None:
        """Suspend a machine, unless somebody holds its lease."""
        machine = self._world.machine(app, machine_id)
        if machine.current_lease is None:
            await asyncio.shield(self.processes.background(self.suspend_machine(machine, source)))

    def log(self, app: str, machine_id: str | None, line: str) -> None:
        """Keep a line of the proxy's in the machine's log, or the app's."""
        write_log(self._world.home, machine_id or app, f"proxy[{app}] {line}")

    def _view(self, machine: Machine) -> MachineView:
        checks = self.processes.life(machine).checks
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
        self.processes.note(machine, "launch", "created", "user")
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
        if machine.state not in ("stopped", "created", "failed") or machine.launch_pending:
            machine.state = "replacing"
        self.processes.note(machine, "update", machine.state, "user")
        if machine.state == "replacing":
            self.processes.background(self._replace(machine))

    def launch_pending(self, machine: Machine) -> None:
        """Start a machine that was asked to be started, in the background of other work."""
        if machine.launch_pending:
            self.processes.background(self._launch_pending(machine))

    async def _launch_pending(self, machine: Machine) -> None:
        async with self.processes.life(machine).lock:
            if machine.launch_pending:
                await self.processes.launch_or_fail(machine, "user")

    async def _replace(self, machine: Machine) -> None:
        life = self.processes.life(machine)
        async with life.lock:
            life.restarts = Restarts()
            await self.processes.end(machine)
            if machine.launch_pending:
                await self.processes.launch_or_fail(machine, "user")
            else:
                self.processes.settle(machine, "stopped")

    # Starting and stopping

    async def start_machine(self, machine: Machine, source: str) -> str:
        """Start or resume; return the state it was in.

        Raises:
            ApiError: 412 from a state that cannot be started from.
            LocalFlyError: its process cannot be started.
        """
        life, began = self.processes.life(machine), time.monotonic()
        _check_startable(machine, at_rest=False)  # what is going down is not waited for
        async with life.lock:
            before = machine.state
            if before == "started":
                return before
            _check_startable(machine, at_rest=True)
            if before == "suspended" and life.process and life.process.running:
                self._resume(machine, source, began)
                return before
            life.restarts = Restarts()
            await self.processes.launch(machine, source, began)
            return before

    def _resume(self, machine: Machine, source: str, began: float) -> None:
        life = self.processes.life(machine)
        assert life.process is not None  # noqa: S101 - the caller has looked
        life.process.resume()
        if life.checks:
            life.checks.resume()
        machine.state = "started"
        self.processes.note(machine, "start", "started", source, took_s=time.monotonic() - began)

    async def suspend_machine(self, machine: Machine, source: str) -> None:
        """Freeze a machine; one that cannot be is stopped instead, as on Fly."""
        if not may_suspend(machine.config):
            await self.stop_machine(machine, source)
            return
        life, began = self.processes.life(machine), time.monotonic()
        async with life.lock:
            if machine.state != "started" or life.process is None:
                return
            if self._delays.suspend_s:
                self.processes.settle(machine, "suspending")
                await asyncio.sleep(self._delays.suspend_s)
            if life.checks:
                life.checks.pause()
            life.process.suspend()
            machine.state = "suspended"
            self.processes.note(
                machine, "suspend", "suspended", source, took_s=time.monotonic() - began
            )

    def begin_suspend(self, machine: Machine, nonce: str, source: str) -> None:
        """Answer first, then freeze: the one who asks may be the machine itself.

        Raises:
            ApiError: it is leased, or does not run.
        """
        self._world.check_lease(machine, nonce)
        if machine.state in SUSPENDED:
            return
        if machine.state != "started":
            raise precondition(f"unable to suspend machine from current state: '{machine.state}'")
        self.processes.background(self._after_answer(self.suspend_machine(machine, source), source))

    def begin_stop(
        self, machine: Machine, nonce: str, source: str, ending: Ending | None = None
    ) -> None:
        """Answer first, then stop.

        Raises:
            ApiError: it is leased or gone.
        """
        self._world.check_lease(machine, nonce)
        self.check_exists(machine)
        self.processes.background(
            self._after_answer(self.stop_machine(machine, source, ending), source)
        )

    async def stop_machine(
        self, machine: Machine, source: str, ending: Ending | None = None
    ) -> None:
        """Stop a machine; a suspended one loses its memory."""
        began = time.monotonic()
        async with self.processes.life(machine).lock:
            if machine.state not in STOPPABLE:
                return
            machine.launch_pending = False
            machine.state = "stopping"
            self.processes.note(machine, "stop", "stopping", source)
            await self.processes.end(machine, ending)
            self.processes.settle(machine, "stopped")
            told = {"type": "stop", "status": "stopped", "source": source}
            self._world.tell(machine, told, time.monotonic() - began)

    async def restart_machine(
        self, machine: Machine, source: str, ending: Ending | None = None
    ) -> None:
        """Stop and start in one go.

        Raises:
            ApiError: 412 from a state that cannot be started from.
        """
        async with self.processes.life(machine).lock:
            if machine.state not in STARTABLE | STOPPABLE:
                raise precondition(f"unable to restart machine from state: '{machine.state}'")
            self.processes.note(machine, "restart", "restarting", source)
            await self.processes.end(machine, ending)
            await self.processes.launch(machine, source, time.monotonic())

    async def destroy_machine(self, machine: Machine, *, force: bool) -> None:
        """End a machine for ever; its volume is free again.

        Raises:
            ApiError: 412 while it runs and is not forced.
        """
        async with self.processes.life(machine).lock:
            if machine.state in (*STOPPABLE, "replacing") and not force:
                raise precondition("unable to destroy machine, not currently stopped; use force")
            machine.launch_pending = False
            await self.processes.end(machine)
            self._sockets.close(machine.id)
            machine.state = "destroyed"
            machine.lease = None
            self.processes.note(machine, "destroy", "destroyed", "user")
            self._world.detach_volumes(machine)
        root = root_folder(self._world.home, machine.id)
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)

    def send_signal(self, machine: Machine, signal: str | int) -> None:
        """Send a signal to what runs in the machine.

        Raises:
            ApiError: 400 for no signal, 412 when nothing runs.
        """
        number = signal_number(signal)
        process = self.processes.life(machine).process
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
        life = self.processes.life(machine)
        async with life.lock:
            running = life.process if machine.state == "started" else None
            try:
                if running:
                    running.suspend()
                    await running.frozen()
                yield
            finally:
                if running:
                    running.resume()

    def begin_snapshot(self, volume: Volume) -> None:
        """Make a snapshot in the background."""
        self.processes.background(self._snapshot(volume, self._world.begin_snapshot(volume)))

    async def _snapshot(self, volume: Volume, record: Json) -> None:
        async with self.still(volume):
            await self._world.fill_snapshot(volume, record)

    async def _finished(self, machine: Machine) -> None:
        """Go on after a process ended for good."""
        if machine.config.get("auto_destroy"):
            await self.destroy_machine(machine, force=True)

    async def shut_down(self) -> None:
        """Stop every machine, as a host does before it goes; the next request wakes them."""
        self.processes.closing = True
        alive = [m for m in self._world.machines.values() if self.processes.life(m).occupied]
        await asyncio.gather(*(self.stop_machine(machine, "flyd") for machine in alive))
        await self.processes.aclose()

    def check_exists(self, machine: Machine) -> None:
        """Refuse what is asked of a machine that is no more.

        Raises:
            ApiError: 404.
        """
        if machine.state == "destroyed":
            raise not_found(f"machine {machine.id}")

    async def _after_answer(self, work: Coroutine[Any, Any, None], source: str) -> None:
        if source == "machine":
            await asyncio.sleep(ANSWER_FIRST_S)
        await work


def _check_startable(machine: Machine, *, at_rest: bool) -> None:
    """Refuse a start from a state that Fly starts nothing from.

    Args:
        machine: what is to be started.
        at_rest: nothing is being done to it now; a start waits for one that is on its way up, or
            is being suspended.

    Raises:
        ApiError: 412.
    """
    state = machine.state
    if state == "replacing":
        raise precondition("machine getting replaced, refusing to start")
    waits = ("started", "starting", "suspending") if not at_rest else ()
    if state not in STARTABLE and state not in waits:
        raise precondition(f"unable to start machine from current state: '{state}'")
