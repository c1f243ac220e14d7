"""The commands about the data of a server: its snapshots, or the dumps of its Postgres."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli.options import (
    AsJson,
    Environment,
    Local,
)
from roost.cli.run import run
from roost.cli.sections import Section
from roost.errors import ExitCode

data = Section("Data")


@data.add("roost backup staging")
def backup(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """Take a snapshot with writes frozen, or a dump of a Postgres."""
    from roost.commands import backups

    return run(backups.backup, environment, local=local, as_json=as_json)


@data.add("roost backups staging --json")
def backups(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """List the snapshots, or the dumps of a Postgres."""
    from roost.commands import backups as command

    return run(command.backups, environment, local=local, as_json=as_json)


@data.add("roost restore staging --snapshot vs_1a2b3c")
def restore(  # noqa: PLR0913 - one argument an option
    environment: Environment,
    *,
    snapshot: Annotated[
        str,
        typer.Option(metavar="ID", help="The snapshot or dump to restore. Default: the newest."),
    ] = "",
    confirm: Annotated[
        str, typer.Option(metavar="VOLUME", help="Remove the volume that an earlier restore kept.")
    ] = "",
    drill: Annotated[
        bool,
        typer.Option("--drill", help="Prove the snapshot beside the server, and change nothing."),
    ] = False,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Restore the data of a snapshot, or rehearse that.

    A new machine on a new volume is proved before the old one is removed. A dump is restored into a
    new Postgres database beside the one in use.
    """
    from roost.commands import backups

    if confirm:
        return run(backups.confirm, environment, volume=confirm, local=local)
    if drill:
        return run(backups.drill, environment, snapshot=snapshot, local=local, as_json=as_json)
    return run(backups.restore, environment, snapshot=snapshot, local=local, as_json=as_json)


@data.add("roost migrate staging --to postgres")
def migrate(
    environment: Environment,
    *,
    to: Annotated[
        str,
        typer.Option("--to", metavar="BACKEND", help="Where the data goes: postgres or sqlite."),
    ] = "",
    confirm: Annotated[
        str, typer.Option(metavar="VOLUME", help="Remove the volume that a move kept.")
    ] = "",
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Move the data from the volume to PostgreSQL, or back.

    The file must ask for it. Every row is copied and compared, and the server is proved there.
    """
    from roost.commands import migrate as command

    if confirm:
        return run(command.confirm, environment, volume=confirm, local=local)
    return run(command.migrate, environment, to=to, local=local, as_json=as_json)
