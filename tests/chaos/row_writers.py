"""Somebody outside who goes on using the server: writes rows, and remembers what was acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from chaos.testbed import Ground
from chaos.unexpected_errors import tell_mishap

PAUSE_S = 0.1
PATIENCE_S = 2.0


class Visitors:
    """Write flow runs, one after the other, from a thread of their own."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._gone = threading.Event()
        self.acknowledged: list[str] = []
        self.mishaps: list[str] = []

    def visit(self) -> None:
        """Write until told to go."""
        while not self._gone.wait(PAUSE_S):
            try:
                with suppress(httpx.HTTPError):
                    row = self._ground.write_row(PATIENCE_S) if self._ground.url else ""
                    self.acknowledged += [row] if row else []
            except Exception as error:  # noqa: BLE001 - told as a fault; nobody else would see it
                self.mishaps.append(f"a visitor: {tell_mishap(error)}")
                return

    def go(self) -> None:
        """Stop writing."""
        self._gone.set()

    def forget(self) -> None:
        """Forget what was acknowledged: the server that did was taken away on purpose."""
        self.acknowledged.clear()

    def lost(self) -> tuple[str, ...]:
        """Return the rows that were acknowledged and are not there."""
        kept = set(self._ground.ask("/kept").split())
        return tuple(row for row in self.acknowledged if row not in kept)


@contextmanager
def visiting(ground: Ground) -> Iterator[Visitors]:
    """Have somebody use the server meanwhile."""
    visitors = Visitors(ground)
    thread = threading.Thread(target=visitors.visit)
    thread.start()
    try:
        yield visitors
    finally:
        visitors.go()
        thread.join()
