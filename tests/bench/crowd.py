"""Client processes that run real flows while their server is changed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.process import end
from helpers.plain_http import NO_TLS

PROGRAM = Path(__file__).with_name("inflight_work.py")
BEGIN_LIMIT_S = 120.0
END_LIMIT_S = 180.0
SETTLE_S = 20.0
"""Prefect writes events 5 s after they arrive, and task runs one by one; a busy computer is slow."""
SETTLE_LIMIT_S = 300.0
LOOK_S = 0.25
BEFORE_S = 2.0

ROLES = (
    *(("steady", seconds) for seconds in (0.5, 3.0, 6.0, 12.0, 25.0)),
    ("slot", 20.0),
    ("paused", 0.0),
    ("mapped", 0.0),
)
"""What each process does, and how long after the beginning of the change it ends, where it asks."""
FEW_ROLES = (("steady", 3.0), ("mapped", 0.0))


@dataclass(frozen=True)
class Address:
    """The address of a server, and the Python with its clients' Prefect."""

    url: str
    login: str
    python: Path

    def http(self) -> httpx.Client:
        """Return an authenticated client of the API."""
        user, _, password = self.login.partition(":")
        return httpx.Client(
            base_url=f"{self.url}/api",
            auth=(user, password),
            trust_env=False,
            timeout=60,
            verify=NO_TLS,
        )


@dataclass
class Crowd:
    """The running processes and the folder with their journals."""

    folder: Path
    address: Address
    prefix: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def journals(self) -> list[Path]:
        """Return the journals of all processes."""
        return [self.folder / f"{name}.journal" for name in self.processes]

    def start(self, role: str, name: str, ends_after_s: float, mapped: int) -> None:
        """Start one process."""
        home = self.folder / f"{name}-home"
        home.mkdir()
        env = {
            "PATH": f"{self.address.python.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "PREFECT_HOME": str(home / "prefect"),
            "LANG": "C.UTF-8",
            "DO_NOT_TRACK": "1",
            "PREFECT_API_URL": f"{self.address.url}/api",
            "PREFECT_API_AUTH_STRING": self.address.login,
            "BENCH_MAPPED": str(mapped),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [self.address.python, PROGRAM, role, name, self.folder, str(ends_after_s)],
                env=env,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_at_work(self) -> None:
        """Wait until each process has worked; one that the server rejects has lost its run."""
        limit = time.monotonic() + BEGIN_LIMIT_S
        for name, process in self.processes.items():
            journal = self.folder / f"{name}.journal"
            while not (journal.exists() or process.poll() is not None or time.monotonic() > limit):
                time.sleep(LOOK_S)

    def tell(self, what: str) -> None:
        """Signal the phase of the measurement to all processes: `soon`, then `change`."""
        (self.folder / what).touch()

    def resume_paused(self) -> None:
        """Resume the paused runs, and retry until the server is back."""
        names = [name for name in self.processes if "-paused-" in name]
        asked = {"flow_runs": {"name": {"any_": names}, "state": {"type": {"any_": ["PAUSED"]}}}}
        limit, resumed = time.monotonic() + BEGIN_LIMIT_S, 0
        with self.address.http() as http:
            while resumed < len(names) and self._is_waiting(names) and time.monotonic() < limit:
                try:
                    runs = http.post("/flow_runs/filter", json=asked).raise_for_status().json()
                    for run in runs:
                        http.post(f"/flow_runs/{run['id']}/resume").raise_for_status()
                        resumed += 1
                except httpx.HTTPError:
                    pass  # it is away, or closed
                time.sleep(LOOK_S)

    def _is_waiting(self, names: list[str]) -> bool:
        return any(self.processes[name].poll() is None for name in names)

    def wait_ended(self) -> None:
        """Wait until all processes have ended; one that does not is killed and has lost its run."""
        limit = time.monotonic() + END_LIMIT_S
        for process in self.processes.values():
            while process.poll() is None and time.monotonic() < limit:
                time.sleep(LOOK_S)

    def log(self, name: str) -> str:
        """Return the output of one process."""
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def complaints(self, words: str) -> int:
        """Return how many lines of all logs contain these words."""
        return sum(
            line.count(words) for name in self.processes for line in self.log(name).splitlines()
        )


@contextmanager
def crowd(folder: Path, address: Address, prefix: str, *, few: bool = False) -> Iterator[Crowd]:
    """Start all processes and wait until they work; end them afterwards."""
    found = Crowd(folder, address, prefix)
    try:
        for number, (role, seconds) in enumerate(FEW_ROLES if few else ROLES):
            found.start(role, f"{prefix}-{role}-{number}", seconds, mapped=20 if few else 200)
        found.wait_at_work()
        yield found
    finally:
        for process in found.processes.values():
            if process.poll() is None:
                end(process)


def cross(found: Crowd, change: Callable[[], object]) -> None:
    """Make a change while the processes work, and wait until they end."""
    found.tell("soon")
    time.sleep(BEFORE_S)
    found.tell("change")
    change()
    found.resume_paused()
    found.wait_ended()


def wait_settled(count: Callable[[], object], settle_s: float = SETTLE_S) -> None:
    """Wait until a count has not changed for a while."""
    limit = time.monotonic() + SETTLE_LIMIT_S
    last, since = count(), time.monotonic()
    while time.monotonic() < limit and time.monotonic() - since < settle_s:
        time.sleep(LOOK_S)
        if (now := count()) != last:
            last, since = now, time.monotonic()


def allow_slots(address: Address) -> None:
    """Create the concurrency limit of which one process takes a slot."""
    body = {"name": "bench", "limit": 1, "active": True}
    with address.http() as http:
        if not http.get("/v2/concurrency_limits/bench").is_success:
            http.post("/v2/concurrency_limits/", json=body).raise_for_status()


def slots_taken(address: Address) -> int:
    """Return how many slots of that limit are taken."""
    with address.http() as http:
        taken = http.get("/v2/concurrency_limits/bench").raise_for_status().json()["active_slots"]
    return int(taken)
