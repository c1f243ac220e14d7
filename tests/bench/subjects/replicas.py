"""Measure a server of several machines under a load that one machine with SQLite does not bear."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil

from bench.lab import AUTH, LOGIN, SETTLE_S, Lab, Side, free_port
from bench.mixed_load import LIMIT_S, LOOK_S, Mixed, Size, put_mixed_load
from bench.process import Program, Running, running
from bench.stats import Row, Sample, Table, Unit
from helpers.postgres import Postgres, find_programs, postgres_server
from helpers.prefect_site import NAME
from helpers.redis_server import find_program, redis_server
from helpers.replicated_site import APPLY_S, FIELDS, ReplicatedSite
from helpers.waiting import until
from localfly.images.builder import Image, Images
from roost_server.redis_settings import API, PROCESS, URL_VARIABLE, redis_settings

LONGEST_S = 20.0
SERVING = ("app-1", "app-2")
SERVICES = "services-1"
NO_SERVICES = "PREFECT__SERVER_WEBSERVER_ONLY"
ABOUT = f"""
Two machines for the API and one for the background services, with PostgreSQL and Redis, all on this
computer. Ours is deployed by `roost apply` on the local Fly and asked through its proxy. Stock is two
`prefect server start --no-services` and one `prefect server services start`, with the same settings
for PostgreSQL and Redis, asked directly; half of the clients ask each. Both have the same packages.
The load is put on for {LONGEST_S:g} s: {{size}}. Each writer writes one flow run after the other
(create, RUNNING, five log lines, COMPLETED), each reader asks what a page of the UI asks every
{LOOK_S:g} s, events come in batches. The clients share the computer with all of it.

- *answered well*: the share of all requests that got a 2xx within {LIMIT_S:g} s.
- *p95*: the time that 95 % of requests took at most.
- *first run of a new schedule*: made when the load begins; Prefect looks for new schedules every 5 s.
- *memory*: resident, after the load, in MB of 2**20 bytes; of the machines for the API the larger.
"""


@dataclass(frozen=True)
class Cell:
    """One load on one side: what became of it, and the memory after it."""

    load: Mixed
    serving_mb: float
    services_mb: float

    def __str__(self) -> str:
        """Return the result in one line."""
        return (
            f"{self.load.well_share():.1f} % of {len(self.load.answers)} well, "
            f"{self.load.rate():.0f}/s, p95 {self.load.p95_s():.2f} s, "
            f"first run {self.load.first_run_s:.1f} s"
        )


def measure(lab: Lab) -> Table:
    """Put the load on both, in turns, each on a new database.

    Raises:
        RuntimeError: PostgreSQL or Redis is not installed.
    """
    size = Size.at(lab.scale)
    found: dict[Side, list[Cell]] = {Side.OURS: [], Side.STOCK: []}
    for number in range(1, lab.runs + 1):
        with _backends() as (database, redis), _ours(lab, database, redis) as ours:
            image = ours.image(lab)
            found[Side.OURS].append(_cell(lab, ours, size))
        with _backends() as (database, redis), _stock(lab, image, database.url, redis) as stock:
            found[Side.STOCK].append(_cell(lab, stock, size))
        for side, cells in found.items():
            lab.tell(f"  {number}/{lab.runs} {side.value}: {cells[-1]}")
    return table(found, size)


def _cell(lab: Lab, site: Ours | Stock, size: Size) -> Cell:
    """Put the load on one side, and read its memory."""
    time.sleep(SETTLE_S)
    load = put_mixed_load(site.urls, size, 1.0 if lab.smallest else LONGEST_S)
    return Cell(load, *site.memory_mb())


def table(found: Mapping[Side, list[Cell]], size: Size) -> Table:
    """Return the table of ours and stock."""

    def row(what: str, unit: Unit, figures: Mapping[Side, list[float]]) -> Row:
        ours, stock = (Sample(tuple(figures[side])) for side in (Side.OURS, Side.STOCK))
        return Row(what, unit, ours, stock)

    def of_loads(name: str) -> dict[Side, list[float]]:
        return {side: [getattr(c.load, name)() for c in cells] for side, cells in found.items()}

    def of_cells(name: str) -> dict[Side, list[float]]:
        return {side: [getattr(c, name) for c in cells] for side, cells in found.items()}

    first = {side: [c.load.first_run_s for c in cells] for side, cells in found.items()}
    rows = (
        row("answered well", Unit.PERCENT, of_loads("well_share")),
        row("rate", Unit.PER_SECOND, of_loads("rate")),
        row("p95", Unit.SECONDS, of_loads("p95_s")),
        row("first run of a new schedule", Unit.SECONDS, first),
        row("memory of a machine for the API", Unit.MEGABYTES, of_cells("serving_mb")),
        row("memory of the services", Unit.MEGABYTES, of_cells("services_mb")),
    )
    return Table("replicas", "several machines under load", ABOUT.format(size=size), rows)


@contextmanager
def _backends() -> Iterator[tuple[Postgres, str]]:
    """Start an empty PostgreSQL and an empty Redis; yield it and the Redis's address."""
    programs, redis = find_programs(), find_program()
    if programs is None or redis is None:
        raise RuntimeError("Install what this needs: apt-get install postgresql redis-server")
    with postgres_server(programs) as database, redis_server(redis) as server:
        yield database, server.url


class Ours:
    """A replicated server on a local Fly."""

    def __init__(self, site: ReplicatedSite) -> None:
        self._site = site
        self.urls = [site.url()]

    def memory_mb(self) -> tuple[float, float]:
        """Return the memory of the larger machine for the API, and of the services'."""
        return max(self._resident(name) for name in SERVING), self._resident(SERVICES)

    def image(self, lab: Lab) -> Image:
        """Return the image of its machines, which has the packages of both sides."""
        reference = self._site.machines()["app-1"]["config"]["image"]
        found = Images(lab.cache).lookup(reference)
        assert found, reference
        return found

    def _resident(self, name: str) -> float:
        return sum(_rss(each) for each in self._site.processes(name)) / 2**20


class Stock:
    """Two API servers and one process of services."""

    def __init__(self, serving: list[Running], services: Running) -> None:
        self._serving, self._services = serving, services
        self.urls = [each.program.url for each in serving]

    def memory_mb(self) -> tuple[float, float]:
        """Return the memory of the larger API server, and of the services."""
        return max(each.resident_mb() for each in self._serving), self._services.resident_mb()


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@contextmanager
def _ours(lab: Lab, database: Postgres, redis: str) -> Iterator[Ours]:
    """Deploy a replicated server and wait until all of it is healthy; end it in any case."""
    site = ReplicatedSite(lab.folder("ours"), lab.cache, DATABASE_URL=database.url, REDIS_URL=redis)
    try:
        site.roost.env[AUTH] = LOGIN
        site.start(**FIELDS)
        site.roost.run("apply", NAME, "--local", limit_s=APPLY_S)
        until(site.is_whole)
        yield Ours(site)
    finally:
        site.daemon.clean()


@contextmanager
def _stock(lab: Lab, image: Image, database: str, redis: str) -> Iterator[Stock]:
    """Start the three processes of stock and wait until those that answer are healthy."""
    shared_by_all = redis_settings({PROCESS: API, URL_VARIABLE: "REDIS_URL", "REDIS_URL": redis})
    del shared_by_all[NO_SERVICES]  # of one machine; stock has an option for it
    folder = lab.folder("stock")
    shared = {
        "PATH": f"{image.bin}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "LANG": "C.UTF-8",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "ui"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.replace(
            "postgresql://", "postgresql+asyncpg://"
        ),
        AUTH: LOGIN,
        **shared_by_all,
    }

    def program(name: str, *words: str) -> Program:
        port = str(free_port())
        address = {"PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": port}
        argv = (str(image.bin / "prefect"), "server", *words)
        log = folder / f"{name}-{secrets.token_hex(2)}.log"
        return Program(argv, {**shared, **address}, folder, log, f"http://127.0.0.1:{port}")

    with ExitStack() as stack:
        serving = []
        for number in (1, 2):  # one after the other, as the first one migrates the database
            server = stack.enter_context(
                running(program(f"api-{number}", "start", "--no-services"))
            )
            server.wait_healthy()
            serving.append(server)
        services = stack.enter_context(running(program("services", "services", "start")))
        yield Stock(serving, services)
