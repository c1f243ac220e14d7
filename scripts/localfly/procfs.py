"""Linux's own account of processes, read as cheaply as it can be (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


@dataclass(frozen=True)
class Stat:
    """What /proc/PID/stat says of one process; `started` is seconds since the computer booted."""

    pid: int
    state: str
    parent: int
    session: int
    started: float

    @property
    def alive(self) -> bool:
        """Whether it still runs, or could: a zombie only waits to be asked how it ended."""
        return self.state not in ("Z", "X")

    @property
    def frozen(self) -> bool:
        """Whether SIGSTOP holds it."""
        return self.state in ("T", "t")


def read_stat(pid: int) -> Stat | None:
    """Read one process, None when there is none. Its name may hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except _GONE:
        return None
    fields = text.rpartition(")")[2].split()
    return Stat(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]) / _TICKS_PER_SECOND,
    )


def read_all() -> list[Stat]:
    """Read every process of this computer that lives."""
    pids = (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())
    return [stat for pid in pids if (stat := read_stat(pid)) is not None and stat.alive]


def members(leader: int, stats: Iterable[Stat]) -> list[Stat]:
    """Pick a session leader, its session, and the descendants of those that left the session."""
    inside: dict[int, Stat] = {}
    outside = list(stats)
    grown = True
    while grown:
        joining = [s for s in outside if s.session == leader or s.parent in inside]
        inside.update((s.pid, s) for s in joining)
        outside = [s for s in outside if s.pid not in inside]
        grown = bool(joining)
    return list(inside.values())


def resident_bytes(pid: int) -> int:
    """Tell the memory a process has in use, shared pages counted whole; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except _GONE:
        return 0


def proportional_bytes(pid: int) -> int:
    """Tell its fair share: shared pages divided by those who share them. Costs a millisecond."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except _GONE:
        return resident_bytes(pid)
    kilobytes = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return int(kilobytes[0]) * 1024 if kilobytes else 0
