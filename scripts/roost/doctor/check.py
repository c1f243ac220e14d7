"""The result of one check of `roost doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from roost.errors.command import Command


class State(Enum):
    """The state of a thing; UNKNOWN, which could not be checked, is no fault."""

    OK = "ok"
    MISSING = "missing"
    """It is not set up."""
    WRONG = "wrong"
    """It runs, or should run, and does not do what it should."""
    UNKNOWN = "unknown"

    @property
    def is_fault(self) -> bool:
        """Whether somebody has to act."""
        return self in {State.MISSING, State.WRONG}


@dataclass(frozen=True)
class Check:
    """A thing that was checked, its state, and its fix."""

    state: State
    what: str
    mend: str = ""
    """A command or a sentence; empty where nothing has to be done."""
    environment: str = ""
    evidence: tuple[str, ...] = ()
    """What was seen that shows it, one line each."""
    change: str = ""
    """The change of the environment file that corrects it, as a unified diff; may be empty."""
    commands: tuple[Command | str, ...] = ()
    """What to run, in this order."""

    def document(self) -> dict[str, object]:
        """Return the check as JSON."""
        found = {"state": self.state.value, "environment": self.environment}
        shown = {"evidence": list(self.evidence), "change": self.change}
        commands = [str(command) for command in self.commands]
        return {**found, "what": self.what, "mend": self.mend, **shown, "commands": commands}


def ok(what: str, environment: str = "") -> Check:
    """Return a check that passed."""
    return Check(State.OK, what, environment=environment)


def missing(what: str, mend: str, environment: str = "") -> Check:
    """Return a check that failed, with its fix."""
    return Check(State.MISSING, what, mend, environment)


def unknown(what: str, mend: str = "", environment: str = "") -> Check:
    """Return a check that could not be made, with the reason."""
    return Check(State.UNKNOWN, what, mend, environment)
