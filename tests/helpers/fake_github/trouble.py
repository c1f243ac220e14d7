"""What can be made to go wrong with the next calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from helpers.fake_github.answers import RefusedError

LIMITED = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)


@dataclass
class Fault:
    """A trouble for so many calls that fit; `refusal` None is an answer lost after its effect."""

    left: int
    only: str
    refusal: RefusedError | None


@dataclass
class Trouble:
    """The faults that are still to come, the first first."""

    faults: list[Fault] = field(default_factory=list)

    def next(self, call: str) -> Fault | None:
        """Return the fault of a call (`GET /repos/...`), used up once more, or None."""
        for fault in self.faults:
            if fault.left > 0 and re.search(fault.only, call):
                fault.left -= 1
                return fault
        return None
