"""Machines that the proxy sends nothing to, and does not wake: what leaves one so, and the ways out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.fly.models import Machine
from roost.plan.ownership import slot_of
from roost.plan.restore import read_journal


def cordoned_notes(environment: str, machines: Iterable[Machine]) -> Iterator[str]:
    """Name the cordoned machines; of a restore that is under way the plan tells more."""
    for machine in machines:
        if machine.cordoned and read_journal(machine) is None:
            yield (
                f"The machine {slot_of(machine)} ({machine.id}) is cordoned: nobody reaches it, and "
                "no request wakes it. A destroy that was cut short leaves it so. To go on with that: "
                f"roost destroy {environment}. To bring the server back: roost apply {environment}."
            )
