"""The base of every error that Roost reports, and the exit code each one ends a command with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from roost.errors.command import bare, unmarked


class ExitCode(IntEnum):
    """The exit code of a command."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    BAD_INPUT = 3
    ROLLED_BACK = 4
    NOT_ROLLED_BACK = 5


class ProgramExit(int):
    """The exit code of a program that a command ran elsewhere; it means what it means to that one."""


class RoostError(Exception):
    """A failure with the three sentences a person reads: what happened, where, what to do next."""

    exit_code = ExitCode.ERROR
    word = "error"

    def __init__(self, what: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(bare(what))
        self.what = what
        self.where = unmarked(where)
        self.advice = advice

    def __str__(self) -> str:
        """Return one line: where, what happened, and what to do next, with commands as `roost ...`."""
        return bare(self.message)

    def __format__(self, spec: str) -> str:
        """Return `message`: in an f-string, which becomes a part of another text."""
        return format(self.message, spec)

    @property
    def message(self) -> str:
        """The same line with its commands not rendered yet, for an edge or a text around it."""
        return f"{self.cause} {self.advice}".strip()

    @property
    def cause(self) -> str:
        """Where and what happened, for a message that adds its own next step."""
        return f"{self.where}: {self.what}" if self.where else self.what


@dataclass(frozen=True, order=True)
class Fault:
    """One fault in a file: its place, and a message that says how to correct it."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Return `path:line:column: message`, which editors and GitHub annotations parse."""
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class InternalError(RoostError):
    """A bug in Roost. The message leaves out the exception's text, which may hold a secret."""

    word = "internal"

    def __init__(self, kind: str, place: str) -> None:
        super().__init__(
            f"Roost has a fault of its own: {kind} at {place}.",
            advice="Please report it, with all that ROOST_TRACEBACK=1 in front of the same command shows.",
        )
