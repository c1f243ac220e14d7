"""Report to Fly how far a copy is, while it runs: a counter in the machine's metadata.

Whoever waits for the copy gives it up when the counter stands still, however long the whole takes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from roost_machine.metadata import write_metadata

KEY = "roost_move_progress"
"""The metadata entry (scripts/roost/plan/database_move.py reads it)."""
Done = Callable[[str, int], None]
"""Is called with a table, and how many of its rows were done."""
EVERY_S = 10.0
LIMIT_S = 5.0


class Progress:
    """Counts what a copy has done; a thread of its own reports it where it changed.

    Every row counts twice: once as it is copied, and once as both sides are compared.

    Args:
        environ: names the app, the machine, and the version of its config.
        total: all rows.
    """

    def __init__(self, environ: Mapping[str, str], total: int) -> None:
        self._environ = environ
        self._total = total
        self._doing, self._table, self._done, self._rows = "copy", "", 0, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, name="move-progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def begin(self, doing: str) -> None:
        """Begin one part of the copy, `copy` or `compare`, whose rows are counted from 0."""
        self._doing, self._rows = doing, 0

    def add(self, table: str, rows: int = 0) -> None:
        """Count rows of a table; also 0 of them, for a step that has none."""
        self._table = table
        self._rows += rows
        self._done += rows + 1

    def document(self) -> dict[str, object]:
        """Return how far the copy is."""
        return {
            "version": self._environ.get("FLY_MACHINE_VERSION", ""),
            "doing": self._doing,
            "table": self._table,
            "rows": self._rows,
            "of": self._total,
            "done": self._done,
        }

    def _report(self) -> None:
        reported = -1
        while not self._ended.wait(EVERY_S):
            if self._done == reported:
                continue
            found = self.document()
            if write_metadata(KEY, json.dumps(found), self._environ, LIMIT_S):
                reported = self._done
