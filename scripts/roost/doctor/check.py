"""The result of one check of `roost doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """The state of a thing; UNKNOWN, which could not be checked, is no fault."""

    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """A thing that was checked, its state, and its fix."""

    state: State
    what: str
    mend: str = ""
    """A command or a sentence; empty where nothing has to be done."""
    environment: str = ""

    def document(self) -> dict[str, str]:
        """Return the check as JSON."""
        found = {"state": self.state.value, "environment": self.environment}
        return {**found, "what": self.what, "mend": self.mend}


def ok(what: str, environment: str = "") -> Check:
    """Return a check that passed."""
    return Check(State.OK, what, environment=environment)


def missing(what: str, mend: str, environment: str = "") -> Check:
    """Return a check that failed, with its fix."""
    return Check(State.MISSING, what, mend, environment)


def unknown(what: str, mend: str = "", environment: str = "") -> Check:
    """Return a check that could not be made, with the reason."""
    return Check(State.UNKNOWN, what, mend, environment)
