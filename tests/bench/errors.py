"""The error of the benchmarks."""

from __future__ import annotations


class BenchError(Exception):
    """A measurement failed; the message has the cause and where to look."""
