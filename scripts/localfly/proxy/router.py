"""Route one app's requests: hold each until a machine can take it, and count them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from localfly.errors import LocalFlyError, StartRefusedError, UnroutableError
from localfly.proxy.balance import Candidate, Hold, Refuse, Route, Wake, candidates, decide
from localfly.proxy.pool import Pool, Target
from localfly.proxy.services import web_service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localfly.proxy.host import Host
    from localfly.proxy.services import Autostop, Service

_LOOK_S = 0.05  # machine changes send no notification, so a held request polls
_AGAIN_S = 0.5  # between two attempts to start one machine for one request
_GUARD_S = 0.2
_PROBE_FIRST_S = 0.01
_PROBE_LAST_S = 0.1


@dataclass(eq=False)
class Slot:
    """A request on a machine; with `on_suspend` it is a tunnel, which wakes no machine."""

    candidate: Candidate
    on_suspend: Callable[[], None] | None = None

    @property
    def machine_id(self) -> str:
        """The machine's id."""
        return self.candidate.machine.id

    @property
    def target(self) -> Target:
        """The address that the machine listens on."""
        machine = self.candidate.machine
        return Target(machine.id, machine.address, self.candidate.service.internal_port)


class Router:
    """Finds a machine for each request of an app, and starts one if needed."""

    def __init__(self, app: str, host: Host) -> None:
        self.app = app
        self.pool = Pool()
        self._host = host
        self._slots: dict[str, set[Slot]] = defaultdict(set)
        self._peaks: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._probing: dict[Target, asyncio.Task[None]] = {}
        self._asking: Counter[Target] = Counter()
        self._draining: set[str] = set()
        self._guard: asyncio.Task[None] | None = None
        self._services: dict[str, tuple[Mapping[str, Any], Service | None]] = {}

    @property
    def loads(self) -> dict[str, int]:
        """The number of requests and tunnels in flight by machine."""
        return {machine_id: len(slots) for machine_id, slots in self._slots.items() if slots}

    def take_peaks(self) -> dict[str, int]:
        """Return each machine's maximum load since the last call."""
        peaks, self._peaks = self._peaks, dict(self.loads)
        return peaks

    def candidates(self, only: str | None = None) -> list[Candidate]:
        """Return the machines as they are now; one that is being stopped counts as stopping."""
        machines = [
            replace(machine, state="stopping")
            if machine.id in self._draining and machine.state == "started"
            else machine
            for machine in self._host.machines(self.app)
        ]
        known, self._services = self._services, {}
        for machine in machines:
            config, service = known.get(machine.id, (None, None))
            if config is not machine.config:  # an update makes another one
                service = web_service(machine.config)
            self._services[machine.id] = machine.config, service
        return candidates(
            machines, self.loads, only=only, service_of=lambda m: self._services[m.id][1]
        )

    def acquire_now(self, *, only: str | None = None) -> Slot | None:
        """Return a slot if there is one without waiting; after None, call `acquire`."""
        decision = decide(self.candidates(only))
        return (
            self._take(decision.to)
            if isinstance(decision, Route) and not decision.also_wake
            else None
        )

    async def acquire(self, give_up_at: float, *, only: str | None = None) -> Slot:
        """Hold a request until a machine has a slot for it; free the slot with `release`.

        Raises:
            UnroutableError: No machine can take it, or none could until `give_up_at` (loop time).
        """
        refused: dict[str, StartRefusedError] = {}
        woken: set[str] = set()
        while True:
            match decide(self.candidates(only), refused=refused):
                case Route(to, also_wake):
                    if also_wake:
                        self.wake(also_wake)
                    return self._take(to)
                case Refuse(code, reason):
                    raise UnroutableError(*_refusal(code, reason, refused))
                case Hold(code, reason):
                    _check_time(give_up_at, code, reason)
                    await self._change(_LOOK_S)
                case Wake(machine_id):
                    _check_time(give_up_at, "PM03", f"machine {machine_id} did not stay started")
                    if machine_id in woken:
                        await asyncio.sleep(_AGAIN_S)
                    woken.add(machine_id)
                    await self._wake_and_wait(machine_id, refused, give_up_at)

    def release(self, slot: Slot) -> None:
        """Free a slot."""
        self._slots[slot.machine_id].discard(slot)
        self.notify()

    def notify(self) -> None:
        """Let held requests check again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def wake(self, machine_id: str) -> asyncio.Task[None]:
        """Start a machine; concurrent calls share one start."""
        task = self._starting.get(machine_id)
        if task is None:
            task = asyncio.create_task(self._start(machine_id))
            task.add_done_callback(lambda done: self._started(machine_id, done))
            self._starting[machine_id] = task
        return task

    async def listening(self, slot: Slot, give_up_at: float) -> None:
        """Wait until a machine's port accepts connections or it stops; calls share one probe.

        Raises:
            UnroutableError: The machine runs but does not listen.
        """
        target = slot.target
        task = self._probing.get(target)
        if task is None or task.cancelling():
            task = self._probing[target] = asyncio.create_task(self._probe(target))
            task.add_done_callback(lambda done: self._probed(target, done))
        self._asking[target] += 1
        try:
            async with asyncio.timeout_at(give_up_at):
                await asyncio.shield(task)
        except TimeoutError as error:
            raise UnroutableError(
                "PC01",
                f"machine {target.machine_id} refused the connection on port {target.port}; "
                "it must listen there on 0.0.0.0",
            ) from error
        finally:
            self._asking[target] -= 1
            if not self._asking[target]:
                del self._asking[target]
                task.cancel()  # no other call waits for it

    async def put_to_sleep(self, machine_id: str, action: Autostop) -> None:
        """Suspend or stop a machine without load; it gets no requests from now on."""
        self._draining.add(machine_id)
        try:
            act = self._host.suspend if action == "suspend" else self._host.stop
            await act(self.app, machine_id, "proxy")
        finally:
            self._draining.discard(machine_id)
            self.pool.forget(machine_id)
            self.notify()

    async def aclose(self) -> None:
        """Cancel the background tasks."""
        tasks = [*self._starting.values(), *self._probing.values()]
        tasks += [self._guard] if self._guard else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.pool.close()

    def _take(self, candidate: Candidate) -> Slot:
        slot = Slot(candidate)
        slots = self._slots[slot.machine_id]
        slots.add(slot)
        self._peaks[slot.machine_id] = max(self._peaks.get(slot.machine_id, 0), len(slots))
        if self._guard is None or self._guard.done():
            self._guard = asyncio.create_task(self._keep_awake())
        return slot

    async def _change(self, at_most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._changed.wait()

    async def _wake_and_wait(
        self, machine_id: str, refused: dict[str, StartRefusedError], give_up_at: float
    ) -> None:
        try:
            async with asyncio.timeout_at(give_up_at):
                await asyncio.shield(self.wake(machine_id))
        except TimeoutError as error:
            raise UnroutableError("PM03", f"machine {machine_id} did not start in time") from error
        except StartRefusedError as error:
            if error.lasting:
                refused[machine_id] = error

    async def _start(self, machine_id: str) -> None:
        """Start a machine; any error becomes a StartRefusedError."""
        self.pool.forget(machine_id)
        try:
            await self._host.start(self.app, machine_id, "proxy")
        except StartRefusedError as error:
            self._host.log(self.app, machine_id, f"[PM01] machines API returned an error: {error}")
            raise
        except LocalFlyError as error:
            self._host.log(self.app, machine_id, f"[PM07] failed to change machine state: {error}")
            raise StartRefusedError(str(error), lasting=True) from error

    def _started(self, machine_id: str, task: asyncio.Task[None]) -> None:
        self._starting.pop(machine_id, None)
        if not task.cancelled():
            task.exception()  # marks the error as handled: waiters get it, and the log has it
        self.notify()

    async def _probe(self, target: Target) -> None:
        """Try a port until it accepts connections, with a growing delay."""
        pause = _PROBE_FIRST_S
        while self._is_up(target.machine_id):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _PROBE_LAST_S)
            with contextlib.suppress(OSError):
                (await self.pool.connect(target)).abort()
                return

    def _probed(self, target: Target, task: asyncio.Task[None]) -> None:
        if self._probing.get(target) is task:
            del self._probing[target]

    def _is_up(self, machine_id: str) -> bool:
        machines = self._host.machines(self.app)
        return any(m.id == machine_id and m.state == "started" for m in machines)

    async def _keep_awake(self) -> None:
        """Wake a machine that was suspended with requests in flight.

        A tunnel does not keep a machine running: it is closed, as Fly does before a suspend.
        """
        while any(self._slots.values()):
            await asyncio.sleep(_GUARD_S)
            for candidate in self.candidates():
                slots = self._slots.get(candidate.machine.id)
                if slots and candidate.machine.state == "suspended":
                    self._rouse(candidate, list(slots))

    def _rouse(self, candidate: Candidate, slots: list[Slot]) -> None:
        tunnels = [slot.on_suspend for slot in slots if slot.on_suspend]
        if len(tunnels) < len(slots):
            if candidate.service.autostart:
                self.wake(candidate.machine.id)
            return
        for close in tunnels:
            close()


def _check_time(give_up_at: float, code: str, reason: str) -> None:
    if asyncio.get_running_loop().time() >= give_up_at:
        raise UnroutableError(code, reason)


def _refusal(code: str, reason: str, refused: dict[str, StartRefusedError]) -> tuple[str, str]:
    """Return a machine's own reason for not starting, if there is one."""
    if refused:
        return "PM01", "; ".join(str(error) for error in refused.values())
    return code, reason
