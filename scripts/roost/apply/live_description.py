"""Describe what an apply left on Fly, for a person who takes over by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from roost.plan.desired import Desired
from roost.plan.live import Live
from roost.plan.ownership import our_machines
from roost.plan.releases import Release, releases_on


def describe_live(desired: Desired, live: Live) -> str:
    """Describe the live app, machines, volumes and releases, for a person who takes over by hand."""
    machines = our_machines(desired, live)
    lines = [f"  app {desired.app}"]
    for slot, machine in sorted(machines.items()):
        image = (machine.config or {}).get("image", "unknown")
        lines.append(f"  machine {slot} {machine.id} {machine.state} image {image}")
    lines += [f"  volume {v.id} {v.size_gb} GB in {v.region}, untouched" for v in live.volumes]
    return "\n".join((*lines, *_release_lines(releases_on(machines.values()))))


def _release_lines(releases: Iterable[Release]) -> Iterator[str]:
    """Return a line for each release; equal ones in a row share one."""
    for fate, alike in groupby(releases, key=_fate):
        numbers = [release.number for release in alike]
        named = f"release {numbers[0]}"
        if len(numbers) > 1:
            named = f"releases {numbers[0]} to {numbers[-1]}"
        yield f"  {named} {fate}"


def _fate(release: Release) -> str:
    snapshot = f", snapshot {release.snapshot}" if release.snapshot else ""
    return f"{release.verdict.value} {release.image}{snapshot}"
