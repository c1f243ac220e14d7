"""Idle connections to machines, kept for a few seconds for the next request."""

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
    """The address and port of a machine."""

    machine_id: str
    address: str
    port: int


class Pool:
    """The idle connections by target.

    A machine may close an idle connection just when a request is sent on it. A safe request is then
    resent. Any other request could be executed twice, so it only gets a connection that was in use
    a moment ago, which no server closes yet.
    """

    def __init__(self) -> None:
        self._idle: dict[Target, list[tuple[float, Wire]]] = defaultdict(list)

    def take(self, target: Target, *, safe: bool) -> Wire | None:
        """Return a fresh and open connection, if there is one; close those that are not."""
        now = asyncio.get_running_loop().time()
        kept = self._idle[target]
        while kept:
            since, wire = kept.pop()
            if wire.idle_and_open and now - since < (KEEP_S if safe else _KEEP_UNSAFE_S):
                return wire
            wire.abort()
        return None

    async def connect(self, target: Target) -> Wire:
        """Return a new connection.

        Raises:
            OSError: Nothing listens there.
        """
        reader, writer = await asyncio.open_connection(target.address, target.port)
        return Wire(h11.CLIENT, reader, writer)

    def keep(self, target: Target, wire: Wire) -> None:
        """Keep a connection for another request, or close it if it cannot be reused."""
        kept = self._idle[target]
        if not wire.try_next_cycle() or not wire.idle_and_open or len(kept) >= _KEEP_COUNT:
            wire.abort()
            return
        loop = asyncio.get_running_loop()
        entry = (loop.time(), wire)
        kept.append(entry)
        loop.call_later(KEEP_S, self._expire, target, entry)

    def forget(self, machine_id: str) -> None:
        """Close the connections to a machine that slept or restarted."""
        for target in [target for target in self._idle if target.machine_id == machine_id]:
            for _, wire in self._idle.pop(target):
                wire.abort()

    def close(self) -> None:
        """Close all idle connections."""
        for machine_id in {target.machine_id for target in self._idle}:
            self.forget(machine_id)

    def _expire(self, target: Target, entry: tuple[float, Wire]) -> None:
        if entry in self._idle.get(target, ()):
            self._idle[target].remove(entry)
            entry[1].abort()
