"""Put machines to sleep, and wake a server with a request."""

from __future__ import annotations

import time
from typing import Literal

from roost.environment.load import EnvironmentFile
from roost.environment.model import SqliteDatabase
from roost.errors import SmokeFailedError, UsageError
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.secret_sources import login_of
from roost.operations.server_state import (
    ready_advice,
    until_ok,
)
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.image import is_our_image
from roost.prefect.write_freeze import NotFrozenError, NothingToFreezeError, freeze_writes

PROBE_TIMEOUT_S = 90.0


READY_LIMIT_S = 20.0
"""Longest time a database may take to answer after the process does."""


STATE_LIMIT_S = 60


def buffers_writes(file: EnvironmentFile, machine: Machine) -> bool:
    """Return whether a machine's server acknowledges writes before they are on its disk."""
    return (
        machine.state == "started"
        and isinstance(file.environment.database, SqliteDatabase)
        and is_our_image(str((machine.config or {}).get("image", "")))
    )


async def flush_writes(context: Context, target: Target, file: EnvironmentFile) -> None:
    """Flush the last writes to the disk, as the server does before it suspends itself.

    An update drops the memory of a suspended machine. The write freeze ends before the machine is
    suspended, because a machine that resumes with it would keep writers waiting.
    """
    url = await target.app_url(file.environment.app, public=file.environment.access.public)
    auth = login_of(context, file, target.generates).value
    try:
        async with (
            context.clients.prefect(url, PROBE_TIMEOUT_S) as http,
            freeze_writes(http, auth),
        ):
            pass
    except NothingToFreezeError as reason:
        context.progress.print(
            f"Its data is not on its volume: {reason}. See what to do: {Command('smoke', file.name)}",
            markup=False,
            soft_wrap=True,
        )
    except NotFrozenError as reason:
        context.progress.print(
            f"Its database was not flushed to the disk ({reason}): what was written in the last half "
            f"minute is safe once it woke. Before you change it, wake it: {Command('wake', file.name)}",
            markup=False,
            soft_wrap=True,
        )


async def put_to_sleep(
    target: Target,
    app: str,
    machine: Machine,
    how: Literal["suspend", "stop"],
    limit_s: float = STATE_LIMIT_S,
) -> str:
    """Suspend or stop a machine, and return its new state, which it reaches within a limit in seconds."""
    act = target.fly.suspend_machine if how == "suspend" else target.fly.stop_machine
    goal = "suspended" if how == "suspend" else "stopped"
    await act(app, machine.id)
    await target.fly.wait_machine(app, machine.id, goal, limit_s, version=machine.instance_id)
    return goal


async def our_machines(target: Target, file: EnvironmentFile) -> tuple[Machine, ...]:
    """Return an environment's machines.

    Raises:
        UsageError: it has none.
    """
    app = await target.fly.get_app(file.environment.app)
    found = (
        await target.fly.list_machines(file.environment.app, {ENVIRONMENT_KEY: file.name})
        if app
        else ()
    )
    if not found:
        raise UsageError(
            f"{file.name} has no machine yet.", advice=f"Create it: {Command('apply', file.name)}"
        )
    return found


async def time_wake(context: Context, url: str) -> float:
    """Return the seconds until the server is ready; the request wakes a sleeping one.

    `/api/health` answers without a database, `/api/ready` does not.

    Raises:
        SmokeFailedError: one of the two did not answer within its limit.
    """
    began = time.monotonic()
    async with context.clients.prefect(url, PROBE_TIMEOUT_S) as http:
        seen = await until_ok(http, "/api/health", began + PROBE_TIMEOUT_S)
        if seen:
            raise SmokeFailedError(f"{url} does not answer ({seen}).", advice="Look at its log.")
        seen = await until_ok(http, "/api/ready", time.monotonic() + READY_LIMIT_S)
    if seen:
        raise SmokeFailedError(
            f"{url} is up, and not ready: /api/ready: {seen}.", advice=ready_advice(seen)
        )
    return time.monotonic() - began
