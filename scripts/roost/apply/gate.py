"""The gate: proof, after a change, that the server is good. It fails fast when a machine dies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import anyio

from roost.errors import (
    FlyError,
    FlyNotFoundError,
    FlyPreconditionError,
    FlyWaitTimeoutError,
    MachineFailedError,
)
from roost.fly.client import FlyClient
from roost.fly.models import Machine, MachineEvent
from roost.plan.exit_reason import last_words_of
from roost.prefect.probe import Check, CheckResult, Server, prove, run_check

STARTED_LIMIT_S = 30
WATCH_S = 1.0

NEW_CONFIG = frozenset({"launch", "update"})
"""Events with which a machine gets its config: what ended before them ran another one."""

GIVEN_UP = frozenset({"failed", "launch_failed"})
"""States of a machine that Fly tries to start no more."""

NOT_STARTED = (FlyWaitTimeoutError, FlyPreconditionError, FlyNotFoundError)
"""Answers to a wait that are about the machine."""

OnCheck = Callable[[CheckResult], None]


@dataclass(frozen=True)
class Found:
    """What the gate found.

    Args:
        results: of the checks that ended.
        died: how a machine ended instead of serving, if one did.
        opened: whether the server was asked to let everybody in.
    """

    results: tuple[CheckResult, ...]
    died: MachineFailedError | None = None
    opened: bool = False


@dataclass(frozen=True)
class Gate:
    """What is to be proved: machines that stay up, and a server that works.

    The first check goes through the proxy, so it also proves that a sleeping server wakes.
    """

    fly: FlyClient
    app: str
    machines: Mapping[str, str]
    """Each with the version of it that is to be proved; empty where it is unknown."""
    server: Server
    checks: tuple[Check, ...]
    seen: frozenset[str]
    """Ids of machine events from before the change."""
    clock: Callable[[], float]
    opening: Check | None = None
    """What lets everybody in, where all else is well."""

    async def run(self, on_check: OnCheck) -> Found:
        """Run every check and tell each result as it comes; end where a machine exits or is killed.

        Raises:
            FlyError: Fly does not tell, which says nothing of the server.
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
        return Found(tuple(results), deaths[0] if deaths else None, bool(opened))

    @property
    def _log(self) -> str:
        return f"`fly logs -a {self.app}`, here: ./run roost local logs {self.app}"

    async def _prove(self, record: OnCheck, opened: list[Check]) -> None:
        good = True
        async for result in prove(self.server, self.checks, self.clock):
            good &= result.ok
            record(result)
            if result.name == "health" and result.ok:
                started = await self._started()
                good &= started.ok
                record(started)
        if good and self.opening is not None:
            opened.append(self.opening)  # before it is asked: its answer may never come
            record(await run_check(self.opening, self.server, self.clock))

    async def _started(self) -> CheckResult:
        """Fly itself must say that a machine of the app is started, with what it was given."""
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
        advice = "" if ok else f"Fly and the server disagree. Look at its machines: {look}"
        return CheckResult("started", ok, self.clock() - began, STARTED_LIMIT_S, detail, advice)

    async def _awake(self) -> str:
        """Return the machine that answered, as far as Fly tells: of several, some may sleep on."""
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
            return None  # watching is a help; the checks themselves give the verdict
        if machine is None:
            return None
        if machine.state not in GIVEN_UP or not self._is_proved(key, machine):
            given_up.discard(key)
        elif key in given_up:  # twice in a row: one answer may be older than the change
            return MachineFailedError(
                f"The machine {key} was not started by Fly: it is {machine.state}.",
                advice=f"Its events and its log say why ({self._log}).",
            )
        else:
            given_up.add(key)
        death = failure_in(key, machine.events, self.seen, self._log)
        return death and quoted(death, last_words_of(machine, self.machines[key]))


def failure_in(
    machine: str, events: Iterable[MachineEvent], seen: frozenset[str], log: str
) -> MachineFailedError | None:
    """Find a death that nobody asked for among the events, newest first, that are new.

    Args:
        machine: whose events they are.
        events: the newest first.
        seen: those of before the change, by id.
        log: how one reads its log.
    """
    for event in events:
        if event.type in NEW_CONFIG:
            return None
        ending = None if event.id in seen else event.exit_event
        if ending is None:
            continue
        if ending.get("oom_killed"):
            return MachineFailedError(
                f"The machine {machine} was killed because its memory was full.",
                advice="Raise machine.memory_mb and apply again.",
            )
        code, signal = _number(ending.get("exit_code")), _number(ending.get("signal"))
        killed = signal > 0
        if not ending.get("requested_stop") and (code or killed):
            # Fly gives such an end a code as well, as a shell does: 137 for signal 9.
            how = f"was ended by signal {signal}" if killed else f"exited with code {code}"
            return MachineFailedError(
                f"The machine {machine} {how} instead of serving.",
                advice=f"Its log says why ({log}). A wrong setting is the usual cause.",
            )
    return None


def quoted(death: MachineFailedError, words: str) -> MachineFailedError:
    """Return how a machine died together with what its server told of that, if it did."""
    if not words:
        return death
    return MachineFailedError(f'{death.what} It said: "{words}"', advice=death.advice)


def _number(value: object) -> int:
    """Read a number of an event; anything else, such as null, is 0."""
    return value if isinstance(value, int) else 0
