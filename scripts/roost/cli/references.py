"""Write the generated reference pages: `python -m roost.cli.references [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer.main

from roost.cli.app import app
from roost.report.reference_commands import commands_reference
from roost.report.reference_environment import environment_reference
from roost.report.reference_errors import errors_reference

FOLDER = Path(__file__).parents[3] / "docs" / "reference"


def pages() -> dict[str, str]:
    """Return each generated page by its file name in docs/reference."""
    return {
        "commands.md": commands_reference(typer.main.get_command(app)),
        "environment.md": environment_reference(),
        "errors.md": errors_reference(),
    }


def write(folder: Path = FOLDER) -> None:
    """Write all pages into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:2]))
