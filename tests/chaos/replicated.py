"""Take away the parts of a replicated server, one after the other, while Prefect's own clients write."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from chaos.kept_rows import Kept, count_rows
from helpers.postgres import Postgres, find_programs, postgres_server
from helpers.prefect_site import LOGIN, NAME
from helpers.redis_server import find_program
from helpers.replicated_site import APPLY_S, MANAGED, REDIS_APP, ReplicatedSite, schedule
from helpers.waiting import LIMIT_S, until
from localfly.images.builder import Image, Images

PROGRAM = Path(__file__).with_name("client_program.py")
CLIENTS = 4
BEFORE, AFTER = 10, 40
"""So many writes are acknowledged before a part is taken away, and after all of it is back."""
AWAY_S = 20.0
"""How long the Redis is away."""
LATEST_S = 60.0
"""A new schedule makes its first runs within this time, whatever was taken away."""
PAGE = 200
ONCE = ("flow", "state")
"""What Prefect writes once although a client sends it again: by its name, by its transition."""


@dataclass(frozen=True)
class Write:
    """One write of a client.

    Args:
        kind: `flow`, `run`, `state` or `log`.
        name: of what it wrote; the message of a state or a log.
        error: why the client gave up; empty if the write was acknowledged.
        seconds: until it was acknowledged, the client's own repetitions included.
    """

    kind: str
    name: str
    error: str = ""
    seconds: float = 0.0


def read_write(line: str) -> Write:
    """Return the write that a line of the clients' program tells of."""
    word, kind, name, rest = line.split(maxsplit=3)
    if word == "ok":
        return Write(kind, name, seconds=float(rest))
    return Write(kind, name, error=rest.strip())


@dataclass
class Blow:
    """What became of the writes while one part was taken away and came back.

    Args:
        name: what was done.
        writes: what the clients got.
        lost: the acknowledged writes that the server does not have.
        repeated: the writes that the server has more than once. A client that lost an answer sends
            its request again; Prefect knows a flow and a state again, and neither a run nor a log.
        late_s: until a schedule that was made right after had its first run.
    """

    name: str
    writes: Sequence[Write] = ()
    lost: Sequence[str] = ()
    repeated: Sequence[Write] = ()
    late_s: float = 0.0

    @property
    def failed(self) -> Sequence[Write]:
        """The writes that the client's own repetitions did not save."""
        return [write for write in self.writes if write.error]

    @property
    def longest_s(self) -> float:
        """The longest wait of a write that was acknowledged."""
        return max((write.seconds for write in self.writes if not write.error), default=0.0)

    def faults(self) -> Iterator[str]:
        """Yield each promise that was not kept."""
        if self.lost:
            yield f"{self.name}: {len(self.lost)} acknowledged rows are lost: {self.lost[:5]}"
        if self.failed:
            errors = Counter(write.error for write in self.failed)
            yield f"{self.name}: {len(self.failed)} writes failed: {dict(errors)}"
        if wrong := [write.name for write in self.repeated if write.kind in ONCE]:
            yield f"{self.name}: {len(wrong)} writes are there twice: {wrong[:5]}"
        if self.late_s > LATEST_S:
            yield f"{self.name}: a schedule made its first run after {self.late_s:.0f} s"


@dataclass
class Round:
    """All blows of one server, and the runs that its schedules made twice."""

    blows: list[Blow] = field(default_factory=list)
    runs: int = 0
    twice: Sequence[str] = ()

    def faults(self) -> list[str]:
        """Return each promise that was not kept."""
        found = [fault for blow in self.blows for fault in blow.faults()]
        return [*found, *(f"made twice: {each}" for each in self.twice)]


Strike = Callable[[ReplicatedSite, Postgres], None]


def kill_api(site: ReplicatedSite, _: Postgres) -> None:
    """Kill one of the two machines for the API."""
    site.kill("app-1")


def kill_services(site: ReplicatedSite, _: Postgres) -> None:
    """Kill the machine of the services."""
    site.kill("services-1")


def kill_redis(site: ReplicatedSite, _: Postgres) -> None:
    """Kill the Redis, which Fly starts again."""
    site.kill("app-1", REDIS_APP)


def stop_redis(site: ReplicatedSite, _: Postgres) -> None:
    """Stop the Redis for some time."""
    machine = site.machines(REDIS_APP)["app-1"]["id"]
    path = f"{REDIS_APP}/machines/{machine}"
    site.daemon.call("POST", f"{path}/stop")
    time.sleep(AWAY_S)
    site.daemon.call("POST", f"{path}/start")


def restart_postgres(_: ReplicatedSite, database: Postgres) -> None:
    """Restart PostgreSQL, which cuts every connection."""
    database.restart()


STRIKES: Mapping[str, Strike] = {
    "one of two API machines killed": kill_api,
    "the services' machine killed": kill_services,
    "the Redis killed": kill_redis,
    f"the Redis stopped for {AWAY_S:.0f} s": stop_redis,
    "PostgreSQL restarted": restart_postgres,
}


class Writers:
    """Prefect's own clients, as one process.

    Args:
        image: the image of the server, with Prefect.
        folder: a folder of its own.
        url: the address of the server.
        label: the beginning of the names that they write.
    """

    def __init__(self, image: Image, folder: Path, url: str, label: str) -> None:
        folder.mkdir()
        self._output, self._log = folder / "writes", folder / "log"
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(image.bin / "python"), str(PROGRAM), label, str(CLIENTS)],
                env={
                    "PATH": str(image.bin),
                    "HOME": str(folder),
                    "PREFECT_HOME": str(folder / "prefect"),
                    "PREFECT_API_URL": f"{url}/api",
                    "PREFECT_API_AUTH_STRING": LOGIN,
                },
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
            )

    @property
    def lines(self) -> list[str]:
        """What the clients told, line by line."""
        text = self._output.read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    def acknowledged(self) -> int:
        """Return how many writes were acknowledged."""
        assert self._process.poll() is None, f"the clients ended: {self._log.read_text()}"
        return sum(line.startswith("ok ") for line in self.lines)

    def more(self, count: int) -> None:
        """Wait until so many more writes were acknowledged."""
        wanted = self.acknowledged() + count
        until(lambda: self.acknowledged() >= wanted)

    def end(self) -> None:
        """End the clients, each after its last write."""
        assert self._process.stdin
        if not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(LIMIT_S)
        finally:
            self._process.kill()
            self._process.wait()


def judge(name: str, writes: Sequence[Write], kept: Kept, late_s: float) -> Blow:
    """Return the blow, with what is lost of the writes and what is there more than once."""
    counts = [(write, kept.get((write.kind, write.name), 0)) for write in writes]
    lost = [
        f"{write.kind} {write.name}" for write, count in counts if not count and not write.error
    ]
    return Blow(name, writes, lost, [write for write, count in counts if count > 1], late_s)


class Trial:
    """A replicated server that loses its parts.

    Args:
        site: where it is.
        database: its PostgreSQL.
        image: its image, whose Prefect the clients are.
        folder: a folder of its own.
    """

    def __init__(
        self, site: ReplicatedSite, database: Postgres, image: Image, folder: Path
    ) -> None:
        self._site, self._database, self._image, self._folder = site, database, image, folder
        self._blows = 0

    def strike(self, name: str, strike: Strike) -> Blow:
        """Take a part away while clients write, and return what became of their writes."""
        self._blows += 1
        label = f"blow-{self._blows}"
        writers = Writers(self._image, self._folder / label, self._site.url(), label)
        try:
            writers.more(BEFORE)
            strike(self._site, self._database)
            late_s = self._first_run_s(label)
            until(self._site.is_whole)
            writers.more(AFTER)
        finally:
            writers.end()
        return judge(name, [read_write(line) for line in writers.lines], self._kept(label), late_s)

    def _kept(self, label: str) -> Kept:
        """Return how many rows the server has of the writers with a label."""
        return count_rows(lambda verb, path, body: self._ask(verb, path, body).json(), label)

    def _first_run_s(self, name: str) -> float:
        """Return the seconds until a schedule that is made now has its first run."""
        began = time.monotonic()
        until(schedule(self._ask, name))
        return time.monotonic() - began

    def runs(self) -> Iterator[tuple[str, str]]:
        """Yield the deployment and the time of each run that a schedule made."""
        offset = 0
        while some := self._ask("POST", "/flow_runs/filter", _page(offset)).json():
            offset += len(some)
            for run in some:
                if run["auto_scheduled"]:
                    yield run["deployment_id"], run["expected_start_time"]

    def _ask(self, verb: str, path: str, body: Any) -> httpx.Response:
        """Send a request, again and again while a part of the server is away."""
        found: list[httpx.Response] = []

        def is_answered() -> bool:
            with suppress(httpx.TransportError), self._site.http() as http:
                found.append(http.request(verb, path, json=body))
            return bool(found) and found[-1].is_success

        until(is_answered)
        return found[-1]


def _page(offset: int) -> Mapping[str, object]:
    return {"limit": PAGE, "offset": offset, "sort": "ID_DESC"}


def needed() -> Path:
    """Return the folder of PostgreSQL's programs.

    Raises:
        RuntimeError: a program is not installed.
    """
    programs = find_programs()
    if programs is None or find_program() is None:
        raise RuntimeError("Install what this needs: apt-get install postgresql redis-server")
    return programs


def play(
    folder: Path,
    cache: Path,
    strikes: Mapping[str, Strike],
    rounds: int,
    show: Callable[[str], None],
) -> Round:
    """Take each part away, so many times.

    Args:
        folder: a new folder, with a short name.
        cache: where images are kept.
        strikes: what to do, by names.
        rounds: how many times each.
        show: called with a line of progress.
    """
    found = Round()
    with postgres_server(needed()) as database:
        site = ReplicatedSite(folder, cache, DATABASE_URL=database.url)
        try:
            site.start(**MANAGED)
            site.roost.run("apply", NAME, "--local", limit_s=APPLY_S)
            trial = Trial(site, database, _image(site, cache), folder)
            for name, strike in [each for _ in range(rounds) for each in strikes.items()]:
                blow = trial.strike(name, strike)
                found.blows.append(blow)
                show(f"  {len(blow.writes)} writes, {len(blow.failed)} failed: {name}")
            counts = Counter(trial.runs())
        finally:
            site.daemon.clean()
    found.runs = sum(counts.values())
    found.twice = [f"{run} {at}" for (run, at), count in counts.items() if count > 1]
    return found


def _image(site: ReplicatedSite, cache: Path) -> Image:
    reference = site.machines()["app-1"]["config"]["image"]
    found = Images(cache).lookup(reference)
    assert found, reference
    return found
