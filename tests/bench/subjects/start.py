"""Measure how long the first request to a sleeping server takes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from bench.lab import SETTLE_S, Lab, Side, program
from bench.process import running
from bench.rounds import interleaved
from bench.site import Machine, Site, local_fly, request_to_200
from bench.stats import Aim, Limit, Row, Sample, Table, Unit

REST_S = 1.0
ABOUT = """
Ours: seconds from a request, through the local Fly's proxy, to its 200 from `/api/health`, with the
machine asleep before. Stock: seconds from the start of `prefect server start` to the first 200 of
`/api/health`, asked every 10 ms. Both run in one locked environment with the same settings, on
files the computer has in memory.

- *Stopped, warm*: a volume that was used before, all bytecode compiled, for both.
- *Stopped, fresh root file system*: what Fly gives at every start from stopped. Our image ships all
  bytecode, its UI in place, and keeps what Prefect remembers on the volume: the same start as above,
  and the same figures. Stock is as in an image of python:slim, which ships no bytecode of the
  standard library, with packages installed by uv, which compiles none unless told; simulated with
  PYTHONPYCACHEPREFIX at an empty folder and PYTHONDONTWRITEBYTECODE=1, the memo store off the
  volume and the UI not yet copied.
- *The same, packages compiled*: stock with the packages' bytecode, as Prefect's own image has it,
  and none of the standard library.
- *First start, empty volume*: a new server. Ours from the API's start of a new machine, stock from
  its start on an empty PREFECT_HOME, with warm bytecode.
- *Suspended*: the machine's memory is kept. Stock has no such thing; its warm start stands there.
  The local Fly suspends with SIGSTOP; Fly restores memory from disk, which takes some hundred
  milliseconds more.
"""


def measure(lab: Lab) -> Table:
    """Measure every state of both servers alternately."""
    with local_fly(lab) as site:
        used = site.new_machine("bench-used")
        site.start(used)
        request_to_200(used)
        packages = packages_bytecode(lab)
        names = (f"bench-new-{number}" for number in count(1))
        trials: dict[str, Callable[[], float]] = {
            "stock warm": lambda: stock_start(lab, {}, used=True),
            "ours stopped": lambda: wake(site, used, "stop"),
            "stock fresh": lambda: stock_start(lab, fresh_file_system(lab), used=True),
            "stock compiled": lambda: stock_start(lab, fresh_file_system(lab, packages), used=True),
            "ours suspended": lambda: wake(site, used, "suspend"),
            "stock empty": lambda: stock_start(lab, {}, used=False),
            "ours empty": lambda: first_start(site, next(names)),
        }
        return table(interleaved(lab, trials))


def table(found: dict[str, Sample]) -> Table:
    """Return the table of ours and stock."""

    def row(what: str, ours: str, stock: str, limit: Limit | None = None) -> Row:
        return Row(what, Unit.SECONDS, found[f"ours {ours}"], found[f"stock {stock}"], limit)

    rows = (
        row("stopped, warm", "stopped", "warm", Limit(Aim.RATIO_AT_MOST, 0.85)),
        row("stopped, fresh root file system", "stopped", "fresh", Limit(Aim.RATIO_AT_MOST, 0.45)),
        row("the same, packages compiled", "stopped", "compiled"),
        row("first start, empty volume", "empty", "empty", Limit(Aim.RATIO_AT_MOST, 0.25)),
        row("suspended", "suspended", "warm", Limit(Aim.AT_MOST, 0.3)),
    )
    return Table("start", "from asleep to the first answer", ABOUT, rows)


def stock_start(lab: Lab, extra: dict[str, str], *, used: bool) -> float:
    """Start stock on a used or an empty volume, and end it."""
    home = lab.used_home(Side.STOCK) if used else lab.folder("empty")
    with running(program(lab, Side.STOCK, home, extra)) as server:
        return server.wait_healthy()


def fresh_file_system(lab: Lab, bytecode: Path | None = None) -> dict[str, str]:
    """Return variables that hide from stock what only an image could have kept."""
    fresh = lab.folder("fresh")
    return {
        "PYTHONPYCACHEPREFIX": str(bytecode or fresh / "bytecode"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PREFECT_SERVER_MEMO_STORE_PATH": str(fresh / "memo_store.toml"),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(fresh / "ui"),
    }


def packages_bytecode(lab: Lab) -> Path:
    """Write only the packages' bytecode, in the layout of PYTHONPYCACHEPREFIX."""
    prefix = lab.folder("bytecode")
    venv = lab.image.bin.parent
    for compiled in venv.rglob("__pycache__/*.pyc"):
        beside = prefix / compiled.parent.parent.relative_to("/")
        beside.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(compiled, beside / compiled.name)
    return prefix


def wake(site: Site, machine: Machine, action: str) -> float:
    """Let a machine settle and sleep, then time the request that wakes it."""
    time.sleep(SETTLE_S)
    site.rest(machine, action)
    time.sleep(REST_S)
    return request_to_200(machine)


def first_start(site: Site, app: str) -> float:
    """Time the first start of a new machine on an empty volume, and delete it."""
    machine = site.new_machine(app)
    began = time.monotonic()
    site.start(machine)
    request_to_200(machine)
    took = time.monotonic() - began
    site.remove(machine)
    return took
