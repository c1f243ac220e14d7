"""What an apply writes onto machines beside their change, and what it reports of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roost.fly.models import Machine
from roost.plan.releases import Release


@dataclass(frozen=True)
class Records:
    """The release records that machines carry after an apply.

    Args:
        release: the record that is sent with each machine's change.
        known: earlier records, for machines that do not have them.
        keeper: a machine that no step changes and that also gets the record, as the plan saw it.
    """

    release: Release | None = None
    known: tuple[Release, ...] = ()
    keeper: Machine | None = None


@dataclass(frozen=True)
class CarriedOut:
    """The result of carrying out a plan.

    Args:
        machines: the machines that were changed, each with its new config version.
        woken: whether a machine that was asleep in the plan was awake, and so was restarted.
    """

    machines: Mapping[str, str]
    woken: bool = False
