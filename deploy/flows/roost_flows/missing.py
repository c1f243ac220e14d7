"""Know which runs have no process on this machine, though the server calls them executed.

Prefect's runner reports a process that ended badly once. If the server is away then, only the
launcher can say it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST = 200
"""The number of runs that one request names; its headers have a limited length."""


@dataclass
class MissingRuns:
    """The runs without a process, by what the server and the machine said last."""

    _seen: set[str] = field(default_factory=set)
    _executed: frozenset[str] = frozenset()

    def see(self, processes: Collection[str]) -> None:
        """Note the runs that have a process now."""
        self._seen |= set(processes)

    def learn(self, record: Mapping[str, Any]) -> None:
        """Note the runs that the server calls executed; others are forgotten."""
        running = record.get("running")
        self._executed = frozenset(running if isinstance(running, list) else ())
        self._seen &= self._executed

    def report(self, processes: Collection[str]) -> dict[str, list[str]]:
        """Return the runs whose process is gone, and those of which none was ever seen."""
        self.see(processes)
        missing = sorted(self._executed - set(processes))[:MOST]
        return {
            "gone": [run for run in missing if run in self._seen],
            "unseen": [run for run in missing if run not in self._seen],
        }
