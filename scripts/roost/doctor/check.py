"""One thing that was looked at, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How a thing stands; what could not be looked at is no fault."""

    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """A thing, how it stands, and what mends it."""

    state: State
    what: str
    mend: str = ""
    """A command, or a sentence; empty where nothing is to be done."""
    environment: str = ""

    def document(self) -> dict[str, str]:
        """Return it as JSON."""
        found = {"state": self.state.value, "environment": self.environment}
        return {**found, "what": self.what, "mend": self.mend}


def ok(what: str, environment: str = "") -> Check:
    """Report that a thing is as it should be."""
    return Check(State.OK, what, environment=environment)


def missing(what: str, mend: str, environment: str = "") -> Check:
    """Return what is wrong, and what mends it."""
    return Check(State.MISSING, what, mend, environment)


def unknown(what: str, mend: str = "", environment: str = "") -> Check:
    """Return why nobody could look."""
    return Check(State.UNKNOWN, what, mend, environment)
