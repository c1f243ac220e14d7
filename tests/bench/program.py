"""What the programs that measure share: their progress, and how they end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import typer

from bench.errors import BenchError


def tell(line: str) -> None:
    """Print progress to standard error."""
    typer.echo(line, err=True)


def run_program(name: str, main: Callable[..., object]) -> None:
    """Run a program of measurements; it exits with 1 and a sentence if one failed.

    SIGTERM ends it as Ctrl-C does: every server is ended.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        typer.run(main)
    except BenchError as error:
        tell(f"{name}: {error}")
        sys.exit(1)
