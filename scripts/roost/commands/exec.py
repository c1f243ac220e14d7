"""`roost exec`: run a command in a machine of an environment, and exit with its code."""

from __future__ import annotations

import json
from collections.abc import Sequence

from roost.environment.load import EnvironmentFile, load_unit
from roost.errors import FlyWaitTimeoutError, ProgramExit, UsageError
from roost.fly.models import Executed, Machine
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.sleep_wake import our_machines
from roost.report.text import Verbatim

MOST_S = 600
START_LIMIT_S = 60
SHELL_SIGNAL_BASE = 128
MOST_CODE = 255


async def execute(  # noqa: PLR0913 - the options of the command
    context: Context,
    name: str,
    *,
    argv: Sequence[str],
    machine: str,
    wake: bool,
    limit_s: int,
    local: bool,
    as_json: bool,
) -> ProgramExit:
    """Run a command in a machine of a server, a flow server or the waker; return its exit code.

    Its output is printed as it is. With JSON it is in the object, beside the exit code.

    Raises:
        UsageError: there is no such machine, or none that runs.
        FlyWaitTimeoutError: the command did not end in time.
    """
    file = load_unit(name, context.environments)
    async with connect(context, local=local) as target:
        chosen = choose(file, await our_machines(target, file), machine)
        chosen = await _awake(context, target, file, chosen, wake=wake)
        context.progress.print(f"In {chosen.id} ({chosen.name}) of {file.environment.app}:")
        done = await _run(target, file, chosen, argv, limit_s)
    if as_json:
        context.out.print_json(json.dumps(_document(file, chosen, done)))
    else:
        context.out.print(Verbatim(done.stdout), end="")
        context.progress.print(Verbatim(done.stderr), end="")
    return ProgramExit(exit_code(done))


def choose(file: EnvironmentFile, machines: Sequence[Machine], wanted: str) -> Machine:
    """Return the machine that is named; without a name one that runs, else the first.

    Raises:
        UsageError: no machine has that id or name.
    """
    found = [m for m in machines if wanted in {"", m.id, m.name}]
    if not found:
        theirs = ", ".join(f"{m.id} ({m.name})" for m in machines)
        raise UsageError(
            f"{file.name} has no machine {wanted}.", where="--machine", advice=f"It has: {theirs}."
        )
    return min(found, key=lambda m: (m.state != "started", m.name))


async def _awake(
    context: Context, target: Target, file: EnvironmentFile, machine: Machine, *, wake: bool
) -> Machine:
    """Return the machine, which runs; one that sleeps is started only if it is asked for."""
    if machine.state == "started":
        return machine
    if not wake:
        raise UsageError(
            f"The machine {machine.id} does not run: it is {machine.state}.",
            where=file.name,
            advice="To start it for this, add --wake before the command.",
        )
    context.progress.print(f"{machine.id} is {machine.state}. It is started.")
    app = file.environment.app
    await target.fly.start_machine(app, machine.id)
    version = machine.instance_id
    await target.fly.wait_machine(app, machine.id, "started", START_LIMIT_S, version=version)
    return machine


async def _run(
    target: Target, file: EnvironmentFile, machine: Machine, command: Sequence[str], limit_s: int
) -> Executed:
    try:
        return await target.fly.exec_machine(file.environment.app, machine.id, command, limit_s)
    except FlyWaitTimeoutError as error:
        raise FlyWaitTimeoutError(
            f"The command did not end within {limit_s} s; it may still run.",
            where=f"{file.name}/{machine.id}",
            advice=f"Give it longer with --timeout, at most {MOST_S}, or run it in the background.",
            status=error.status,
            request_id=error.request_id,
        ) from error


def exit_code(done: Executed) -> int:
    """Return the exit code of a command; one that a signal ended has 128 and the signal's number."""
    code = done.exit_code or (SHELL_SIGNAL_BASE + done.exit_signal if done.exit_signal > 0 else 0)
    return code if 0 <= code <= MOST_CODE else 1


def _document(file: EnvironmentFile, machine: Machine, done: Executed) -> dict[str, object]:
    where = {"environment": file.name, "app": file.environment.app, "machine": machine.id}
    output = {"stdout": done.stdout, "stderr": done.stderr}
    return {**where, "exit_code": exit_code(done), **output}
