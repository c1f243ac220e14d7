"""Flow servers in memory: records without a database, and time that a test moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from roost_server.awake_clock import AwakeClock
from roost_server.flow_server_book import Book
from roost_server.flow_servers import FlowServer, Missed, Online, Served, from_json


def online(boot: str = "b1", **more: Any) -> Online:
    """Return what a flow server sends when it starts."""
    known = {"version": "v1", "address": "http://acme-nightly.flycast", "prefect": "3.9.1"}
    return Online(**{"boot": boot, "missed": Missed.RUN_LATEST, **known, **more})


def served(
    deployments: Iterable[str] = (), pools: Iterable[str] = (), **queues: Iterable[str]
) -> Served:
    """Return what a poll asks for; the queues of a pool are named by the pool."""
    named = {pool: frozenset(names) for pool, names in queues.items()}
    return Served(frozenset(deployments), frozenset(pools) | named.keys(), named)


@dataclass
class MemoryRecords:
    """Stores records as JSON, as the database does; it can be made to fail."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    loads: int = 0
    fails: bool = False

    async def load(self) -> dict[str, FlowServer]:
        """Return all records."""
        self.loads += 1
        return {name: from_json(row) for name, row in self.rows.items()}

    async def save(self, record: FlowServer) -> None:
        """Keep one record."""
        if self.fails:
            raise OSError("the database is away")
        self.rows[record.name] = record.to_json()

    async def delete(self, name: str) -> None:
        """Delete one record."""
        self.rows.pop(name, None)


class Scene:
    """A record book with a clock that the test moves with `pass_time`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.records = MemoryRecords()
        self.asked: list[str] = []
        self.clock = AwakeClock(lambda: self.now)
        self.waking: set[str] = set()
        self.book = Book(self.records, self.clock, self.asked.append, self.waking.__contains__)

    def pass_time(self, seconds: float) -> None:
        """Let time pass with the server awake, in steps as its watch takes them."""
        while seconds > 0:
            step = min(seconds, 2.0)
            self.now += step
            seconds -= step
            self.clock.tick()

    def restart(self) -> None:
        """Restart with the records that were saved."""
        self.clock = AwakeClock(lambda: self.now)
        self.book = Book(self.records, self.clock, self.asked.append)
