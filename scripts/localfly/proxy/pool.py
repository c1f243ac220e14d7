"""Idle connections to machines, kept for a few seconds for the next request."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from localfly.proxy.wire import MachineWire

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
        self._idle: dict[Target, list[tuple[float, MachineWire]]] = defaultdict(list)
        self._timed: set[Target] = set()  # those that a timer looks at

    def take(self, target: Target, *, safe: bool) -> MachineWire | None:
        """Return a fresh and open connection, if there is one; close those that are not."""
        now = asyncio.get_running_loop().time()
        kept = self._idle[target]
        while kept:
            since, wire = kept.pop()
            if wire.idle_and_open and now - since < (KEEP_S if safe else _KEEP_UNSAFE_S):
                return wire
            wire.abort()
        return None

    async def connect(self, target: Target) -> MachineWire:
        """Return a new connection.

        Raises:
            OSError: Nothing listens there.
        """
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(MachineWire, target.address, target.port)
        return wire

    def keep(self, target: Target, wire: MachineWire) -> None:
        """Keep a connection for another request, or close it if it cannot be reused."""
        kept = self._idle[target]
        if not wire.rest() or len(kept) >= _KEEP_COUNT:
            wire.abort()
            return
        loop = asyncio.get_running_loop()
        if target not in self._timed:
            self._timed.add(target)
            loop.call_later(KEEP_S, self._expire, target)
        kept.append((loop.time(), wire))

    def forget(self, machine_id: str) -> None:
        """Close the connections to a machine that slept or restarted."""
        for target in [target for target in self._idle if target.machine_id == machine_id]:
            for _, wire in self._idle.pop(target):
                wire.abort()

    def close(self) -> None:
        """Close all idle connections."""
        for machine_id in {target.machine_id for target in self._idle}:
            self.forget(machine_id)

    def _expire(self, target: Target) -> None:
        """Close the connections that were idle for too long; look again for the others."""
        kept = self._idle.get(target, [])
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEP_S
        for since, wire in kept:
            if since <= oldest:
                wire.abort()
        kept[:] = [(since, wire) for since, wire in kept if since > oldest]
        if kept:
            loop.call_at(kept[0][0] + KEEP_S, self._expire, target)
        else:
            self._timed.discard(target)
