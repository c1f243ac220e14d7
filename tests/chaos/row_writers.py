"""A client that writes rows meanwhile, and records which were acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from chaos.testbed import Testbed
from chaos.unexpected_errors import describe_error

PAUSE_S = 0.1
PATIENCE_S = 2.0


class RowWriter:
    """Writes flow runs one after the other, in its own thread."""

    def __init__(self, testbed: Testbed) -> None:
        self._ground = testbed
        self._gone = threading.Event()
        self.acknowledged: list[str] = []
        self.errors: list[str] = []

    def visit(self) -> None:
        """Write rows until `go` is called."""
        while not self._gone.wait(PAUSE_S):
            try:
                with suppress(httpx.HTTPError):
                    row = self._ground.write_row(PATIENCE_S) if self._ground.url else ""
                    self.acknowledged += [row] if row else []
            except Exception as error:  # noqa: BLE001 - told as a fault; nobody else would see it
                self.errors.append(f"a visitor: {describe_error(error)}")
                return

    def go(self) -> None:
        """Stop writing."""
        self._gone.set()

    def forget(self) -> None:
        """Forget the acknowledged rows: their server was deleted on purpose."""
        self.acknowledged.clear()

    def lost(self) -> tuple[str, ...]:
        """Return the acknowledged rows that are missing."""
        kept = set(self._ground.ask("/kept").split())
        return tuple(row for row in self.acknowledged if row not in kept)


@contextmanager
def writing_rows(testbed: Testbed) -> Iterator[RowWriter]:
    """Write rows while the body runs."""
    row_writer = RowWriter(testbed)
    thread = threading.Thread(target=row_writer.visit)
    thread.start()
    try:
        yield row_writer
    finally:
        row_writer.go()
        thread.join()
