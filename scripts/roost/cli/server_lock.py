"""The two steps of `./run lock --server NAME` around uv: `python -m roost.cli.server_lock STEP NAME FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from roost.cli.process import report
from roost.cli.run import make_context
from roost.commands.server_lock import begin, finish
from roost.errors import RoostError


def main(
    step: Annotated[Literal["begin", "finish"], typer.Argument(help="Before uv, or after it.")],
    name: Annotated[str, typer.Argument(help="The environment.")],
    folder: Annotated[Path, typer.Argument(help="The session's folder.")],
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Prefer no present versions.")] = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Write the requirements of a server with extra packages, or its lock."""
    context = make_context()
    if step == "begin":
        begin(name, context.environments, context.deploy, folder, upgrade=upgrade)
    else:
        finish(name, context.environments, context.deploy, folder, context.out)


if __name__ == "__main__":
    try:
        typer.run(main)
    except RoostError as failure:
        sys.exit(report(failure))
