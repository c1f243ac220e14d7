"""`roost tick`: wake the servers that have a run due, and no other.

It reads on Fly when each sleeping server is needed next, and wakes one with a request. It changes
nothing on Fly and keeps nothing itself: where it is killed, the next tick does what is left.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from roost.commands.drift import error_lines, faulty, watched
from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import ExitCode, RoostError, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.drift_result import error_document
from roost.operations.fly_target import Target, connect
from roost.operations.sleep_wake import time_wake
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.next_due import Decided, Decision, decide
from roost.plan.steps import Json
from roost.report.due import tick_line, unwoken_line, woken_line
from roost.report.wording import counted, one_line

READS_AT_ONCE = 8
"""Fly limits the rate of requests; wakes wait for their servers, and are not limited."""


@dataclass(frozen=True)
class Ticked:
    """What a tick found and did about one environment.

    Args:
        name: the environment.
        app: its app; empty if its file could not be read.
        now: the time that it was decided at.
        decided: the decision; None if the environment could not be read.
        woken_s: seconds from the request to the answer, if it was woken.
        error: why it could not be read or woken.
    """

    name: str
    app: str
    now: datetime
    decided: Decided | None = None
    woken_s: float | None = None
    error: RoostError | None = None

    def lines(self) -> Sequence[str]:
        """Return what happened as lines."""
        found = self.decided
        due = found.due if found else None
        lines = list(found.notes) if found else []
        if self.error:
            not_woken = [unwoken_line(self.name, due, self.now)] if due else []
            return [*lines, *not_woken, *error_lines(self.name, self.error)]
        if self.woken_s is not None and due:
            return [*lines, woken_line(self.name, due, self.now, self.woken_s)]
        return [*lines, tick_line(self.name, found, self.now)] if found else lines

    def document(self) -> Json:
        """Return it as JSON."""
        due = self.decided.due if self.decided else None
        return {
            "environment": self.name,
            "app": self.app or None,
            "decision": self.decided.decision.value if self.decided else None,
            "due": due.document() if due else None,
            "late_s": round((self.now - due.at).total_seconds(), 1) if due else None,
            "woken_s": None if self.woken_s is None else round(self.woken_s, 2),
            "notes": list(self.decided.notes) if self.decided else [],
            "error": error_document(self.error) if self.error else None,
        }


async def tick(
    context: Context, names: Sequence[str], *, every: bool, local: bool, as_json: bool
) -> ExitCode:
    """Wake each named environment, or all, that has a run due; report the others.

    An environment that fails stops no other; the exit code is 1 then.

    Raises:
        UsageError: neither environments nor all are asked for, or both.
        MissingTokenError: there is no token of Fly.
    """
    if bool(names) == every:
        raise UsageError(
            "Name environments, or give --all.", advice=f"See: {Command('tick', '--help')}"
        )
    now = datetime.now(UTC)
    files, broken = _files(context, names, now, local=local)
    done: list[Ticked] = []

    def report_one(found: Ticked) -> None:
        done.append(found)
        for line in () if as_json else found.lines():
            context.out.print(one_line(line), markup=False, soft_wrap=True)

    for found in broken:
        report_one(found)
    if files:
        reads = anyio.CapacityLimiter(READS_AT_ONCE)
        async with connect(context, local=local) as target, anyio.create_task_group() as group:

            async def one(file: EnvironmentFile) -> None:
                report_one(await _tick_one(context, target, file, now, reads))

            for file in files:
                group.start_soon(one, file)
    return _end(context, done, now, as_json=as_json)


def _files(
    context: Context, names: Sequence[str], now: datetime, *, local: bool
) -> tuple[list[EnvironmentFile], list[Ticked]]:
    """Return the files to look at, and a failure for each that cannot be read."""
    if not names:
        loaded = watched(context, local=local)
        errors = faulty(loaded.faults)
        good = [file for file in loaded.files if file.name not in errors]
        return good, [Ticked(name, "", now, error=error) for name, error in errors.items()]
    files: list[EnvironmentFile] = []
    broken: list[Ticked] = []
    for name in dict.fromkeys(names):
        try:
            files.append(load_environment(name, context.environments))
        except RoostError as error:
            broken.append(Ticked(name, "", now, error=error))
    return files, broken


async def _tick_one(
    context: Context,
    target: Target,
    file: EnvironmentFile,
    now: datetime,
    reads: anyio.CapacityLimiter,
) -> Ticked:
    """Look at one environment, and wake it if a run is due; a failure is part of the result."""
    app, decided = file.environment.app, None
    try:
        async with reads:
            exists = await target.fly.get_app(app)
            mine = {ENVIRONMENT_KEY: file.name}
            machines = await target.fly.list_machines(app, mine) if exists else ()
        decided = decide(machines, now)
        if decided.decision is not Decision.DUE:
            return Ticked(file.name, app, now, decided)
        await target.check_reach(file)
        url = await target.app_url(app, public=file.environment.access.public)
        seconds = await time_wake(context, url)
        return Ticked(file.name, app, now, decided, seconds)
    except RoostError as error:
        return Ticked(file.name, app, now, decided, error=error)


def _end(context: Context, done: Sequence[Ticked], now: datetime, *, as_json: bool) -> ExitCode:
    """Print the JSON object, or the failures in one sentence; return the exit code."""
    found = sorted(done, key=lambda one: one.name)
    failed = [one.name for one in found if one.error]
    if as_json:
        document = {"at": now.isoformat(), "environments": [one.document() for one in found]}
        context.out.print_json(json.dumps(document))
    elif failed:
        of_all = counted(len(found), "environment")
        context.out.print(
            f"{len(failed)} of {of_all} failed: {', '.join(failed)}. The next tick tries again.",
            markup=False,
            soft_wrap=True,
        )
    elif not found:
        context.out.print(
            f"There is no environment yet, so nothing is due. Make one: {Command('init')}"
        )
    return ExitCode.ERROR if failed else ExitCode.DONE
