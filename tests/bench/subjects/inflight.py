"""Measure what running flows lose during changes of their server, and a restart of stock."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.acknowledged_work import Fate, compare, read_database, read_journals
from bench.crowd import SETTLE_S, Address, allow_slots, cross, crowd, slots_taken, wait_settled
from bench.lab import Lab
from bench.stats import Aim, Limit, Row, Sample, Table, Unit
from helpers.prefect_process import LOGIN as STOCK_LOGIN
from helpers.prefect_process import PrefectProcess
from helpers.prefect_site import APP, LOGIN, NAME, PrefectSite
from helpers.prefect_versions import OLDER
from localfly.images.builder import Images
from roost.plan.image import image_reference, read_image_parts

REST_S = 3.0
AWAKE = {"idle_after": "15m"}
QUIET = {"settings": {"PREFECT_SERVER_LOGGING_LEVEL": "ERROR"}}
RESTART = "plain restart"
ABOUT = f"""
Eight client processes with Prefect's own client: five flows with a task each second that logs and emits
an event, which end 0.5 to 25 s after the change began; one more that holds a concurrency slot; one
whose run is paused and is resumed afterwards; one that maps 200 tasks in 8 threads, beginning 2 s
before. Each notes what it has done in a file. When all have ended, the server's database is compared
with the notes. *Lost* are flow runs and task runs that are not there as Completed, logs and events that
are not there; *doubled* is what is there more than once. Ours runs on the local Fly, behind its proxy;
stock is asked directly, and is stopped (SIGINT) and started again.

- *no change*: the same work, and nothing happens.
- *settings*, *rollback*: `roost apply` with another setting, and `roost rollback` of it.
- *upgrade*: `roost apply` from {OLDER}, with the window in which only the gate is let in. Clients have {OLDER}.
- *suspend*, *stop*: the machine is suspended or stopped, and the clients' next request wakes it.
- *restore*: `roost backup`, and at once `roost restore` of it; what came between the two is not in it.
"""
NAMED = 4
KINDS = ("flow runs", "task runs", "logs", "events")

Cell = Mapping[str, Fate]


@dataclass(frozen=True)
class Change:
    """A change of a server, with the name of its rows."""

    name: str
    make: Callable[[PrefectSite], object]
    older: bool = False
    """Whether it begins with the older Prefect."""


def apply(**fields: object) -> Callable[[PrefectSite], object]:
    """Return a change that edits the environment file and applies it."""

    def change(site: PrefectSite) -> None:
        site.write(scaling=AWAKE, **fields)
        site.roost.run("apply", NAME, "--local")

    return change


def roost(*commands: str) -> Callable[[PrefectSite], object]:
    """Return a change that runs commands one after the other."""
    return lambda site: [site.roost.run(command, NAME, "--local") for command in commands]


def rest(action: str) -> Callable[[PrefectSite], object]:
    """Return a change that suspends or stops the machine from outside; a request wakes it."""

    def change(site: PrefectSite) -> None:
        site.daemon.call("POST", f"{APP}/machines/{site.machine}/{action}")
        time.sleep(REST_S)

    return change


def changes(lab: Lab) -> tuple[Change, ...]:
    """Return the changes in order; those that are not `older` share one server."""
    version = {"version": lab.file.environment.prefect.version}
    rested = (Change("settings", apply(prefect=version | QUIET)), Change("stop", rest("stop")))
    if lab.smallest:
        return rested[1:]
    return (
        Change("no change", lambda _: None),
        *rested,
        Change("suspend", rest("suspend")),
        Change("rollback", roost("rollback")),
        Change("restore", roost("backup", "restore")),
        Change("upgrade", apply(prefect=version), older=True),
    )


def measure(lab: Lab) -> Table:
    """Make each change, and restart stock, alternately while clients work."""
    ours: dict[str, list[Cell]] = defaultdict(list)
    stock: list[Cell] = []
    for number in range(1, lab.runs + 1):
        for name, cell in change_ours(lab, number):
            ours[name].append(cell)
            lab.tell(f"  {number}/{lab.runs} ours, {name}: {brief(cell)}")
        stock.append(restart_stock(lab, f"{number}-{RESTART.replace(' ', '-')}"))
        lab.tell(f"  {number}/{lab.runs} stock, {RESTART}: {brief(stock[-1])}")
    return Table(
        "inflight", "work in flight while the server is changed", ABOUT, tuple(rows(ours, stock))
    )


def restart_stock(lab: Lab, prefix: str) -> Cell:
    """Restart a stock server while clients work."""
    server = PrefectProcess(lab.image, lab.folder("stock"), stock=True)
    with server:
        address = Address(server.url, STOCK_LOGIN, lab.image.bin / "python")

        def restart() -> None:
            server.stop()
            server.start()

        return at_work(lab, address, lambda: server.home / "prefect.db", prefix, restart)


def change_ours(lab: Lab, number: int) -> Iterator[tuple[str, Cell]]:
    """Make each of our changes while clients work."""
    for older in (True, False):
        chosen = [change for change in changes(lab) if change.older is older]
        if not chosen:
            continue
        version = OLDER if older else lab.file.environment.prefect.version
        with site_of(lab, version) as site:
            python = python_of(lab, version)
            for change in chosen:
                site.wake()
                address = Address(site.url(), LOGIN, python)
                prefix = f"{number}-{change.name.replace(' ', '-')}"
                make = make_on(change, site)
                yield (
                    change.name,
                    at_work(lab, address, partial(database_of, site), prefix, make),
                )


def database_of(site: PrefectSite) -> Path:
    """Return the database that the machine uses; a restore keeps the previous volume beside it."""
    volumes = site.daemon.call("GET", f"{APP}/volumes")
    [used] = [v["id"] for v in volumes if v["attached_machine_id"] == site.machine]
    return site.daemon.home / "volumes" / str(used) / "prefect.db"


def make_on(change: Change, site: PrefectSite) -> Callable[[], object]:
    """Return a change as a function of a site."""
    return lambda: change.make(site)


def at_work(
    lab: Lab,
    address: Address,
    database: Callable[[], Path],
    prefix: str,
    change: Callable[[], object],
) -> Cell:
    """Make a change while processes work; compare their work with the database."""
    allow_slots(address)
    with crowd(lab.folder(prefix), address, prefix, few=lab.smallest) as found:
        cross(found, change)
        wait_settled(lambda: read_database(database(), prefix), 1.0 if lab.smallest else SETTLE_S)
        work = read_journals(found.journals())
        cell = compare(work, read_database(database(), prefix))
        taken = slots_taken(address)
        dropped = found.complaints("failed to process item")
        broken = found.complaints("pending items")
        lab.tell(
            f"  slots still taken {taken}; clients' complaints: items {dropped}, workers {broken}"
        )
    return cell


@contextmanager
def site_of(lab: Lab, version: str) -> Iterator[PrefectSite]:
    """Start a server on its own local Fly."""
    site = PrefectSite(lab.folder("site"), lab.cache)
    try:
        yield site.start(scaling=AWAKE, prefect={"version": version}).bring_up()
    finally:
        site.daemon.clean()


def python_of(lab: Lab, version: str) -> Path:
    """Return the Python with a version of Prefect, for clients."""
    if version == lab.file.environment.prefect.version:
        return lab.image.bin / "python"
    deploy = lab.project / "deploy"
    ref = image_reference("roost-bench", version, read_image_parts(deploy, version))
    return asyncio.run(Images(lab.cache).build(deploy, version, ref, lab.tell)).image.bin / "python"


def brief(cell: Cell) -> str:
    """Return all results in one line."""
    return "; ".join(
        f"{kind}: {fate.lost} of {fate.expected} lost{names(fate)}, {fate.doubled} doubled"
        for kind, fate in cell.items()
    )


def names(fate: Fate) -> str:
    """Return the names of some lost entries."""
    return f" ({', '.join(fate.missing[:NAMED])})" if fate.missing else ""


def rows(ours: Mapping[str, list[Cell]], stock: list[Cell]) -> Iterator[Row]:
    """Return rows that compare each change with the restart of stock, by kind."""
    for name, cells in ours.items():
        for kind in KINDS:
            for what in ("lost", "doubled"):
                yield Row(
                    f"{name}: {kind} {what}",
                    Unit.THINGS,
                    sample(cells, kind, what),
                    sample(stock, kind, what),
                    Limit(Aim.AT_MOST, 0),
                )


def sample(cells: list[Cell], kind: str, what: str) -> Sample:
    """Return one figure over several rounds."""
    return Sample(tuple(float(getattr(cell[kind], what)) for cell in cells))
