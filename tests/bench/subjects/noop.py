"""Measure an apply without changes, which is the most frequent one."""

from __future__ import annotations

import os
import shutil

from bench.commands import ROOST, roost_environ, timed
from bench.errors import BenchError
from bench.lab import AUTH, LOGIN, SOURCE, Lab
from bench.rounds import interleaved
from bench.site import Site, local_fly
from bench.stats import Aim, Limit, Row, Sample, Table, Unit
from helpers.api_door import counting
from localfly.state.client_environment import client_environment

ABOUT = f"""
`roost apply {SOURCE}` on the local Fly, after a first apply made everything. Where `$FLYCTL` names Fly's own client, stock is
its `deploy --image` of the image that runs already, on the same app. It replaces the machine although nothing changed, and
watches it for ten seconds; its lookup of the app's public name is switched off.

- *Fly's API*: requests to it, counted by a door before it; all of ours only read.
- *whole process*: from its start to its end, against the local Fly on this computer. On
  Fly.io the way to the API comes on top, for two rounds of calls.
"""
FLYCTL = "FLYCTL"


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
        program = os.environ.get(FLYCTL)
        if not program:
            lab.tell(f"  flyctl is not measured: set ${FLYCTL} to the path of Fly's own client")
        stock = measure_flyctl(lab, site, program) if program else {}
    faster = Limit(Aim.RATIO_AT_MOST, 1 / 5) if stock else None
    rows = (
        Row("Fly's API", Unit.CALLS, found["calls"], stock.get("calls"), Limit(Aim.AT_MOST, 8)),
        Row("whole process", Unit.SECONDS, found["time"], stock.get("time"), faster),
    )
    return Table("noop", "an apply with nothing to do", ABOUT, rows)


def measure_flyctl(lab: Lab, site: Site, program: str) -> dict[str, Sample]:
    """Deploy the image that runs already, by Fly's own client; ours is measured before.

    Its changes of the machine are of no interest, but Roost would see them as drift.
    """
    app, image = lab.file.environment.app, lab.image.ref
    options = ("-a", app, "--ha=false", "--dns-checks=false")
    argv = (program, "deploy", "--image", image, *options)

    def environ(url: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FLY_")}
        return {**inherited, **client_environment(url, site.home, "bench")}

    def count() -> float:
        with counting(site.api_url) as door:
            timed(argv, environ(door.url))
            return len(door.methods)

    trials = {"calls": count, "time": lambda: timed(argv, environ(site.api_url))}
    lab.tell("  the same by flyctl")
    return interleaved(lab, trials)


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
