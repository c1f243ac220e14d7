"""Execute flow runs while their server and their flow server are killed and cut from each other."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import httpx

from chaos.forked_engine import ROOM
from helpers.flow_machine import FlowMachine, build_flow_image
from helpers.machine_api import serving
from helpers.prefect_process import PrefectProcess
from helpers.relay import Relay
from helpers.waiting import until
from localfly.images.builder import Image
from roost_flows.processes import RUN_VARIABLE

PROGRAM = Path(__file__).with_name("flow_program.py")
FORKED = Path(__file__).with_name("forked_engine.py")
AT_ONCE = 24
"""So many runs wait or are executed at a time; 8 of them are executed."""
FLOWS = {"once": 0.5, "again": 0.3, "outer": 0.2}
"""The flows and how many of the runs are theirs."""
RETRIES = {"once": 0, "again": 5, "outer": 5}
QUIET, PAUSE_S = (3, 15), (0.0, 3.0)
"""Between two troubles so many executions begin, and then some seconds pass."""
CUT_S = (1.0, 45.0)
DOWN_S = (0.0, 5.0)
SETTLED_S = 1200.0
"""How long the last runs may take to end after the last trouble."""
LOOK_S = 0.5
ROOM_BYTES = 8192
ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


class Trouble(Enum):
    """What happens to the two machines."""

    FLOW_SERVER = "flow server killed"
    SERVER = "server killed"
    BOTH = "both killed"
    NETWORK = "network cut"
    PROCESS = "process of a run killed"


@dataclass
class Fate:
    """What became of one run.

    Args:
        run: its id.
        flow: the name of its flow.
        state: the type of its last state, and its message.
        lines: the words and process ids of its journal.
    """

    run: str
    flow: str
    state: str
    message: str
    lines: Sequence[tuple[str, int]]

    def pids(self, word: str) -> list[int]:
        """Return the processes that wrote a word, in order."""
        return [pid for each, pid in self.lines if each == word]


@dataclass
class Killed:
    """What was killed.

    Args:
        pids: all processes, which may have been ones of runs.
        runs: the runs that had one of them, maybe before it wrote a line.
    """

    pids: set[int] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)


class Verdict(Enum):
    """What a run's fate is called; the last three are faults."""

    COMPLETED = "completed"
    CRASHED = "crashed, its process was killed"
    LOST = "lost"
    DOUBLED = "executed twice"
    STUCK = "stuck"


FAULTS = (Verdict.LOST, Verdict.DOUBLED, Verdict.STUCK)


def judge(fate: Fate, killed: Killed) -> Verdict:
    """Return the verdict on a run.

    A flow with retries begins again after its process was killed, and only then; one without never
    does. A run that ends otherwise than Completed was killed more often than it may begin again, or
    its process alone was killed, which Prefect reports as Crashed.

    Args:
        fate: what became of it.
        killed: what was killed.
    """
    begun, ended = fate.pids("begin"), fate.pids("end")
    survived = [pid for pid in ended[:-1] if pid not in killed.pids]
    if fate.pids("overlap") or survived or len(begun) > 1 + RETRIES.get(fate.flow, 0):
        return Verdict.DOUBLED
    if fate.state not in ENDED:
        return Verdict.STUCK
    if fate.state == "COMPLETED":
        return Verdict.COMPLETED if ended else Verdict.LOST
    is_killed = fate.run in killed.runs or not killed.pids.isdisjoint(begun)
    return Verdict.CRASHED if is_killed else Verdict.LOST


@dataclass
class Toll:
    """What was done to one pair of machines, and what became of all runs.

    Args:
        seed: of its random numbers.
        runs: how many were created, without subflows.
        killed: how many of them, or of their subflows, had a process that was killed.
        troubles: how often each happened.
        verdicts: how many runs ended in each way; a subflow counts only with a fault.
        executions: how many began, those of subflows too.
        faults: one line for each fault.
    """

    seed: int
    runs: int = 0
    killed: int = 0
    troubles: Counter[Trouble] = field(default_factory=Counter)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    executions: int = 0
    faults: list[str] = field(default_factory=list)


class RunsInTrouble:
    """A server and a flow server that have trouble while they execute runs.

    Args:
        folder: a new folder for everything of it.
        server: the image of the server.
        flows: the image of the flow server.
        seed: of the random numbers.
        show: called with a line of progress.
    """

    def __init__(
        self, folder: Path, server: Image, flows: Image, seed: int, show: Callable[[str], None]
    ) -> None:
        self._random = random.Random(seed)
        self._show = show
        self._journal = folder / "journal"
        self._journal.mkdir(parents=True)
        self._folder, self._flows = folder, flows
        self._server = PrefectProcess(server, folder / "server")
        self._killed = Killed()
        self._runs: dict[str, str] = {}
        self._toll = Toll(seed)

    def play(self, count: int, ends: float) -> Toll:
        """Execute so many runs, or as many as begin in time, and return what became of them.

        Args:
            count: how many.
            ends: when the last one is created, by `time.monotonic`.
        """
        with self._begin(), self._server.http() as self._http:
            deployments = until(self._deployments)
            self._trouble_all(count, ends, deployments)
            self._tell("no more trouble; the last runs end")
            self._wait_for_ends()
            self._count()
        self._toll.runs, self._toll.killed = len(self._runs), len(self._killed.runs)
        return self._toll

    @contextmanager
    def _begin(self) -> Iterator[None]:
        with (
            self._server,
            Relay(self._server.port) as self._relay,
            serving(self._folder / "api.sock") as fly,
        ):
            self._machine = FlowMachine(
                self._flows, self._folder / "machine", self._relay.url, fly.environ
            )
            self._start_flow_server()
            try:
                yield
            finally:
                self._machine.die()

    def _start_flow_server(self) -> None:
        self._machine.start(CHAOS_JOURNAL=str(self._journal), **{ROOM: "." * ROOM_BYTES})

    def _deployments(self) -> Mapping[str, str]:
        """Return the deployments by the name of their flow, once all are registered."""
        found = {}
        for each in self._ask("POST", "/deployments/filter", {}) or ():
            flow = self._ask("GET", f"/flows/{each['flow_id']}")
            found[flow["name"]] = each["id"]
        return found if found.keys() == FLOWS.keys() else {}

    def _ask(self, verb: str, path: str, body: Any = None) -> Any:
        """Call the server, which may be starting, until it answers; it is asked directly."""
        found: list[httpx.Response] = []

        def is_answered() -> bool:
            with suppress(httpx.TransportError):
                found.append(self._http.request(verb, path, json=body))
            return bool(found) and found[-1].is_success

        until(is_answered)
        return found[-1].json()

    def _trouble_all(self, count: int, ends: float, deployments: Mapping[str, str]) -> None:
        """Begin runs, a few at a time, with a trouble now and then, until all have begun."""
        after = self._random.randint(*QUIET)
        few = min(AT_ONCE, count) // 2
        while len(self._runs) < count or self._open_runs() >= few:
            if time.monotonic() > ends:
                count = len(self._runs)
            missing = min(AT_ONCE - self._open_runs(), count - len(self._runs))
            for _ in range(missing):
                self._begin_run(deployments)
            if self._begun() >= after:
                time.sleep(self._random.uniform(*PAUSE_S))
                self._trouble()
                after = self._begun() + self._random.randint(*QUIET)
            self._keep_flow_server()
            time.sleep(LOOK_S)

    def _keep_flow_server(self) -> None:
        """Start the flow server if its launcher ended, as Fly restarts a machine that failed."""
        if not self._machine.is_alive:
            self._start_flow_server()

    def _tell(self, line: str) -> None:
        self._show(f"  seed {self._toll.seed}: {line}")

    def _begun(self) -> int:
        """Return how many executions have begun."""
        count = self._journal / "begun"
        return count.stat().st_size if count.exists() else 0

    def _begin_run(self, deployments: Mapping[str, str]) -> None:
        [flow] = self._random.choices(list(FLOWS), list(FLOWS.values()))
        body = {
            "state": {"type": "SCHEDULED"},
            "parameters": {"seconds": round(self._random.uniform(0, 3), 2)},
            # The answer may be lost: the server makes one run for one key.
            "idempotency_key": f"run-{len(self._runs)}",
        }
        made = self._ask("POST", f"/deployments/{deployments[flow]}/create_flow_run", body)
        self._runs[made["id"]] = flow
        if len(self._runs) % 50 == 0:
            troubles = sum(self._toll.troubles.values())
            self._tell(f"{len(self._runs)} runs begun, {troubles} troubles")

    def _open_runs(self) -> int:
        """Return how many runs did not end."""
        states = {"type": {"not_any_": sorted(ENDED)}}
        return int(self._ask("POST", "/flow_runs/count", {"flow_runs": {"state": states}}))

    def _trouble(self) -> None:
        trouble = self._random.choice(list(Trouble))
        self._toll.troubles[trouble] += 1
        if trouble is Trouble.NETWORK:
            self._relay.cut()
            time.sleep(self._random.uniform(*CUT_S))
            self._relay.mend()
            return
        if trouble is Trouble.PROCESS:
            self._kill_one()
            return
        if trouble in (Trouble.FLOW_SERVER, Trouble.BOTH):
            self._note_killed(self._machine.pids(RUN_VARIABLE))
            self._machine.die()
        if trouble in (Trouble.SERVER, Trouble.BOTH):
            self._server.kill()
            time.sleep(self._random.uniform(*DOWN_S))
            self._server.start()
        self._keep_flow_server()

    def _note_killed(self, processes: Mapping[int, str]) -> None:
        self._killed.pids |= processes.keys()
        self._killed.runs |= {run for run in processes.values() if run}

    def _kill_one(self) -> None:
        runs = {pid: run for pid, run in self._machine.pids(RUN_VARIABLE).items() if run}
        if not runs:
            return
        pid = self._random.choice(sorted(runs))
        self._note_killed({pid: runs[pid]})
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _wait_for_ends(self) -> None:
        ends = time.monotonic() + SETTLED_S
        while self._open_runs() and time.monotonic() < ends:
            self._keep_flow_server()
            time.sleep(LOOK_S)

    def _count(self) -> None:
        names: dict[str, str] = {}
        for each in self._all_runs():
            if "roost" in each.get("tags", ()):
                continue  # the canary
            if each["flow_id"] not in names:
                names[each["flow_id"]] = self._ask("GET", f"/flows/{each['flow_id']}")["name"]
            self._judge(self._fate(each, names[each["flow_id"]]))
        missing = self._runs.keys() - {each["id"] for each in self._all_runs()}
        self._toll.verdicts[Verdict.LOST] += len(missing)
        self._toll.faults += [f"the run {run} is gone" for run in sorted(missing)]

    def _all_runs(self) -> Iterator[dict[str, Any]]:
        offset = 0
        while some := self._ask(
            "POST", "/flow_runs/filter", {"limit": 200, "offset": offset, "sort": "ID_DESC"}
        ):
            yield from some
            offset += len(some)

    def _fate(self, run: Mapping[str, Any], flow: str) -> Fate:
        lines = []
        with suppress(FileNotFoundError):
            for line in (self._journal / run["id"]).read_text().splitlines():
                word, _, pid = line.partition(" ")
                lines.append((word, int(pid)))
        state = run["state"] or {}
        return Fate(run["id"], flow, run["state_type"] or "", state.get("message") or "", lines)

    def _judge(self, fate: Fate) -> None:
        is_subflow = fate.run not in self._runs
        self._toll.executions += len(fate.pids("begin"))
        verdict = judge(fate, self._killed)
        if is_subflow and verdict is Verdict.LOST:
            return  # its parent calls it anew, or was killed
        if not is_subflow:
            self._toll.verdicts[verdict] += 1
        if verdict in FAULTS:
            self._toll.verdicts[verdict] += is_subflow
            self._toll.faults.append(
                f"{verdict.value}: {fate.flow} {fate.run}: {fate.state} ({fate.message}), {fate.lines}"
            )


@dataclass(frozen=True)
class Party:
    """What the pairs of machines have in common.

    Args:
        folder: a new folder, with a short name.
        server: the image of the server.
        flows: the image of the flow server.
        ends: when the last run is created, by `time.monotonic`.
        show: called with a line of progress.
    """

    folder: Path
    server: Image
    flows: Image
    ends: float
    show: Callable[[str], None]

    def play(self, seed: int, count: int) -> Toll:
        """Execute so many runs on one pair of machines in trouble."""
        folder = self.folder / f"seed-{seed}"
        pair = RunsInTrouble(folder, self.server, self.flows, seed, self.show)
        return pair.play(count, self.ends)


def share_out(count: int, pairs: int, seed: int) -> Mapping[int, int]:
    """Return how many of the runs each pair of machines has, by its seed; none has too few."""
    pairs = max(1, min(pairs, count // AT_ONCE))
    each, rest = divmod(count, pairs)
    return {seed + number: each + (number < rest) for number in range(pairs)}


def build_flows(cache: Path, folder: Path) -> Image:
    """Build the image of the flow server; images are kept in the cache."""
    return build_flow_image(cache, folder, PROGRAM.read_text("utf-8"), FORKED)
