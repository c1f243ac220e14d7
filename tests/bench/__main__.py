"""The command line of `./run bench`: measure subjects, print tables, write docs/benchmarks.md."""

from __future__ import annotations

import importlib
import os
import platform
import sqlite3
import time
from pathlib import Path
from typing import Annotated, Protocol, cast

import typer

from bench.lab import Lab, open_lab
from bench.program import run_program, tell
from bench.stats import Table
from bench.text import Circumstances, merged, section, terminal

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "benchmarks.md"
ROUNDS, SECONDS, SCALE = 5, 5.0, 1.0
SUBJECTS = (
    *(
        "start",
        "writers",
        "memory",
        "noop",
        "plans",
        "fleet",
        "help",
        "replica",
        "growth",
        "inflight",
        "work",
        "proxy",
        "replicas",
    ),
)
OPENING = """# Benchmarks

Written by `./run bench --write`. Ratios are worth more than seconds: both sides are measured in one
run, in turns, on one machine. An aim is reported as met or missed; a missed aim fails nothing.
"""


class Subject(Protocol):
    """A module of bench.subjects."""

    def measure(self, lab: Lab) -> Table:
        """Measure it."""


def main(
    subjects: Annotated[
        list[str] | None, typer.Argument(metavar="[SUBJECT...]", help=f"Of {', '.join(SUBJECTS)}.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each thing is measured.")] = ROUNDS,
    seconds: Annotated[float, typer.Option(min=1, help="How long writers write.")] = SECONDS,
    scale: Annotated[
        float, typer.Option(min=0.01, help="Share of the full load of replicas.")
    ] = SCALE,
    *,
    smallest: Annotated[
        bool,
        typer.Option("--smallest", help="Check that each subject runs; its figures mean nothing."),
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write docs/benchmarks.md too.")] = False,
) -> None:
    """Measure all subjects, or the named ones, for Roost and stock Prefect."""
    if smallest and write:
        raise typer.BadParameter("Figures of --smallest mean nothing; leave out --write.")
    seconds, scale = (min(seconds, 1), 0.01) if smallest else (seconds, scale)
    chosen = check_subjects(subjects or list(SUBJECTS))
    state = Path(os.environ.get("RUN_STATE") or PROJECT / ".run")
    cache = Path(os.environ.get("LOCALFLY_CACHE") or state / "images").absolute()
    with open_lab(PROJECT, cache, rounds, seconds, tell, smallest=smallest, scale=scale) as lab:
        for name in chosen:
            tell(f"{name}:")
            began = time.monotonic()
            subject = cast(Subject, importlib.import_module(f"bench.subjects.{name}"))
            table = subject.measure(lab)
            typer.echo(terminal(table))
            if smallest:
                tell("These figures mean nothing: --smallest only checks that the subject runs.")
            tell(f"{name} took {time.monotonic() - began:.0f} s")
            if write:
                write_section(name, section(table, circumstances(lab, name)))


def write_section(name: str, text: str) -> None:
    """Write a subject's section into the page at once, so that a later failure does not lose it."""
    page = PAGE.read_text("utf-8") if PAGE.exists() else ""
    PAGE.write_text(merged(page, [(name, text)], OPENING), "utf-8")
    tell(f"Written: {PAGE.relative_to(PROJECT)}")


def check_subjects(names: list[str]) -> list[str]:
    """Return the subjects without duplicates.

    Raises:
        BadParameter: there is no such subject.
    """
    for name in names:
        if name not in SUBJECTS:
            raise typer.BadParameter(f"There is no {name}; there are {', '.join(SUBJECTS)}.")
    return list(dict.fromkeys(names))


def circumstances(lab: Lab, name: str) -> Circumstances:
    """Return how a subject was measured, so that it can be repeated."""
    options = (
        (f"--rounds {lab.runs}", lab.runs != ROUNDS),
        (f"--seconds {lab.seconds:g}", lab.seconds != SECONDS),
        (f"--scale {lab.scale:g}", lab.scale != SCALE),
    )
    cores = len(os.sched_getaffinity(0))
    return Circumstances(
        command=" ".join(["./run bench", name, *(option for option, given in options if given)]),
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        machine=(
            f"{cores} cores, Prefect {lab.file.environment.prefect.version}, "
            f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
        ),
        runs=lab.runs,
    )


if __name__ == "__main__":
    run_program("bench", main)
