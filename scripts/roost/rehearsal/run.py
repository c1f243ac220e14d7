"""Rehearse one environment: deploy the base, apply and prove the change, time sleep and wake."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import anyio

from roost.environment.flow_server import CLIENT_LOGIN
from roost.environment.load import EnvironmentFile
from roost.environment.model import AUTH_SECRET
from roost.environment.rehearsal import Unplayable
from roost.environment.units import to_apply
from roost.errors import ExitCode, GateError, RehearsalError, RoostError
from roost.operations.applying import apply_planned
from roost.operations.context import Context
from roost.operations.fly_target import LOCAL_TOKEN, Generates, Target
from roost.operations.generated_secrets import GeneratedSecrets
from roost.operations.images import ensure_image
from roost.operations.local_fly import Memory as MachineMemory
from roost.operations.planning import Planned, make_plan
from roost.operations.sleep_wake import our_machines, put_to_sleep, time_wake
from roost.plan.flow_machine import stop_s
from roost.plan.steps import Plan
from roost.prefect.probe import CheckResult, Server
from roost.prefect.transport import prefect_client
from roost.rehearsal.canary_rows import TROUBLE, count_canary_rows, write_rows
from roost.rehearsal.downtime_monitor import monitor_downtime
from roost.rehearsal.private_fly import PrivateFly, private_local_fly
from roost.report.rehearsal import (
    MAX_CHECKS,
    MAX_MESSAGE,
    MAX_STEPS,
    CheckFound,
    Memory,
    Rehearsal,
    StepDone,
    Wake,
    clipped,
)
from roost.report.text import plan_report
from roost.report.wording import one_line
from roost.secret_text import SecretText

T = TypeVar("T")
TIMEOUT_S = 60.0
IDLE_S = 2.0
"""Idle time before the memory of an idle server is read."""
LOG_LINES = 30


@dataclass(frozen=True)
class Revision:
    """One revision of an environment: the base or the head."""

    context: Context
    file: EnvironmentFile


@dataclass(frozen=True)
class Base:
    """What the change is applied to; `note` says what is unusual about it."""

    kind: Literal["created", "none", "same"]
    side: Revision | None = None
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """The result of one rehearsal, and its exit code."""

    rehearsal: Rehearsal
    code: ExitCode = ExitCode.DONE


class BaseFailedError(Exception):
    """The base could not be deployed."""


@dataclass
class Measurements:
    """The measurements so far; a failure reports them, too."""

    found: dict[str, Any] = field(default_factory=dict)
    wake: dict[str, float] = field(default_factory=dict)
    peaks: list[int] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)

    def rehearsal(self, head: Revision, base: Base, outcome: str, **more: Any) -> Rehearsal:
        """Return the measurements as a report."""
        peak = {"peak": max(self.peaks)} if self.peaks else {}
        wake = {name: round(seconds, 3) for name, seconds in self.wake.items()}
        return Rehearsal.model_validate(
            {
                "environment": head.file.name,
                "outcome": outcome,
                "base": base.kind,
                "prefect": head.file.environment.prefect.version,
                "wake": Wake(**wake),
                "memory_mb": Memory(**self.memory, **peak),
                **self.found,
                **more,
            }
        )

    def add_gate(self, results: tuple[CheckResult, ...]) -> None:
        """Add the checks of one gate."""
        self.found["gate"] = (*self.found.get("gate", ()), *_gate(results))

    def seconds(self, name: str, began: float) -> None:
        """Record how long a part took, in seconds."""
        self.found[f"{name}_seconds"] = round(time.monotonic() - began, 3)


def skipped(head: Revision, base: Base, why: Unplayable) -> Outcome:
    """Return the outcome of an environment that cannot be rehearsed here."""
    found = Measurements().rehearsal(head, base, "skipped", word=why.word, message=clipped(why.why))
    return Outcome(found)


async def run_rehearsal(head: Revision, base: Base) -> Outcome:
    """Rehearse one environment on a private local Fly; a failure is part of the outcome."""
    measurements = Measurements()
    try:
        return await _run_rehearsal(head, base, measurements)
    except BaseFailedError as error:
        # A change that fixes a broken base must be rehearsed, too: as a first deploy.
        note = (
            f"The base could not be deployed ({one_line(str(error))}), so this is a first deploy."
        )
        return await run_rehearsal(head, Base("none", note=note))
    except RoostError as error:
        return _failed(head, base, measurements, error)


async def _run_rehearsal(head: Revision, base: Base, measurements: Measurements) -> Outcome:
    async with (
        private_local_fly(head.context.environ) as private_fly,
        head.context.clients.fly(private_fly.local.api_url, SecretText(LOCAL_TOKEN)) as fly,
    ):
        for side in (base.side, head):
            image = side.file.environment.prefect.image if side else ""
            if image and not await private_fly.local.has_image(image):
                return skipped(head, base, _foreign(image))
        run = RehearsalRun(
            private_fly, Target(fly, private_fly.local, Generates.ALL), head, measurements
        )
        rows: tuple[str, ...] = ()
        if base.side:
            rows = await run.deploy_base(base.side)
        for unit in to_apply(head.file):
            await (run.apply_beside(unit) if unit.beside else run.apply_head(rows))
        await run.prove_sleep()
    note = clipped(base.note, MAX_MESSAGE)
    return Outcome(measurements.rehearsal(head, base, "passed", message=note))


def _foreign(image: str) -> Unplayable:
    return Unplayable(
        "foreign-image",
        f"The local Fly cannot run the image {image}, which Roost did not build, so nothing was "
        "deployed. The file was checked.",
    )


def _failed(head: Revision, base: Base, measurements: Measurements, error: RoostError) -> Outcome:
    checks = error.checks if isinstance(error, GateError) else ()
    gate = _gate(checks) or measurements.found.get("gate", ())
    what = error.what.partition("\n")[0]
    advice = "" if isinstance(error, GateError) else error.advice
    where = "" if error.where == head.file.name else f"{error.where}: " if error.where else ""
    message = " ".join(part for part in (f"{where}{what}", advice, base.note) if part)
    measurements.found |= {
        "gate": gate,
        "word": error.word,
        "message": clipped(one_line(message), MAX_MESSAGE),
    }
    return Outcome(measurements.rehearsal(head, base, "failed"), ExitCode(error.exit_code))


def _gate(checks: tuple[CheckResult, ...]) -> tuple[CheckFound, ...]:
    return tuple(
        CheckFound(
            name=clipped(check.name),
            ok=check.ok,
            seconds=round(check.seconds, 3),
            detail=clipped(one_line(check.detail or ("" if check.ok else check.advice))),
        )
        for check in checks[:MAX_CHECKS]
    )


def _steps(plan: Plan) -> tuple[StepDone, ...]:
    return tuple(
        StepDone(key=clipped(one_line(step.key)), summary=clipped(one_line(step.summary)))
        for step in plan.steps[:MAX_STEPS]
    )


@dataclass(frozen=True)
class RehearsalRun:
    """One rehearsal: its private local Fly, the head and the measurements."""

    private_fly: PrivateFly
    target: Target
    head: Revision
    measurements: Measurements

    @property
    def app(self) -> str:
        """The app that is rehearsed."""
        return self.head.file.environment.app

    async def deploy_base(self, side: Revision) -> tuple[str, ...]:
        """Deploy the base and write the canary rows.

        Raises:
            BaseFailedError: the base fails by itself.
        """
        self._print(
            f"{side.file.name}: what is there now, Prefect {side.file.environment.prefect.version}"
        )
        try:
            planned, context = await self._plan(side)
            began = time.monotonic()
            await apply_planned(context, self.target, planned)
            self.measurements.seconds("base", began)
            return await self._write(side)
        except (RoostError, OSError) as error:
            raise BaseFailedError(f"{error}".partition("\n")[0]) from error

    async def apply_head(self, rows: tuple[str, ...]) -> None:
        """Apply the change, measure the downtime, and check that the canary rows are kept."""
        version = self.head.file.environment.prefect.version
        self._print(
            f"{self.head.file.name}: {'the change' if rows else 'a first deploy'}, Prefect {version}"
        )
        planned, context = await self._plan(self.head)
        self.measurements.found["steps"] = _steps(planned.plan)
        before = await self._log()
        try:
            results = await self._apply(planned, context, attended=bool(rows))
        except RoostError:
            with suppress(
                RoostError
            ):  # a failure to read the log must not hide the failure of the apply
                self._show_log(before, await self._log())
            raise
        self.measurements.add_gate(results)
        await self._keep_peak()
        await self._prove_kept(rows)

    async def apply_beside(self, file: EnvironmentFile) -> None:
        """Apply and prove what stands beside the server; stop what would keep the server awake."""
        self._print(f"{file.name}: a first deploy")
        planned, context = await self._plan(Revision(self.head.context, file))
        results = await apply_planned(context, self.target, planned)
        self.measurements.add_gate(
            tuple(replace(result, name=f"{file.name}: {result.name}") for result in results)
        )
        if file.flow:
            for machine in await our_machines(self.target, file):
                limit_s = stop_s(file.flow.entry)
                await put_to_sleep(self.target, file.environment.app, machine, "stop", limit_s)

    async def _apply(
        self, planned: Planned, context: Context, *, attended: bool
    ) -> tuple[CheckResult, ...]:
        """Apply the change; measure the downtime if a server was up before."""
        began, downtime = time.monotonic(), None
        try:
            if not attended:
                return await apply_planned(context, self.target, planned)
            async with monitor_downtime(await self._url(), time.monotonic) as downtime:
                return await apply_planned(context, self.target, planned)
        finally:
            self.measurements.seconds("apply", began)
            if downtime:
                self.measurements.found["silence_seconds"] = round(downtime.silence_s, 3)

    async def prove_sleep(self) -> None:
        """Suspend and stop the server, wake it each time, and check that the rows are kept."""
        await anyio.sleep(IDLE_S)
        memory = await self._keep_peak()
        if memory:
            self.measurements.memory["idle"] = memory.used
        scaling = self.head.file.environment.scaling
        if scaling.autostop == "off" or scaling.min_machines_running:
            self._print("It never sleeps, as its file says.")
            return
        rows = await self._write(self.head)
        if scaling.autostop == "suspend":
            await self._sleep_and_wake("suspend")
        await self._sleep_and_wake("stop")
        await self._keep_peak()
        await self._prove_kept(rows)

    async def _sleep_and_wake(self, how: Literal["suspend", "stop"]) -> None:
        state = "suspended" if how == "suspend" else "stopped"
        for machine in await our_machines(self.target, self.head.file):
            await put_to_sleep(self.target, self.app, machine, how)
        seconds = await time_wake(await self._url())
        self.measurements.wake[f"{state}_seconds"] = seconds
        self._print(f"It was {state}; a request woke it and was answered after {seconds:.2f} s.")

    async def _plan(self, side: Revision) -> tuple[Planned, Context]:
        """Plan one revision with generated secrets, and make sure that its image exists."""
        environ = {**side.context.environ, "LOCALFLY_HOME": str(self.private_fly.home)}
        context = replace(side.context, environ=environ)
        environment = side.file.environment
        # The login of a flow server is the one that was generated for the server.
        names = [s.name for s in environment.secrets if s.name != CLIENT_LOGIN]
        self._values.values(environment.app, names)
        planned = await make_plan(context, side.file, self.target)
        context.progress.print(plan_report(planned.plan, planned.cost))
        if not side.file.environment.prefect.image:
            await ensure_image(context, self.target, planned.file, planned.image)
        return planned, context

    @property
    def _values(self) -> GeneratedSecrets:
        return GeneratedSecrets(self.private_fly.home, self.head.context.clients.make_value)

    async def _write(self, side: Revision) -> tuple[str, ...]:
        return await self._with_server(side, write_rows)

    async def _prove_kept(self, rows: tuple[str, ...]) -> None:
        """Check that the server still has the rows.

        Raises:
            RehearsalError: some are lost.
        """
        if not rows:
            return

        async def count(server: Server) -> int:
            return await count_canary_rows(server, rows)

        kept = await self._with_server(self.head, count)
        if kept != len(rows):
            raise RehearsalError(
                f"Of {len(rows)} flow runs written before, {kept} are there.",
                advice="The change loses data. Do not merge it.",
            )

    async def _with_server(self, side: Revision, act: Callable[[Server], Awaitable[T]]) -> T:
        """Call the server with its login.

        Raises:
            RehearsalError: it does not answer as a Prefect server does.
        """
        environment = side.file.environment
        auth = self._values.known(self.app, [AUTH_SECRET]).get(AUTH_SECRET)
        async with prefect_client(await self._url(), TIMEOUT_S) as http:
            server = Server(http, auth if environment.access.auth == "basic" else None)
            try:
                return await act(server)
            except TROUBLE as error:
                raise RehearsalError(
                    f"Flow runs could not be written or read: {server.quote(str(error)) or type(error).__name__}.",
                    advice="Look at its log.",
                ) from error

    async def _keep_peak(self) -> MachineMemory | None:
        """Read the memory of the server and record its peak."""
        memory = await self.private_fly.local.memory_mb(self.app)
        if memory:
            self.measurements.peaks.append(memory.peak)
            self.measurements.memory["limit"] = memory.limit
        return memory

    async def _url(self) -> str:
        public = self.head.file.environment.access.public
        return await self.target.app_url(self.app, public=public)

    async def _log(self) -> str:
        return await self.private_fly.local.log(self.app) if await self._url() else ""

    def _show_log(self, before: str, after: str) -> None:
        """Print the log from the change on, because its folder will be removed."""
        new = after.removeprefix(before)
        for secret in self.head.file.environment.secrets:
            for value in self._values.known(self.app, [secret.name]).values():
                new = value.redact(new)
        lines = new.splitlines()
        self._print(f"Its log from the change on ({len(lines)} lines):")
        for line in lines[:LOG_LINES]:
            # GitHub's runner reads `##[` in a log as a command.
            self._print(f"  | {one_line(line).replace('##[', '## [')}")

    def _print(self, text: str) -> None:
        self.head.context.progress.print(
            one_line(text) if text[:2] != "  " else text, markup=False, soft_wrap=True
        )
