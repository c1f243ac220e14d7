"""The volumes that restores leave behind, until somebody confirms that they may go. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from roost.fly.models import Machine

KEPT_KEY = "roost_kept_volumes"


def kept_volumes(machines: Iterable[Machine]) -> tuple[str, ...]:
    """Return the ids of the volumes that restores left behind, until somebody confirms."""
    texts = (machine.metadata.get(KEPT_KEY, "") for machine in machines)
    return tuple(dict.fromkeys(name for text in texts for name in text.split(",") if name))


def kept_entry(volumes: Iterable[str]) -> dict[str, str]:
    """Return the metadata that holds those ids."""
    return {KEPT_KEY: ",".join(dict.fromkeys(volumes))}
