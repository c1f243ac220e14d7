"""The commands that only look at a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roost.cli.options import (
    AsJson,
    Environment,
    Local,
    ResultsIfAny,
)
from roost.cli.run import make_context, run
from roost.cli.sections import Section
from roost.errors import ExitCode

look = Section("Look")


@look.add("roost status --watch")
def status(
    environment: Annotated[
        str, typer.Argument(metavar="[ENV]", help="A file in environments/, without .yaml.")
    ] = "",
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show all environments again and again, until Ctrl-C.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all environments as a page, with plots."),
    ] = None,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Show what runs now: all environments, or one in detail.

    Without a name only Fly is asked, so no server is woken or kept awake. The exit code is 1 if a server
    needs a person, or could not be read.
    """
    from roost.commands import fleet, status

    if watch:
        return run(fleet.watch, environment, html=html, local=local, as_json=as_json)
    if environment and not html:
        return run(status.status, environment, local=local, as_json=as_json)
    return run(fleet.fleet, environment, html=html, local=local, as_json=as_json)


@look.add("roost smoke http://127.0.0.1:4200 --version 3.9.1")
def smoke(
    target: Annotated[
        str, typer.Argument(metavar="URL|ENV", help="A Prefect server, or an environment.")
    ],
    *,
    local: Local = False,
    version: Annotated[str, typer.Option(help="The Prefect version it must report.")] = "",
    stock: Annotated[
        bool, typer.Option("--stock", help="Skip the checks that only Roost's own image passes.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Run the checks of the gate against a server.

    The login is read from PREFECT_SERVER_API_AUTH_STRING.
    """
    from roost.commands import smoke as command

    return run(command.smoke, target, local=local, version=version, stock=stock, as_json=as_json)


@look.add("roost drift staging --heal")
def drift(  # noqa: PLR0913 - one argument an option
    environment: Annotated[
        str, typer.Argument(metavar="[ENV]", help="A file in environments/, without .yaml.")
    ] = "",
    *,
    every: Annotated[
        bool, typer.Option("--all", help="All environments, and apps that no file names.")
    ] = False,
    heal: Annotated[
        bool, typer.Option("--heal", help="Undo changes made by hand and expired overrides.")
    ] = False,
    end_overrides: Annotated[
        bool,
        typer.Option("--end-overrides", help="Undo expired overrides, and nothing else."),
    ] = False,
    objects: Annotated[
        bool,
        typer.Option("--objects", help="Wake a sleeping server to compare Prefect's objects."),
    ] = False,
    results: ResultsIfAny = None,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Show where Fly differs from the files, and why.

    The exit code is 2 if it differs.
    """
    from roost.commands import drift as command
    from roost.operations.healing import healing_of

    healing = healing_of(heal=heal, end_overrides=end_overrides)
    return run(
        command.drift,
        environment,
        every=every,
        healing=healing,
        local=local,
        as_json=as_json,
        results=results,
        objects=objects,
    )


@look.add("roost notify staging --test")
def notify(
    environment: Environment,
    *,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message to each address of the file.")
    ] = False,
) -> ExitCode:
    """Check that messages of `notify` arrive.

    The exit code is 1 if one does not.
    """
    from roost.commands import notify as command

    return run(command.notify, environment, test=test)


@look.add("roost tick --all")
def tick(
    environments: Annotated[
        list[str] | None, typer.Argument(metavar="[ENV...]", help="Files in environments/.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All environments.")] = False,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Wake the servers that have a flow run due, and no other.

    The exit code is 1 if one of them could not be read or woken.
    """
    from roost.commands import tick as command

    return run(command.tick, environments or (), every=every, local=local, as_json=as_json)


@look.add("roost releases staging --clear 4")
def releases(
    environment: Environment,
    *,
    local: Local = False,
    as_json: AsJson = False,
    clear: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Allow the failed release N to be tried again."),
    ] = None,
) -> ExitCode:
    """List the releases, newest first, with verdict and snapshot."""
    from roost.commands import releases as command

    return run(command.releases, environment, local=local, as_json=as_json, clear=clear)


@look.add("roost cost staging --hours-per-day 4")
def cost(
    environment: Annotated[
        str, typer.Argument(metavar="[ENV]", help="A file in environments/, without .yaml.")
    ] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="All environments.")] = False,
    hours_per_day: Annotated[
        float | None, typer.Option(metavar="N", help="Add a column: awake for N hours a day.")
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Print what a server costs a month, asleep and awake."""
    from roost.commands import cost as command

    return command.cost(
        make_context(), environment, every=every, hours_per_day=hours_per_day, as_json=as_json
    )


@look.add("roost logs staging --follow")
def logs(  # noqa: PLR0913 - one argument an option
    environment: Environment,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until Ctrl-C.")
    ] = False,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Only lines of the last 10m, 2h, 1h30m.")
    ] = "",
    machine: Annotated[str, typer.Option(metavar="ID", help="Only lines of this machine.")] = "",
    local: Local = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, for scripts.")
    ] = False,
) -> ExitCode:
    """Print what the machines of an environment wrote.

    It wakes nobody. ENV.NAME is a flow server, ENV.waker the waker, ENV.redis the Redis.
    """
    from roost.commands import logs as command

    return run(
        command.logs,
        environment,
        follow=follow,
        since=since,
        machine=machine,
        local=local,
        as_json=as_json,
    )


@look.add("roost open staging", name="open")
def open_server(environment: Environment, *, local: Local = False) -> ExitCode:
    """Wake a server and open it in your browser.

    Where there is none, its address is printed.
    """
    from roost.commands import open as command

    return run(command.open_server, environment, local=local)
