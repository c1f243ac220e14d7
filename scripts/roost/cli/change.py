"""The commands that change a server, or show what would change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roost.cli.options import (
    AsJson,
    Count,
    Environment,
    Local,
    MemoryMb,
    MinMachinesRunning,
    Size,
    To,
)
from roost.cli.run import run
from roost.cli.sections import Section
from roost.errors import ExitCode

change = Section("Change")


@change.add("roost plan staging --local --json")
def plan(
    environment: Environment,
    *,
    local: Local = False,
    as_json: AsJson = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 2 if there are changes.")
    ] = False,
) -> ExitCode:
    """Show what an apply would change, and what it costs."""
    from roost.commands import plan as command

    return run(command.plan, environment, local=local, as_json=as_json, exit_code=exit_code)


@change.add("roost rehearse staging --base ../base --results results")
def rehearse(
    environments: Annotated[
        list[str], typer.Argument(metavar="ENV...", help="Files in environments/, without .yaml.")
    ],
    *,
    base: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A checkout of the base. Default: a first deploy."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each result to DIR/ENV.json.")
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Try a change on a private local Fly before it is merged.

    Deploys the base, applies the change, and times sleep and wake. Needs no token and no secret.
    """
    from roost.commands import rehearse as command

    return run(command.rehearse, tuple(environments), base=base, results=results, as_json=as_json)


@change.add("roost apply staging --local")
def apply(
    environment: Environment,
    *,
    local: Local = False,
    as_json: AsJson = False,
    digest: Annotated[
        str, typer.Option(metavar="DIGEST", help="Apply only the plan with this digest.")
    ] = "",
) -> ExitCode:
    """Apply the plan and prove that the server is healthy.

    If the gate fails, the last good release is restored.
    """
    from roost.commands import apply as command

    return run(command.apply, environment, local=local, as_json=as_json, digest=digest)


@change.add("roost secrets production --set")
def secrets(
    environment: Environment,
    *,
    local: Local = False,
    as_json: AsJson = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 2 if an apply would change one.")
    ] = False,
    set_them: Annotated[
        bool, typer.Option("--set", help="Set and roll out what changed, and nothing else.")
    ] = False,
) -> ExitCode:
    """Show the state of each secret, or set what changed.

    No value is printed.
    """
    from roost.commands import secrets as command

    if set_them:
        return run(
            command.set_secrets, environment, local=local, as_json=as_json, exit_code=exit_code
        )
    return run(command.secrets, environment, local=local, as_json=as_json, exit_code=exit_code)


@change.add("roost scale staging --memory-mb 1024 --until 4h --reason demo")
def scale(  # noqa: PLR0913 - one argument an option
    environment: Environment,
    *,
    count: Count = None,
    min_machines_running: MinMachinesRunning = None,
    memory_mb: MemoryMb = None,
    size: Size = None,
    until: Annotated[
        str, typer.Option(metavar="TIME", help="When it ends: 4h, 90m, or an RFC 3339 time.")
    ] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for others to read.")] = "",
    clear: Annotated[bool, typer.Option("--clear", help="End the override now.")] = False,
    permanent: Annotated[
        bool, typer.Option("--permanent", help="Edit the file instead, and change no server.")
    ] = False,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Override the scaling until a time, or change it in the file."""
    from roost.commands import scale as command

    fields = {
        "size": size,
        "memory_mb": memory_mb,
        "count": count,
        "min_machines_running": min_machines_running,
    }
    asked = command.ScaleOptions(fields, until, reason, clear, permanent)
    return run(command.scale, environment, asked=asked, local=local, as_json=as_json)


@change.add("roost sleep staging")
def sleep(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """Put the server to sleep now; the next request wakes it."""
    from roost.commands import sleep_wake

    return run(sleep_wake.sleep, environment, local=local, as_json=as_json)


@change.add("roost wake staging")
def wake(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """Wake the server now and wait until it answers."""
    from roost.commands import sleep_wake

    return run(sleep_wake.wake, environment, local=local, as_json=as_json)


@change.add("roost rollback staging --to 3")
def rollback(
    environment: Environment,
    *,
    local: Local = False,
    to: To = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Restore an earlier good release and prove it.

    The file stays as it is: revert the change in git, too.
    """
    from roost.commands import releases as command

    return run(command.rollback, environment, local=local, to=to, as_json=as_json)


@change.add("roost image staging --push")
def image(
    environment: Environment,
    *,
    push: Annotated[
        bool,
        typer.Option(
            "--push", help="Build it if it is missing, and push it to the app's registry."
        ),
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Print or push the image that an environment runs."""
    from roost.commands import image as command

    return run(command.image, environment, push=push, as_json=as_json)


@change.add("roost destroy demo --confirm acme-prefect-demo")
def destroy(
    environment: Environment,
    *,
    confirm: Annotated[
        str, typer.Option(metavar="APP", help="Name of the app, instead of typing it when asked.")
    ] = "",
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Remove the server; a last snapshot of its data is kept."""
    from roost.commands import destroy as command

    return run(command.destroy, environment, confirm=confirm, local=local, as_json=as_json)


@change.add("roost exec staging prefect version", name="exec")
def execute(  # noqa: PLR0913 - one argument an option
    environment: Environment,
    command: Annotated[
        list[str],
        typer.Argument(metavar="CMD", help="A program and its arguments; after --, with options."),
    ],
    *,
    machine: Annotated[
        str, typer.Option(metavar="ID", help="Which machine. Default: one that runs.")
    ] = "",
    wake: Annotated[bool, typer.Option("--wake", help="Start a machine that sleeps.")] = False,
    timeout: Annotated[
        int, typer.Option(metavar="S", min=1, max=600, help="Seconds that it may take.")
    ] = 60,
    local: Local = False,
    as_json: AsJson = False,
) -> int:
    """Run a command in a machine, and exit with its exit code.

    ENV.NAME is a flow server, ENV.waker the waker, ENV.redis the Redis. No shell reads the command: for one, write
    -- sh -c '...'. A wrong option or name exits with 3, and Fly's refusal with 1.
    """
    from roost.commands import exec as module

    return run(
        module.execute,
        environment,
        argv=command,
        machine=machine,
        wake=wake,
        limit_s=timeout,
        local=local,
        as_json=as_json,
    )
