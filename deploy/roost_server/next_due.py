"""When this server is needed next: asked of all sources, and left where others read it.

A server that sleeps wakes for requests only. So before it sleeps, it leaves the earliest time at which
it has to be awake with those who can send one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from roost_machine.metadata import write_metadata
from roost_server.last_error import FailureLog

LOOK_S = 5.0
SAVE_S = 60.0
"""How often the time is left while the server is awake: others may suspend its machine."""
KEY = "roost_next_due"


@dataclass(frozen=True)
class NextDue:
    """A time at which this server has to be awake.

    Args:
        at: when, with a time zone.
        details: what it is for, as the document's other entries.
    """

    at: datetime
    details: Mapping[str, str]

    def document(self) -> dict[str, str]:
        """Return it as `roost tick` and the report read it."""
        return {"at": self.at.astimezone(UTC).isoformat(), **self.details}


class Source(Protocol):
    """Knows work that comes later."""

    def is_used(self) -> bool:
        """Return whether there can be such work; if no source is used, nothing is read or left."""

    async def next_due(self) -> NextDue | None:
        """Return the earliest such work; None if there is none."""


class Sink(Protocol):
    """Keeps the time while the server sleeps."""

    async def leave(self, due: NextDue | None) -> bool:
        """Keep this time instead of the former one, or none; return whether that succeeded."""


class MachineMetadata:
    """Keeps the time in the machine's own metadata, where `roost tick` reads it.

    Args:
        environ: holds the names of the app and the machine.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def leave(self, due: NextDue | None) -> bool:
        """Write the entry, or remove it; a refusal is logged."""
        if not self._environ.get("FLY_MACHINE_ID"):
            return True
        value = json.dumps(due.document()) if due else None
        if await asyncio.to_thread(write_metadata, KEY, value, self._environ):
            return True
        print(
            f"roost: cannot write {KEY} into this machine's metadata; while it sleeps, no tick "
            "knows when it is needed",
            flush=True,
        )
        return False


class DueTimes:
    """Leaves the earliest time of all sources with all sinks: before a sleep, and every minute.

    It is the last work before a sleep (`idle_suspend.Work`), and keeps nobody awake.

    Args:
        sources: know when the server is needed.
        sinks: keep the time.
        is_open: returns whether the server accepts all clients; nothing is left until then.
    """

    def __init__(
        self, sources: Sequence[Source], sinks: Sequence[Sink], is_open: Callable[[], bool]
    ) -> None:
        self._sources = sources
        self._sinks = sinks
        self._is_open = is_open
        # What an earlier process left is not known, nor what a failed write left.
        self._left: dict[Sink, NextDue | None] = {}
        self._leaving = asyncio.Lock()
        self._failures = FailureLog("the next due time cannot be left")

    async def run(self) -> None:
        """Leave each new time until cancelled."""
        while True:
            if is_watched := self._is_watched():
                await self.try_leave(only_new=True)
            await asyncio.sleep(SAVE_S if is_watched else LOOK_S)

    def stays_awake(self) -> str | None:
        """Return None: a time that comes later keeps nobody awake."""
        return None

    async def prepare_sleep(self) -> bool:
        """Leave the time; return True, because a server that cannot leave it must still sleep."""
        if self._is_watched():
            await self.try_leave()
        return True

    async def next_due(self) -> NextDue | None:
        """Return the earliest time of all sources; None if none of them names one."""
        found = [await source.next_due() for source in self._sources]
        return min((due for due in found if due), key=lambda due: due.at, default=None)

    async def leave(self, *, only_new: bool = False) -> None:
        """Leave the time now.

        Args:
            only_new: leave out the sinks that have this time already.
        """
        async with self._leaving:
            due = await self.next_due()
            for sink in self._sinks:
                if only_new and sink in self._left and self._left[sink] == due:
                    continue
                self._left.pop(sink, None)
                if await sink.leave(due):
                    self._left[sink] = due

    async def try_leave(self, *, only_new: bool = False) -> None:
        """Leave the time now, as `leave` does; a failure of a source is logged."""
        try:
            await self.leave(only_new=only_new)
        except Exception as error:  # noqa: BLE001 - any failure is logged and tried again
            self._failures.note(error)
        else:
            self._failures.clear()

    def _is_watched(self) -> bool:
        return self._is_open() and any(source.is_used() for source in self._sources)
