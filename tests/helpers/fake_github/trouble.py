"""Faults of the next calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from helpers.fake_github.answers import RefusedError

LIMITED = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)


@dataclass
class Fault:
    """A fault of the next matching calls; without `refusal` the answer is lost after its effect."""

    left: int
    only: str
    refusal: RefusedError | None


@dataclass
class Trouble:
    """The coming faults, the first first."""

    faults: list[Fault] = field(default_factory=list)

    def next(self, call: str) -> Fault | None:
        """Return the fault of a call (`GET /repos/...`) and count it down; None without a fault."""
        for fault in self.faults:
            if fault.left > 0 and re.search(fault.only, call):
                fault.left -= 1
                return fault
        return None
