"""Connections to machines, kept for a few seconds so that the next request need not make one."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

import h11

from localfly.proxy.http1 import Wire

KEEP_S = 4.0  # Fly keeps an idle upstream connection about as long
_KEEP_UNSAFE_S = 1.0
_KEEP_COUNT = 32


@dataclass(frozen=True)
class Target:
    """A machine's port."""

    machine_id: str
    address: str
    port: int


class Pool:
    """Idle connections by target.

    A machine may close an idle connection in the very moment a request is sent on it. A safe request
    is then sent again; one that is not safe could be carried out twice, so it only gets a connection
    that was in use a moment ago, which no server closes yet.
    """

    def __init__(self) -> None:
        self._idle: dict[Target, list[tuple[float, Wire]]] = defaultdict(list)

    def take(self, target: Target, *, safe: bool) -> Wire | None:
        """Hand out a kept connection that is fresh and still open; close those that are not."""
        now = asyncio.get_running_loop().time()
        kept = self._idle[target]
        while kept:
            since, wire = kept.pop()
            if wire.idle_and_open and now - since < (KEEP_S if safe else _KEEP_UNSAFE_S):
                return wire
            wire.abort()
        return None

    async def connect(self, target: Target) -> Wire:
        """Make a new connection.

        Raises:
            OSError: Nothing listens there, or not any more.
        """
        reader, writer = await asyncio.open_connection(target.address, target.port)
        return Wire(h11.CLIENT, reader, writer)

    def keep(self, target: Target, wire: Wire) -> None:
        """Take a connection back after an exchange; it ends if it cannot serve another."""
        kept = self._idle[target]
        if not wire.try_next_cycle() or not wire.idle_and_open or len(kept) >= _KEEP_COUNT:
            wire.abort()
            return
        loop = asyncio.get_running_loop()
        entry = (loop.time(), wire)
        kept.append(entry)
        loop.call_later(KEEP_S, self._expire, target, entry)

    def forget(self, machine_id: str) -> None:
        """Close what is kept to a machine: it was asleep or is another process now."""
        for target in [target for target in self._idle if target.machine_id == machine_id]:
            for _, wire in self._idle.pop(target):
                wire.abort()

    def close(self) -> None:
        """Close everything that is kept."""
        for machine_id in {target.machine_id for target in self._idle}:
            self.forget(machine_id)

    def _expire(self, target: Target, entry: tuple[float, Wire]) -> None:
        if entry in self._idle.get(target, ()):
            self._idle[target].remove(entry)
            entry[1].abort()
