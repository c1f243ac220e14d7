"""What can keep the server from starting, told in one line and never with a value."""

from __future__ import annotations


class BootError(Exception):
    """The machine's settings make no server; the message says which and what to do."""


class MovedError(RuntimeError):
    """Prefect has not what this server uses of its insides; the message names the entry."""
