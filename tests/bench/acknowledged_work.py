"""Compare the work that clients have done with a server's database: kept, lost or duplicated."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

WELL = "Completed"
RUNS = "SELECT name, state_name FROM {} WHERE name LIKE ?"
LOGS = "SELECT message FROM log WHERE message LIKE ?"
EVENTS = "SELECT payload FROM events WHERE event = 'bench.tick'"
LOG_START = "bench "


@dataclass(frozen=True)
class Work:
    """The work of clients: names of flow runs, and of what each task did (ran, logged, emitted)."""

    flow_runs: frozenset[str]
    done: frozenset[str]


@dataclass(frozen=True)
class Found:
    """The content of a database with the count of each entry; for runs, their states."""

    flow_runs: tuple[tuple[str, str], ...]
    task_runs: tuple[tuple[str, str], ...]
    logs: tuple[str, ...]
    events: tuple[str, ...]


@dataclass(frozen=True)
class Fate:
    """The result for one kind of work; `missing` has the names of lost entries."""

    expected: int
    missing: tuple[str, ...]
    doubled: int

    @property
    def lost(self) -> int:
        """The number of lost entries."""
        return len(self.missing)


def read_journals(files: Iterable[Path]) -> Work:
    """Return the work from the processes' journals; a process is one flow run.

    A process that never began has no journal.
    """
    paths = list(files)
    texts = [path.read_text("utf-8") for path in paths if path.exists()]
    lines = [line for text in texts for line in text.splitlines()]
    done = {line.removeprefix("done ") for line in lines if line.startswith("done ")}
    return Work(frozenset(path.stem for path in paths), frozenset(done))


def read_database(file: Path, prefix: str) -> Found:
    """Return what a SQLite database has of the processes with this prefix."""
    like = (f"{prefix}%",)
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        logs = database.execute(LOGS, (f"{LOG_START}{prefix}%",)).fetchall()
        payloads = [json.loads(row[0]) for row in database.execute(EVENTS).fetchall()]
        return Found(
            tuple(database.execute(RUNS.format("flow_run"), like).fetchall()),
            tuple(database.execute(RUNS.format("task_run"), like).fetchall()),
            tuple(row[0].removeprefix(LOG_START) for row in logs),
            tuple(p["name"] for p in payloads if p["name"].startswith(prefix)),
        )


def compare(work: Work, found: Found) -> Mapping[str, Fate]:
    """Return the result of each kind; a run that did not complete counts as lost."""
    return {
        "flow runs": _fate_of_runs(work.flow_runs, found.flow_runs),
        "task runs": _fate_of_runs(work.done, found.task_runs),
        "logs": _fate(work.done, found.logs),
        "events": _fate(work.done, found.events),
    }


def _fate_of_runs(expected: frozenset[str], runs: tuple[tuple[str, str], ...]) -> Fate:
    well = {name for name, state in runs if state == WELL}
    named = _fate(expected, [name for name, _ in runs])
    return Fate(len(expected), tuple(sorted(expected - well)), named.doubled)


def _fate(expected: frozenset[str], found: Iterable[str]) -> Fate:
    counts = Counter(found)
    doubled = sum(count - 1 for count in counts.values())
    return Fate(len(expected), tuple(sorted(expected - set(counts))), doubled)
