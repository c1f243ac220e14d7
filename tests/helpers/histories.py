"""Histories of an environment: the release records on its machines, and the live state after them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from helpers.environments import environment_file
from helpers.pretend_fly import applied
from roost.plan.desired import Desired
from roost.plan.desired_state import desired_state
from roost.plan.live import Live
from roost.plan.ownership import our_machines
from roost.plan.releases import Release, Verdict, draft, records_in, releases_on, with_records

GOOD, FAILED, PENDING, CLEARED = Verdict.GOOD, Verdict.FAILED, Verdict.PENDING, Verdict.CLEARED
NEVER_WORKED = "Checks failed: pages: 404."


def desired_of(*parts: Any, image: str = "", **fields: Any) -> Desired:
    """Return the desired state of a file, with the image of its version."""
    file = environment_file(*parts, **fields)
    ours = f"registry.fly.io/acme-prefect:prefect-{file.environment.prefect.version}-0123456789ab"
    return desired_state(file, image or ours)


def level(value: str, version: str = "3.8.8", **fields: Any) -> Desired:
    """Return a desired state that differs from others only in one setting."""
    settings = {"PREFECT_LOGGING_LEVEL": value}
    return desired_of(prefect={"version": version, "settings": settings}, **fields)


class History:
    """A series of applies, each with the verdict of its gate."""

    def __init__(self) -> None:
        self.live = Live()
        self.desired: Desired | None = None

    def went(self, desired: Desired, verdict: Verdict = GOOD, **fields: Any) -> History:
        """Add one apply; `fields` are those of its record."""
        known, self.desired = self.releases, desired
        live = applied(desired)
        new = draft(desired, live, known)
        assert new is not None
        new = replace(new, why=NEVER_WORKED if verdict is FAILED else "", verdict=verdict, **fields)
        machines = tuple(
            machine.model_copy(update={"config": with_records(machine.config or {}, [*known, new])})
            for machine in live.machines
        )
        self.live = replace(live, machines=machines)
        return self

    @property
    def releases(self) -> tuple[Release, ...]:
        """The release records on the machines."""
        if self.desired is None:
            return ()
        return releases_on(our_machines(self.desired, self.live).values())


def records_of(config: Any) -> list[tuple[int, str]]:
    """Return number and verdict of each record in a machine's config."""
    return sorted((r.number, r.verdict.value) for r in records_in(config["metadata"]))
