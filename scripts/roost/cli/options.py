"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="A file in environments/, without .yaml.")
]
Local = Annotated[
    bool,
    typer.Option("--local", help="Use the local Fly, not Fly.io. It is started if it is not up."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
Paths = Annotated[list[Path] | None, typer.Argument(metavar="PATH...", help="Files or folders.")]

Count = Annotated[
    int | None, typer.Option(metavar="N", help="Number of machines: 1, or 0 with postgres.")
]
MinMachinesRunning = Annotated[
    int | None, typer.Option(metavar="N", help="0: may sleep. 1: always on.")
]
MemoryMb = Annotated[int | None, typer.Option(metavar="MB", help="Memory.")]
Size = Annotated[str | None, typer.Option(metavar="SIZE", help="Fly's name of the CPU size.")]
To = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="The release to restore. Default: the last good one."),
]

Open = Annotated[
    bool,
    typer.Option("--open", help="Open the pull request. Default: print a link that opens it."),
]
Results = Annotated[
    Path, typer.Option("--results", metavar="DIR", help="Write each outcome to DIR/ENV.json.")
]
ResultsIfAny = Annotated[
    Path | None,
    typer.Option("--results", metavar="DIR", help="Write each outcome to DIR/ENV.json."),
]
