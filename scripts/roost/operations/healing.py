"""What the options of a comparison ask to heal."""

from __future__ import annotations

from enum import Enum

from roost.errors import UsageError
from roost.plan.drift import Difference, may_heal, only_ended


class Healing(Enum):
    """What to heal; the value is the option that asks for it."""

    NOTHING = ""
    ENDED = "--end-overrides"
    """What an expired override left, if nothing else differs."""
    ALL = "--heal"

    def takes(self, differences: tuple[Difference, ...]) -> bool:
        """Return whether these differences are healed: all or none."""
        match self:
            case Healing.NOTHING:
                return False
            case Healing.ENDED:
                return only_ended(differences)
            case Healing.ALL:
                return bool(differences) and may_heal(differences)


def healing_of(*, heal: bool, end_overrides: bool) -> Healing:
    """Return what the options ask to heal.

    Raises:
        UsageError: they ask for both.
    """
    if heal and end_overrides:
        raise UsageError("--heal ends overrides too; leave out --end-overrides.")
    if heal:
        return Healing.ALL
    return Healing.ENDED if end_overrides else Healing.NOTHING
