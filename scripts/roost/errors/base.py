"""The base of every error that Roost reports, and the exit code each one ends a command with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What a verb ends with."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    BAD_INPUT = 3
    ROLLED_BACK = 4
    NOT_ROLLED_BACK = 5


class RoostError(Exception):
    """A failure that a person is told about in one sentence each: what, where, what to do."""

    exit_code = ExitCode.ERROR
    word = "error"

    def __init__(self, what: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        """One line: where, what, and what to do."""
        return f"{self.cause} {self.advice}".strip()

    @property
    def cause(self) -> str:
        """Where and what, for a message that has its own word on what to do."""
        return f"{self.where}: {self.what}" if self.where else self.what


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong with one file: where it stands, what it is, and how to mend it."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """The form editors and GitHub annotations understand."""
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class InternalError(RoostError):
    """A fault of Roost's own; never shows the exception's text, which may hold anything."""

    word = "internal"

    def __init__(self, kind: str, place: str) -> None:
        super().__init__(
            f"Roost has a fault of its own: {kind} at {place}.",
            advice="Please report it, with all that ROOST_TRACEBACK=1 in front of the same command shows.",
        )
