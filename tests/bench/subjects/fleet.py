"""Measure the status of many environments, with a Fly that answers as slowly as across the internet."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.commands import ROOST, roost_environ, timed
from bench.lab import LOGIN, Lab
from bench.rounds import interleaved
from bench.site import Site, local_fly
from bench.stats import Aim, Limit, Row, Table, Unit
from bench.subjects.plans import context, write_environments
from roost.environment.load import load_files
from roost.environment.rehearsal import rehearsed
from roost.operations.image_parts import image_for
from roost.plan.desired import Desired
from roost.plan.desired_state import desired_state
from roost.plan.live import Live
from roost.plan.ownership import with_volume
from roost.plan.releases import Verdict, draft, with_records

SIZE, SMALLEST_SIZE = 200, 3
ANSWER_S = 0.2
ABOUT = f"""
`roost status` without a name, as a whole process, over {SIZE} environments that sleep, each with an app, two
addresses, a volume, a secret, a machine and the record of a release on the local Fly. Each answer of its
Machines API takes {ANSWER_S} s (`serve --answers-take {ANSWER_S}`). That is an assumption: Fly's own time has not been
measured. No server is asked.
"""


def measure(lab: Lab) -> Table:
    """Make the apps on a quick local Fly, and look at them on a slow one with the same state."""
    size = SMALLEST_SIZE if lab.smallest else SIZE
    folder = write_environments(lab, size)
    home = lab.folder("fly")
    with local_fly(lab, home) as site:
        make_all(lab, site, folder)
    with local_fly(lab, home, "--answers-take", str(ANSWER_S)) as site:
        env = roost_environ(
            lab,
            ROOST_ENVIRONMENTS=str(folder),
            FLY_FLAPS_BASE_URL=site.api_url,
            FLY_API_TOKEN="bench",
        )
        found = interleaved(lab, {"status": partial(timed, [*ROOST, "status", "--json"], env)})
    aim = None if lab.smallest else Limit(Aim.AT_MOST, 10)
    row = Row(f"{size} environments", Unit.SECONDS, found["status"], limit=aim)
    return Table("fleet", "status of all environments", ABOUT, (row,))


def make_all(lab: Lab, site: Site, folder: Path) -> None:
    """Make the app of each environment, as an apply leaves it once it sleeps."""
    made = context(lab, folder)
    for file in map(rehearsed, load_files([folder]).files):
        make_app(lab, site, desired_state(file, image_for(made, file)))


def make_app(lab: Lab, site: Site, desired: Desired) -> None:
    """Make one app with a machine that never ran; its image is the session's, so it has drift."""
    app, volume = f"/apps/{desired.app}", desired.volume
    assert volume is not None
    site.send("POST", "/apps", {"name": desired.app, "org_slug": desired.organization})
    for kind in desired.ip_types:
        site.send("POST", f"{app}/ip_assignments", {"type": kind})
    site.send("POST", f"{app}/secrets", {"values": dict.fromkeys(desired.secrets, LOGIN)})
    disk = {"name": volume.name, "region": volume.region, "size_gb": volume.size_gb}
    disk["snapshot_retention"] = volume.snapshot_retention
    made = site.send("POST", f"{app}/volumes", disk)
    release = draft(desired, Live(), ())
    assert release is not None
    (wanted,) = desired.machines
    config = with_records(wanted.config, [release.with_verdict(Verdict.GOOD)])
    config = with_volume({**config, "image": lab.image.ref}, made["id"])
    request = {"name": wanted.name, "region": wanted.region, "skip_launch": True}
    site.send("POST", f"{app}/machines", {**request, "config": config})
