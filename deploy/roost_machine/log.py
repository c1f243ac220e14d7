"""Write the machine's log."""

from __future__ import annotations


def log(text: str) -> None:
    """Write one line without secrets."""
    print(f"roost: {text}", flush=True)
