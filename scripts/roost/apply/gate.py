"""The gate: checks after a change that the server is healthy. It fails fast when a machine dies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio

from roost.errors import (
    FlyError,
    FlyNotFoundError,
    FlyPreconditionError,
    FlyWaitTimeoutError,
    MachineFailedError,
)
from roost.errors.command import Command
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.plan.exit_reason import last_words_of
from roost.plan.memory_advice import memory_advice
from roost.prefect.probe import Check, CheckResult, Server, prove, run_check

STARTED_LIMIT_S = 30
WATCH_S = 1.0

LAUNCH, START = "launch", "start"
NEW_CONFIG = frozenset({LAUNCH, "update"})
"""Events that give a machine a new config; an exit before them belongs to the old config."""

GIVEN_UP = frozenset({"failed", "launch_failed"})
"""States in which Fly has given up starting a machine."""

NOT_STARTED = (FlyWaitTimeoutError, FlyPreconditionError, FlyNotFoundError)
"""Errors of a wait that say that the machine is not started."""

OnCheck = Callable[[CheckResult], None]


@dataclass(frozen=True)
class GateRun:
    """What one run of the gate found.

    Args:
        results: results of the checks that ended.
        died: how a machine exited instead of serving, if one did.
        opened: whether the server was asked to admit clients.
    """

    results: tuple[CheckResult, ...]
    died: MachineFailedError | None = None
    opened: bool = False


@dataclass(frozen=True)
class Gate:
    """Checks that machines stay up and that their server works.

    The first check goes through the proxy, so it also proves that a sleeping server wakes.
    """

    fly: FlyClient
    app: str
    machines: Mapping[str, str]
    """By machine id, the config version to prove; empty if it is unknown."""
    server: Server
    checks: tuple[Check, ...]
    seen: frozenset[str]
    """Ids of machine events that happened before the change."""
    clock: Callable[[], float]
    opening: Check | None = None
    """The call that admits clients, made after all other checks passed."""
    started_after: str = "health"
    """The check after which Fly must report a machine as started."""

    async def run(self, on_check: OnCheck) -> GateRun:
        """Run every check and report each result; stop when a machine exits or is killed.

        Raises:
            FlyError: Fly cannot be asked, so nothing is known of the server.
        """
        results: list[CheckResult] = []
        opened: list[Check] = []
        deaths: list[MachineFailedError] = []
        failures: list[FlyError] = []

        def record(result: CheckResult) -> None:
            results.append(result)
            on_check(result)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, deaths, tasks.cancel_scope)
            try:
                await self._prove(record, opened)
            except FlyError as error:
                failures.append(error)
            tasks.cancel_scope.cancel()
        if failures and not deaths:
            raise failures[0]
        return GateRun(tuple(results), deaths[0] if deaths else None, bool(opened))

    @property
    def _log(self) -> str:
        return f"`fly logs -a {self.app}`, here: {Command('local', 'logs', self.app)}"

    async def _prove(self, record: OnCheck, opened: list[Check]) -> None:
        good = True
        async for result in prove(self.server, self.checks, self.clock):
            good &= result.ok
            record(result)
            if result.name == self.started_after and result.ok:
                started = await self._started()
                good &= started.ok
                record(started)
        if good and self.opening is not None:
            opened.append(self.opening)  # noted before the call, as its answer may be lost
            record(await run_check(self.opening, self.server, self.clock))

    async def _started(self) -> CheckResult:
        """Check that Fly reports a machine as started with the config it was sent."""
        began, detail, ok = self.clock(), "", False
        try:
            machine = await self._awake()
            await self.fly.wait_machine(
                self.app, machine, "started", STARTED_LIMIT_S, version=self.machines[machine]
            )
            ok = True
        except NOT_STARTED as error:
            detail = error.what
        look = f"`fly machine list -a {self.app}`"
        advice = "" if ok else f"Fly and the server disagree. List its machines: {look}"
        return CheckResult("started", ok, self.clock() - began, STARTED_LIMIT_S, detail, advice)

    async def _awake(self) -> str:
        """Return the id of a started machine; others may still be asleep."""
        first, *others = self.machines
        for key in (first, *others) if others else ():
            machine = await self.fly.get_machine(self.app, key)
            if machine and machine.state == "started" and self._is_proved(key, machine):
                return key
        return first

    def _is_proved(self, key: str, machine: Machine) -> bool:
        return machine.instance_id == self.machines[key]

    async def _watch(self, deaths: list[MachineFailedError], scope: anyio.CancelScope) -> None:
        given_up: set[str] = set()
        while True:
            for machine in self.machines:
                death = await self._look_at(machine, given_up)
                if death:
                    deaths.append(death)
                    scope.cancel()
            await anyio.sleep(WATCH_S)

    async def _look_at(self, key: str, given_up: set[str]) -> MachineFailedError | None:
        try:
            machine = await self.fly.get_machine(self.app, key)
        except FlyError:
            return None  # watching only makes a failure faster; the checks decide
        if machine is None:
            return None
        if machine.state not in GIVEN_UP or not self._is_proved(key, machine):
            given_up.discard(key)
        elif key in given_up:  # seen twice in a row, as one answer may be older than the change
            return MachineFailedError(
                f"The machine {key} was not started by Fly: it is {machine.state}.",
                advice=f"Its events and its log say why ({self._log}).",
            )
        else:
            given_up.add(key)
        death = failure_in(machine, self.seen, self._log)
        return death and quoted(death, last_words_of(machine, self.machines[key]))


def failure_in(machine: Machine, seen: frozenset[str], log: str) -> MachineFailedError | None:
    """Return the error for the newest unrequested exit of a machine; None if there is none.

    Args:
        machine: the machine; its events have the newest first.
        seen: ids of the events from before the change.
        log: how to read its log.
    """
    newest = None
    for event in machine.events:
        if event.type in NEW_CONFIG:
            # An update stops the machine: what ends before the next start had the old config.
            return newest if event.type == LAUNCH else None
        if newest is not None and event.type == START:
            return newest
        ending = None if newest or event.id in seen else event.exit_event
        if ending is not None:
            newest = _failure(machine, ending, log)
    return newest


def _failure(machine: Machine, ending: Mapping[str, object], log: str) -> MachineFailedError | None:
    """Return the error for the exit of a machine; None if somebody asked for it, or it has code 0."""
    if ending.get("oom_killed"):
        return MachineFailedError(
            f"The machine {machine.id} was killed because its memory was full.",
            advice=memory_advice(machine),
        )
    code, signal = _number(ending.get("exit_code")), _number(ending.get("signal"))
    killed = signal > 0
    if ending.get("requested_stop") or not (code or killed):
        return None
    # Fly reports an exit code for a signal too, as a shell does: 137 for signal 9.
    how = f"was ended by signal {signal}" if killed else f"exited with code {code}"
    return MachineFailedError(
        f"The machine {machine.id} {how} instead of serving.",
        advice=f"Its log says why ({log}). A wrong setting is the usual cause.",
    )


def quoted(death: MachineFailedError, words: str) -> MachineFailedError:
    """Add the last error that the server left to the error of its machine."""
    if not words:
        return death
    return MachineFailedError(f'{death.what} It said: "{words}"', advice=death.advice)


def _number(value: object) -> int:
    """Return a number of an event; 0 for anything else, such as null."""
    return value if isinstance(value, int) else 0
