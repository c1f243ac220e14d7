"""What can keep the server from starting, told in one line and never with a value."""

from __future__ import annotations


class BootError(Exception):
    """The machine's settings make no server; the message says which and what to do."""
