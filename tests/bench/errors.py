"""What keeps a measurement from being made."""

from __future__ import annotations


class BenchError(Exception):
    """It cannot be measured; the message says what happened and where to look."""
