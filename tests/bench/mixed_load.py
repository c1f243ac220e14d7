"""What a busy team does to a server at once: flow runs, people who read its UI, and events."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.client import Answer, Client, basic
from bench.errors import BenchError
from bench.lab import LOGIN
from bench.load import make_flow, write_runs
from bench.stats import percentile
from helpers.replicated_site import schedule

WRITERS, READERS, EVENTS = 50, 200, 1000
"""At full scale: writers, people who read, events a second."""
LOOK_S = 2.0
"""How often a person's page asks again."""
BATCH = 50
"""Events in one request."""
LIMIT_S = 30.0
"""A request without an answer by then counts as unanswered."""
FIRST_RUN_LIMIT_S = 120.0
PAGES: tuple[tuple[str, Any], ...] = (
    ("/api/flow_runs/filter", {"limit": 20, "sort": "START_TIME_DESC"}),
    ("/api/flow_runs/count", {}),
    ("/api/flows/filter", {"limit": 20}),
    ("/api/deployments/filter", {"limit": 20}),
)
"""What one look at the UI asks."""


@dataclass(frozen=True)
class Size:
    """How much load is put on a server.

    Args:
        writers: each writes one flow run after the other.
        readers: each looks at the UI every LOOK_S seconds.
        events: events a second.
    """

    writers: int
    readers: int
    events: int

    @classmethod
    def at(cls, scale: float) -> Size:
        """Return a share of the full load, at least one of each kind."""
        writers, readers = (max(1, round(scale * whole)) for whole in (WRITERS, READERS))
        return cls(writers, readers, max(BATCH, round(scale * EVENTS)))

    def __str__(self) -> str:
        """Return the size as people read it."""
        return f"{self.writers} writers, {self.readers} readers, {self.events} events a second"


@dataclass(frozen=True)
class Mixed:
    """What became of the load.

    Args:
        answers: every answer, to writers, readers and senders of events.
        seconds: how long it was put on.
        first_run_s: until a schedule made under load had its first run; cut at FIRST_RUN_LIMIT_S.
    """

    answers: tuple[Answer, ...]
    seconds: float
    first_run_s: float

    def well_share(self) -> float:
        """Return the share of requests answered well, in percent."""
        return 100 * sum(answer.well for answer in self.answers) / len(self.answers)

    def rate(self) -> float:
        """Return the requests answered well in a second."""
        return sum(answer.well for answer in self.answers) / self.seconds

    def p95_s(self) -> float:
        """Return the time that 95 % of requests took at most; unanswered ones count the limit."""
        return percentile((answer.took_s for answer in self.answers), 0.95)


def put_mixed_load(urls: Sequence[str], size: Size, seconds: float) -> Mixed:
    """Put the load on a server for some seconds.

    Args:
        urls: the addresses of the server, which clients take in turns.
        size: how much.
        seconds: how long; a request that was begun is waited for.
    """
    turns = itertools.cycle(urls)
    flow = make_flow(urls[0])
    began, over = time.monotonic(), threading.Event()

    def goes_on() -> bool:
        return not over.is_set() and time.monotonic() < began + seconds

    senders = max(1, size.events // (10 * BATCH))
    with ThreadPoolExecutor(size.writers + size.readers + senders + 1) as pool:
        try:
            watched = pool.submit(first_run_s, next(turns))
            working = [
                *(
                    pool.submit(write_runs, next(turns), flow, goes_on, LIMIT_S)
                    for _ in range(size.writers)
                ),
                *(pool.submit(_read, next(turns), goes_on) for _ in range(size.readers)),
                *(
                    pool.submit(_send, next(turns), size.events / senders, goes_on)
                    for _ in range(senders)
                ),
            ]
            answers = tuple(answer for each in working for answer in each.result())
            ended = time.monotonic()
            return Mixed(answers, ended - began, watched.result())
        finally:
            over.set()  # after Ctrl-C too: no thread goes on


def first_run_s(url: str) -> float:
    """Make a schedule, and return the seconds until its first run is there."""
    began = time.monotonic()
    with Client(url, basic(LOGIN), limit_s=LIMIT_S) as client:

        def ask(verb: str, path: str, body: Any) -> Answer:
            return _until_well(lambda: client.send(verb, f"/api{path}", body))

        try:
            count = schedule(ask, f"bench-{uuid.uuid4()}")
            while not count():
                time.sleep(0.25)
        except BenchError:
            return FIRST_RUN_LIMIT_S
    return min(time.monotonic() - began, FIRST_RUN_LIMIT_S)


def _until_well(send: Callable[[], Answer]) -> Answer:
    """Send a request again until it is answered well, for some time; it is not measured."""
    ends = time.monotonic() + FIRST_RUN_LIMIT_S
    while not (answer := send()).well and time.monotonic() < ends:
        time.sleep(0.25)
    return answer


def _read(url: str, goes_on: Callable[[], bool]) -> list[Answer]:
    with Client(url, basic(LOGIN), limit_s=LIMIT_S) as client:
        looks: Iterable[list[Answer]] = _paced(
            LOOK_S, goes_on, lambda: [client.post(path, body) for path, body in PAGES]
        )
        return [answer for look in looks for answer in look]


def _send(url: str, rate: float, goes_on: Callable[[], bool]) -> list[Answer]:
    """Send events at a rate, as many in one request as Prefect's own client does at most."""
    with Client(url, basic(LOGIN), limit_s=LIMIT_S) as client:
        return list(
            _paced(BATCH / rate, goes_on, lambda: client.post("/api/events", _events(BATCH)))
        )


def _paced(every_s: float, goes_on: Callable[[], bool], act: Callable[[], Any]) -> Iterator[Any]:
    """Act at a steady pace; after an answer that took longer, at once."""
    due = time.monotonic()
    while goes_on():
        yield act()
        due = max(due + every_s, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _events(count: int) -> list[dict[str, object]]:
    now = datetime.now(UTC).isoformat()
    return [
        {
            "id": str(uuid.uuid4()),
            "occurred": now,
            "event": "bench.event",
            "resource": {"prefect.resource.id": "bench.load"},
        }
        for _ in range(count)
    ]
