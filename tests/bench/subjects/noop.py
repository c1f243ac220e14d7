"""Measure an apply without changes, which is the most frequent one."""

from __future__ import annotations

import shutil

from bench.commands import ROOST, roost_environ, timed
from bench.errors import BenchError
from bench.lab import AUTH, LOGIN, SOURCE, Lab
from bench.rounds import interleaved
from bench.site import Site, local_fly
from bench.stats import Aim, Limit, Row, Table, Unit
from helpers.api_door import counting

ABOUT = f"""
`roost apply {SOURCE}` on the local Fly, after a first apply made everything. Ours only: what a person
would use instead, `flyctl deploy`, cannot run without Fly.

- *Machines API*: requests to it, counted by a door before it; all of them only read.
- *whole process*: from its start to its end, against the local Fly on this computer. On
  Fly.io the way to the API comes on top, for two rounds of calls.
"""


def measure(lab: Lab) -> Table:
    """Apply once, then repeatedly without changes."""
    with local_fly(lab) as site:
        env = apply_environ(lab, site)
        lab.tell("  first apply, with its gate")
        local = {"LOCALFLY_HOME": str(site.home), "LOCALFLY_CACHE": str(lab.cache)}
        timed([*ROOST, "apply", SOURCE, "--local"], env | local)
        found = interleaved(
            lab,
            {
                "calls": lambda: count_calls(site, env),
                "time": lambda: timed([*ROOST, "apply", SOURCE], env),
            },
        )
    rows = (
        Row("Machines API", Unit.CALLS, found["calls"], limit=Limit(Aim.AT_MOST, 8)),
        Row("whole process", Unit.SECONDS, found["time"]),
    )
    return Table("noop", "an apply with nothing to do", ABOUT, rows)


def apply_environ(lab: Lab, site: Site) -> dict[str, str]:
    """Return the environment of an apply as in CI, with separate environment files."""
    folder = lab.folder("environments")
    shutil.copytree(lab.file.path.parent, folder, dirs_exist_ok=True)
    return roost_environ(
        lab,
        ROOST_ENVIRONMENTS=str(folder),
        FLY_FLAPS_BASE_URL=site.api_url,
        FLY_API_TOKEN="bench",
        **{AUTH: LOGIN},
    )


def count_calls(site: Site, env: dict[str, str]) -> float:
    """Apply through a proxy that counts calls.

    Raises:
        BenchError: a call was not a read.
    """
    with counting(site.api_url) as door:
        timed([*ROOST, "apply", SOURCE], env | {"FLY_FLAPS_BASE_URL": door.url})
        changing = sorted(set(door.methods) - {"GET"})
    if changing:
        raise BenchError(f"An apply with nothing to do sent {', '.join(changing)}.")
    return len(door.methods)
