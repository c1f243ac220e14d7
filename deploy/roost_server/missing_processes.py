"""Notice runs of an awake flow server that have no process there any more. Pure.

Prefect's runner reports a process that ended badly once; if the server is away then, nobody does. So
a launcher says with its regular request which of the runs that the server calls executed have no
process on its machine. It tells those whose process it saw from those that it never saw one of: a
worker may start flows elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from roost_server.asgi import Scope

HEADER = b"x-roost-missing-processes"
GONE_S = 120.0
"""A run whose process is gone for this long is not reported by Prefect's runner any more, in s."""
PENDING_S = 600.0
"""So long may the start of a process take, in s: a Pending run has none before."""
RECENT_S = 45.0
"""A report that is older than this says nothing about now, in s."""
MOST = 1000


@dataclass(frozen=True)
class Missing:
    """The runs without a process: their process ended, or none was ever seen."""

    gone: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()


def read_missing(scope: Scope) -> Missing | None:
    """Return what a launcher says in a request; None if it says nothing."""
    for name, value in scope.get("headers", ()):
        if name == HEADER:
            with suppress(ValueError, RecursionError):
                document = json.loads(value)
                if isinstance(document, Mapping):
                    return Missing(_ids(document.get("gone")), _ids(document.get("unseen")))
    return None


def _ids(value: Any) -> frozenset[str]:
    listed = value[:MOST] if isinstance(value, list) else []
    return frozenset(each for each in listed if isinstance(each, str))


@dataclass
class MissingProcesses:
    """For how long the runs of one boot have had no process, in awake seconds of the server."""

    boot: str
    _gone: dict[str, float] = field(default_factory=dict)
    _unseen: dict[str, float] = field(default_factory=dict)
    _at: float = 0.0

    def note(self, missing: Missing, now_s: float) -> None:
        """Record a report; a run that it does not name has a process or ended."""
        self._gone = {run: self._gone.get(run, now_s) for run in missing.gone}
        self._unseen = {run: self._unseen.get(run, now_s) for run in missing.unseen}
        self._at = now_s

    def forget(self, run: str) -> None:
        """Count anew for a run that is about to be executed."""
        self._gone.pop(run, None)
        self._unseen.pop(run, None)

    def lost(self, now_s: float, limit_s: float) -> Missing:
        """Return the runs that have had no process for so many seconds."""
        if now_s - self._at > RECENT_S:
            return Missing()
        return Missing(
            *(
                frozenset(run for run, since in each.items() if now_s - since >= limit_s)
                for each in (self._gone, self._unseen)
            )
        )
