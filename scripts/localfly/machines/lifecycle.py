"""Create, start, suspend, stop, update and destroy machines.

Each machine has a lock, so that its transitions run one after the other, whether the API, the proxy
or the machine requests them. States and events: Fly's documentation of machine states, and fly-go.
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
UNREACHABLE = "unreachable"
# A stop by one of these ends a machine with `auto_destroy`: flyctl stops it and waits for its end.
ASKED = ("user", "machine")
# A machine that suspends itself must get the response before it is frozen.
ANSWER_FIRST_S = 0.05


class Machines:
    """All machines of the local Fly, and the `Host` that the proxy uses."""

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

    # The proxy's interface (host.Host). Shielded: a client that disconnects must not stop a
    # transition.

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
        """Stop a machine, unless it is leased."""
        machine = self._world.machine(app, machine_id)
        if machine.current_lease is None:
            await asyncio.shield(self.processes.background(self.stop_machine(machine, source)))

    async def suspend(self, app: str, machine_id: str, source: str) -> None:
        """Suspend a machine, unless it is leased."""
        machine = self._world.machine(app, machine_id)
        if machine.current_lease is None:
            await asyncio.shield(self.processes.background(self.suspend_machine(machine, source)))

    def log(self, app: str, machine_id: str | None, line: str) -> None:
        """Add a line of the proxy to the machine's log, or to the app's."""
        write_log(self._world.home, machine_id or app, f"proxy[{app}] {line}")

    def answers(self, machine: Machine) -> bool:
        """Return whether a machine's host answers."""
        return self._world.hosts.answers(machine.host)

    def _view(self, machine: Machine) -> MachineView:
        checks = self.processes.live(machine).checks
        return MachineView(
            id=machine.id,
            name=machine.name,
            state=machine.state if self.answers(machine) else UNREACHABLE,
            config=machine.config,
            address=machine.address,
            region=machine.region,
            cordoned=machine.cordoned,
            checks_passing=checks.passing() if checks else None,
        )

    # Creation and change

    def create(self, app: App, request: Json) -> Machine:
        """Create a machine; it is started in the background unless `skip_launch` is set.

        Raises:
            ApiError: Fly would refuse the request, too.
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

    async def _rest(self, machine: Machine) -> None:
        """Set a machine that was not to be launched to `stopped`, as flyctl waits for."""
        async with self.processes.live(machine).lock:
            if machine.state == "created" and not machine.launch_pending:
                self.processes.set_state(machine, "stopped")

    def update(self, app: App, machine: Machine, request: Json, nonce: str) -> None:
        """Replace the whole config; a running process is replaced in the background.

        Raises:
            ApiError: the machine is leased or changed meanwhile, or the config is refused.
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
        """Start a machine in the background if its start is pending."""
        if machine.launch_pending:
            self.processes.background(self._launch_pending(machine))
        elif machine.state == "created":
            self.processes.background(self._rest(machine))

    async def _launch_pending(self, machine: Machine) -> None:
        async with self.processes.live(machine).lock:
            if machine.launch_pending:
                await self.processes.launch_or_fail(machine, "user")

    async def _replace(self, machine: Machine) -> None:
        live = self.processes.live(machine)
        async with live.lock:
            live.restarts = Restarts()
            await self.processes.end(machine)
            if machine.launch_pending:
                await self.processes.launch_or_fail(machine, "user")
            else:
                self.processes.set_state(machine, "stopped")

    # Starting and stopping

    async def start_machine(self, machine: Machine, source: str) -> str:
        """Start or resume a machine; return its previous state.

        Raises:
            ApiError: 412 in a state in which Fly starts no machine.
            LocalFlyError: its process cannot be started.
        """
        live, began = self.processes.live(machine), time.monotonic()
        _check_startable(machine, at_rest=False)  # a start does not wait for a stop
        async with live.lock:
            before = machine.state
            if before == "started":
                return before
            _check_startable(machine, at_rest=True)
            if before == "suspended" and live.process and live.process.running:
                self._resume(machine, source, began)
                return before
            live.restarts = Restarts()
            await self.processes.launch(machine, source, began)
            return before

    def _resume(self, machine: Machine, source: str, began: float) -> None:
        live = self.processes.live(machine)
        assert live.process is not None  # noqa: S101 - the caller has checked it
        live.process.resume()
        if live.checks:
            live.checks.resume()
        machine.state = "started"
        self.processes.note(machine, "start", "started", source, took_s=time.monotonic() - began)

    async def suspend_machine(self, machine: Machine, source: str) -> None:
        """Suspend a machine, or stop it if Fly cannot suspend it."""
        if not may_suspend(machine.config):
            await self.stop_machine(machine, source)
            return
        live, began = self.processes.live(machine), time.monotonic()
        async with live.lock:
            if machine.state != "started" or live.process is None:
                return
            if self._delays.suspend_s:
                self.processes.set_state(machine, "suspending")
                await asyncio.sleep(self._delays.suspend_s)
            if live.checks:
                live.checks.pause()
            live.process.suspend()
            machine.state = "suspended"
            self.processes.note(
                machine, "suspend", "suspended", source, took_s=time.monotonic() - began
            )

    def begin_suspend(self, machine: Machine, nonce: str, source: str) -> None:
        """Suspend after the response was sent: the machine itself may be the client.

        Raises:
            ApiError: the machine is leased or does not run.
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
        """Stop after the response was sent.

        Raises:
            ApiError: the machine is leased or destroyed.
        """
        self._world.check_lease(machine, nonce)
        self.check_exists(machine)
        self.processes.background(
            self._after_answer(self.stop_machine(machine, source, ending), source)
        )

    async def stop_machine(
        self, machine: Machine, source: str, ending: Ending | None = None
    ) -> None:
        """Stop a machine; a suspended one loses its memory state."""
        began = time.monotonic()
        async with self.processes.live(machine).lock:
            if machine.state not in STOPPABLE:
                return
            machine.launch_pending = False
            machine.state = "stopping"
            self.processes.note(machine, "stop", "stopping", source)
            await self.processes.end(machine, ending)
            self.processes.set_state(machine, "stopped")
            published = {"type": "stop", "status": "stopped", "source": source}
            self._world.publish(machine, published, time.monotonic() - began)
        if source in ASKED and machine.state == "stopped":
            await self._finished(machine)

    async def restart_machine(
        self, machine: Machine, source: str, ending: Ending | None = None
    ) -> None:
        """Stop and start a machine in one transition.

        Raises:
            ApiError: 412 in a state in which Fly starts no machine.
        """
        async with self.processes.live(machine).lock:
            if machine.state not in STARTABLE | STOPPABLE:
                raise precondition(f"unable to restart machine from state: '{machine.state}'")
            self.processes.note(machine, "restart", "restarting", source)
            await self.processes.end(machine, ending)
            await self.processes.launch(machine, source, time.monotonic())

    async def destroy_machine(self, machine: Machine, *, force: bool) -> None:
        """Destroy a machine and detach its volume.

        Raises:
            ApiError: 412 if it runs or is being stopped and `force` is not set.
        """
        self._check_destroyable(machine, force=force)  # a machine being stopped is not waited for
        async with self.processes.live(machine).lock:
            self._check_destroyable(machine, force=force)
            machine.launch_pending = False
            await self.processes.end(machine)
            self._sockets.close(machine.id)
            machine.state = "destroyed"
            machine.lease = None
            self.processes.note(machine, "destroy", "destroyed", "user")
            self._world.detach_volumes(machine)
        root = root_folder(self._world.home, machine.id)
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)

    def _check_destroyable(self, machine: Machine, *, force: bool) -> None:
        if machine.state in (*STOPPABLE, "stopping", "replacing") and not force:
            raise precondition("unable to destroy machine, not currently stopped; use force")

    def send_signal(self, machine: Machine, signal: str | int) -> None:
        """Send a signal to the machine's process.

        Raises:
            ApiError: 400 for an unknown signal, 412 if no process runs.
        """
        number = signal_number(signal)
        process = self.processes.live(machine).process
        if process is None:
            raise precondition(f"machine is {machine.state}")
        process.send_signal(number)

    @contextlib.asynccontextmanager
    async def frozen_writer(self, volume: Volume) -> AsyncIterator[None]:
        """Freeze the machine that writes to a volume while it is copied, for a consistent copy."""
        machine = self._world.machines.get(volume.attached_machine_id or "")
        if machine is None:
            yield
            return
        live = self.processes.live(machine)
        async with live.lock:
            running = live.process if machine.state == "started" else None
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
        async with self.frozen_writer(volume):
            await self._world.fill_snapshot(volume, record)

    async def _finished(self, machine: Machine) -> None:
        """Handle the final end of a process."""
        if machine.config.get("auto_destroy"):
            await self.destroy_machine(machine, force=True)

    async def shut_down(self) -> None:
        """Stop every machine, as a host does before maintenance; the next request wakes them."""
        self.processes.closing = True
        alive = [m for m in self._world.machines.values() if self.processes.live(m).busy]
        await asyncio.gather(*(self.stop_machine(machine, "flyd") for machine in alive))
        await self.processes.aclose()

    def check_exists(self, machine: Machine) -> None:
        """Check that a machine is not destroyed.

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
    """Check that Fly starts a machine in its state.

    Args:
        machine: the machine to start.
        at_rest: whether no transition is in progress; else a start waits for a start or a suspend
            to finish.

    Raises:
        ApiError: 412.
    """
    state = machine.state
    if state == "replacing":
        raise precondition("machine getting replaced, refusing to start")
    waits = ("started", "starting", "suspending") if not at_rest else ()
    if state not in STARTABLE and state not in waits:
        raise precondition(f"unable to start machine from current state: '{state}'")
