"""Measure how long `--help` takes."""

from __future__ import annotations

from functools import partial

from bench.commands import ROOST, roost_environ, timed
from bench.lab import Lab
from bench.rounds import interleaved
from bench.stats import Aim, Limit, Row, Sample, Table, Unit

ABOUT = """
The whole process, from its start to its end, with all bytecode compiled.

- *--help*: `roost --help`, and `prefect --help` from the locked environment of the image.
- *python -c pass*: what the interpreter alone takes in either environment.
"""


def measure(lab: Lab) -> Table:
    """Time both command lines and their interpreters alternately, after one run to warm up."""
    environs = {"roost": roost_environ(lab), "prefect": lab.environ(lab.folder("home"))}
    commands = {
        "roost --help": [*ROOST, "--help"],
        "prefect --help": [str(lab.image.bin / "prefect"), "--help"],
        "roost pass": [ROOST[0], "-c", "pass"],
        "prefect pass": [str(lab.image.bin / "python"), "-c", "pass"],
    }

    def trial(name: str) -> float:
        return timed(commands[name], environs[name.partition(" ")[0]])

    for name in commands:
        trial(name)
    return table(interleaved(lab, {name: partial(trial, name) for name in commands}))


def table(found: dict[str, Sample]) -> Table:
    """Return the table of ours and stock."""
    aim = Limit(Aim.AT_MOST, 0.2)
    rows = (
        Row("--help", Unit.SECONDS, found["roost --help"], found["prefect --help"], aim),
        Row("python -c pass", Unit.SECONDS, found["roost pass"], found["prefect pass"]),
    )
    return Table("help", "start-up of the command line", ABOUT, rows)
