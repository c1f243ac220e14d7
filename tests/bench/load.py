"""Write flow runs as clients do, with several writers at once, and watch the server's health."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.client import Answer, Client, basic
from bench.errors import BenchError
from bench.lab import LOGIN
from bench.process import HEALTH
from bench.stats import longest_gap, percentile

LOGS_A_RUN = 5
PROBE_EVERY_S = 0.05
# A request without a response by then counts as unanswered: the server may hang for a minute.
ANSWER_LIMIT_S = 6.0
DUE_RUNS = 40
MAKE_TRIES = 100
# The delay until Prefect marks a run late, and its polling interval (settings).
MARK_AFTER_S = 1
MARKING = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": str(MARK_AFTER_S),
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
}
MARK_LIMIT_S = 20.0


@dataclass(frozen=True)
class Load:
    """The results of the writers: every response, and the times of successful health checks."""

    answers: tuple[Answer, ...]
    health: tuple[float, ...]
    began: float
    ended: float

    def well_share(self) -> float:
        """Return the share of successful requests in percent."""
        return 100 * sum(answer.well for answer in self.answers) / len(self.answers)

    def failures(self) -> dict[int, int]:
        """Return the number of failed responses by status."""
        return dict(Counter(answer.status for answer in self.answers if not answer.well))

    def rate(self) -> float:
        """Return the successful requests per second."""
        return sum(answer.well for answer in self.answers) / (self.ended - self.began)

    def p95_ms(self) -> float:
        """Return the 95th percentile of the request times; unanswered ones count the limit."""
        return 1000 * percentile((answer.took_s for answer in self.answers), 0.95)

    def silence_s(self) -> float:
        """Return the longest time without a successful health check."""
        return longest_gap(self.health, self.began, self.ended)


@dataclass(frozen=True)
class Due:
    """The seconds until each run was marked late; for one that never was, until the limit."""

    late_s: tuple[float, ...]

    def p95_s(self) -> float:
        """Return the 95th percentile of the times until runs were marked."""
        return percentile(self.late_s, 0.95)


def put_load(url: str, writers: int, seconds: float) -> Load:
    """Let each writer write flow runs as fast as possible for some seconds."""
    flow = make_flow(url)
    over = threading.Event()
    with ThreadPoolExecutor(writers + 1) as pool:
        began = time.monotonic()

        def go_on() -> bool:
            return not over.is_set() and time.monotonic() < began + seconds

        try:
            probing = pool.submit(probe_health, url, over)
            writing = [pool.submit(write_runs, url, flow, go_on) for _ in range(writers)]
            answers = [answer for writer in writing for answer in writer.result()]
            ended = time.monotonic()
        finally:
            over.set()  # after Ctrl-C too: no thread goes on
        return Load(tuple(answers), tuple(probing.result()), began, ended)


def put_load_while_due(url: str, writers: int, seconds: float) -> Due:
    """Let writers write while runs are due that no worker starts; return the late marks."""
    flow = make_flow(url)
    with Client(url, basic(LOGIN)) as client:
        runs = tuple(make_due(client, flow) for _ in range(DUE_RUNS))
    due_at = time.time()
    put_load(url, writers, seconds)
    with Client(url, basic(LOGIN), limit_s=ANSWER_LIMIT_S) as client:
        return watch_due(client, runs, due_at)


def make_due(client: Client, flow: str) -> str:
    """Create a run that is due now, so that it will be marked late; return its id.

    Raises:
        BenchError: it was not created in many attempts.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": now}}
    # Retried, as a client does: it is not measured, and stock may be busy.
    for _ in range(MAKE_TRIES):
        made = client.post("/api/flow_runs/", {"flow_id": flow, "state": state})
        if made.well:
            return str(made.json()["id"])
        time.sleep(PROBE_EVERY_S)
    raise BenchError("The server made no run that is due.")


def watch_due(client: Client, runs: tuple[str, ...], due_at: float) -> Due:
    """Wait until all runs are marked or the limit; return their times by the server's clock."""
    give_up_at = time.monotonic() + MARK_LIMIT_S
    marked: dict[str, float] = {}
    while len(marked) < len(runs) and time.monotonic() < give_up_at:
        answer = client.post("/api/flow_runs/filter", {"flow_runs": {"id": {"any_": runs}}})
        if answer.well:
            marked = dict(marks(answer.json()))
        time.sleep(PROBE_EVERY_S)
    ended = time.time()
    return Due(tuple(max(0.0, marked.get(run, ended) - due_at - MARK_AFTER_S) for run in runs))


def marks(runs: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Return each run that was marked late with the time in seconds since 1970."""
    for run in runs:
        if run["state"]["name"] == "Late":
            yield run["id"], datetime.fromisoformat(run["state"]["timestamp"]).timestamp()


def make_flow(url: str) -> str:
    """Create the flow of all runs; return its id."""
    with Client(url, basic(LOGIN)) as client:
        return str(client.post("/api/flows/", {"name": "bench"}).json()["id"])


def write_runs(
    url: str, flow: str, go_on: Callable[[], bool], limit_s: float = ANSWER_LIMIT_S
) -> list[Answer]:
    """Write runs one after the other over one connection, until told to stop."""
    answers: list[Answer] = []
    with Client(url, basic(LOGIN), limit_s=limit_s) as client:
        while go_on():
            answers.extend(write_run(client, flow))
    return answers


def write_run(client: Client, flow: str) -> Iterator[Answer]:
    """Write a flow run as its process does; stop at the first failed request."""
    created = client.post("/api/flow_runs/", {"flow_id": flow, "state": {"type": "PENDING"}})
    yield created
    if not created.well:
        return
    run = created.json()["id"]
    for path, body in steps(run):
        answer = client.post(path, body)
        yield answer
        if not answer.well:
            return


def steps(run: str) -> Iterator[tuple[str, Any]]:
    """Return the requests for a created run: path and body."""
    move = f"/api/flow_runs/{run}/set_state"
    yield move, {"state": {"type": "RUNNING"}}
    yield "/api/logs/", [log_line(run, number) for number in range(LOGS_A_RUN)]
    yield move, {"state": {"type": "COMPLETED"}}


def log_line(run: str, number: int) -> dict[str, object]:
    """Return one log line of a run in the API's form."""
    return {
        "flow_run_id": run,
        "name": "bench",
        "level": 20,
        "message": f"line {number}",
        "timestamp": "2026-01-01T00:00:00Z",
    }


def probe_health(url: str, over: threading.Event) -> list[float]:
    """Poll the health check at a steady rate; return the times of successful responses."""
    answered: list[float] = []
    with Client(url, limit_s=ANSWER_LIMIT_S) as client:
        while not over.wait(PROBE_EVERY_S):
            answer = client.get(HEALTH)
            if answer.well:
                answered.append(answer.ended)
    return answered
