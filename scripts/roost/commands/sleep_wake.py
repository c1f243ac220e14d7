"""`roost sleep` and `roost wake`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from roost.environment.load import load_environment
from roost.errors import ExitCode, UnappliableError
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.operations.server_proof import environment_subject, prove_database, prove_woken
from roost.operations.server_state import (
    ASLEEP,
    print_state_notes,
)
from roost.operations.server_work import ask_work
from roost.operations.sleep_wake import (
    buffers_writes,
    flush_writes,
    our_machines,
    put_to_sleep,
    time_wake,
)
from roost.plan.awake_windows import window_state
from roost.report.due import sleep_note
from roost.report.windows import slept_in_window


async def sleep(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """Suspend or stop every machine of an environment, as its file says.

    Raises:
        UnappliableError: its autostop is off.
    """
    file = load_environment(name, context.environments)
    how = file.environment.scaling.autostop
    if how == "off":
        raise UnappliableError(
            f"{name} never sleeps: its autostop is off.",
            advice="Set scaling.autostop to suspend or stop and apply.",
        )
    laid: list[dict[str, object]] = []
    clients = None
    async with connect(context, local=local) as target:
        machines = await our_machines(target, file)
        now = datetime.now(UTC)
        windows = window_state((machine.config for machine in machines), now)
        if any(machine.state == "started" for machine in machines):
            clients = (await ask_work(context, target, file)).clients
        for machine in machines:
            state, seconds = machine.state, 0.0
            result = f"sleeps already: {state}."
            if state not in ASLEEP:
                began = time.monotonic()
                if how == "suspend" and buffers_writes(file, machine):
                    await flush_writes(context, target, file)
                state = await put_to_sleep(target, file.environment.app, machine, how)
                seconds = round(time.monotonic() - began, 2)
                result = f"{state} in {seconds:.2f} s. A request wakes it."
            laid.append({"id": machine.id, "state": state, "seconds": seconds})
            if not as_json:
                context.out.print(f"{machine.id} {result}")
    if as_json:
        document = {"environment": name, "app": file.environment.app, "machines": laid}
        connected = None if clients is None else clients.document()
        more = {"clients": connected, "windows": windows and windows.document()}
        context.out.print_json(json.dumps({**document, **more}))
        return ExitCode.DONE
    if clients and clients.are_there:
        context.out.print(sleep_note(clients), markup=False, soft_wrap=True)
    if windows and windows.is_open:
        context.out.print(slept_in_window(windows.is_open, now), markup=False, soft_wrap=True)
    return ExitCode.DONE


async def wake(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """Wake an environment with a request, as its users do, and time the answer."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        await our_machines(target, file)
        await target.check_reach(file)
        url = await target.app_url(file.environment.app, public=file.environment.access.public)
        seconds = await time_wake(context, url)
        if as_json:
            document = {"environment": name, "app": file.environment.app, "url": url}
            context.out.print_json(json.dumps({**document, "seconds": round(seconds, 2)}))
        else:
            context.out.print(f"{name} answers after {seconds:.2f} s: {url}", soft_wrap=True)
        subject = environment_subject(context, file, target, url)
        await prove_database(context, url, subject.auth, file.environment.database.backend)
        await prove_woken(context, subject)
        await print_state_notes(context, target, file)
    return ExitCode.DONE
