"""`roost local`: the local Fly, by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli.options import (
    AsJson,
)
from roost.cli.run import run
from roost.cli.sections import Section
from roost.errors import ExitCode

local_fly = Section("Local Fly")


@local_fly.add("roost local start --port 4280", name="start")
def local_start(
    port: Annotated[int | None, typer.Option(help="Port of its API. Default: a free one.")] = None,
) -> ExitCode:
    """Start the local Fly in the background."""
    from roost.commands import local

    return run(local.start, port)


@local_fly.add("roost local stop", name="stop")
def local_stop() -> ExitCode:
    """Stop the local Fly and its machines; their data is kept."""
    from roost.commands import local

    return run(local.stop)


@local_fly.add("roost local status --json", name="status")
def local_status(*, as_json: AsJson = False) -> ExitCode:
    """Show the address, the apps and the machines."""
    from roost.commands import local

    return run(local.status, as_json=as_json)


@local_fly.add("roost local logs acme-prefect-staging --follow", name="logs")
def local_logs(
    name: Annotated[
        str, typer.Argument(metavar="[APP]", help="An app. Default: the local Fly's own log.")
    ] = "",
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until Ctrl-C.")
    ] = False,
) -> ExitCode:
    """Print the log of an app's machines, or of the local Fly."""
    from roost.commands import local

    return run(local.logs, name, follow=follow)


@local_fly.add("roost local reset --yes", name="reset")
def local_reset(
    *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> ExitCode:
    """Stop the local Fly and delete all its data."""
    from roost.commands import local

    return run(local.reset, yes=yes)
