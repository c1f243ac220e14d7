"""The state of a server: whether it is ready, how its machines exited, and its release."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
import httpx

from roost.apply.gate import failure_in
from roost.apply.start_stop import ON_THE_WAY, SUSPENDED
from roost.environment.load import EnvironmentFile
from roost.errors import MachineFailedError, PrivateNetworkError
from roost.errors.command import Command
from roost.fly.models import Machine, MachineEvent
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.plan.dead_host import is_silent
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.live import Live, read_live
from roost.plan.releases import Release, Verdict, current, releases_on
from roost.report.wording import one_line, unproved_notes

LOOK_LIMIT_S = 10.0
ASLEEP = frozenset({"stopped", "suspended"})
FULL = "507"
"""Roost's server answers `/api/ready` with this status while its volume is full."""
FULL_ADVICE = (
    "Its volume is full, and every write is refused. Raise database.volume_gb and apply; it goes on "
    "by itself."
)
NOT_READY_ADVICE = "Its database does not answer. Look at its log and at the database's address."


def our_machines_in(file: EnvironmentFile, live: Live) -> tuple[Machine, ...]:
    """Return the machines that carry the environment's name in their metadata."""
    return tuple(m for m in live.machines if m.metadata.get(ENVIRONMENT_KEY) == file.name)


@dataclass(frozen=True)
class ServerState:
    """The state of a server, and of its release."""

    ready: bool | None
    """None if it was not asked, because a request would wake it or cannot reach it."""
    why: str
    release: Release | None = None

    @property
    def healthy(self) -> bool:
        """Whether nobody has to act."""
        return self.ready is not False

    def sentence(self) -> str:
        """Return the state as a sentence."""
        ready = {True: "Ready", False: "Not ready", None: "Not asked"}[self.ready]
        release = self.release
        verdict = f" Release {release.number}: {release.verdict.value}." if release else ""
        return f"{ready}: {self.why}.{verdict}"

    def document(self) -> dict[str, object]:
        """Return the state as JSON."""
        release = self.release
        live = release and {"number": release.number, "verdict": release.verdict.value}
        return {"ready": self.ready, "ready_why": self.why, "release": live}


async def look_at(
    context: Context, target: Target, file: EnvironmentFile, live: Live, url: str
) -> ServerState:
    """Return the state of a server; ask it only if it is awake."""
    ours = our_machines_in(file, live)
    release = current(releases_on(ours))
    if not ours:
        return ServerState(None, "it has no machine", release)
    if not any(machine.state == "started" and not is_silent(machine) for machine in ours):
        return ServerState(*_not_running(file.name, ours), release)
    try:
        await target.check_reach(file)
    except PrivateNetworkError:
        return ServerState(None, "it is private, and cannot be reached from here", release)
    if not url:
        return ServerState(None, "it has no address yet", release)
    async with context.clients.prefect(url, LOOK_LIMIT_S) as http:
        seen = await until_ok(http, "/api/ready", ends=0)
    if seen:
        return ServerState(ready=False, why=_not_ready(seen), release=release)
    return ServerState(ready=True, why="the server and its database answer", release=release)


def ready_advice(seen: str, otherwise: str = NOT_READY_ADVICE) -> str:
    """Return the hint for a status of `/api/ready`; 503 means that the database does not answer."""
    return {"503": NOT_READY_ADVICE, FULL: FULL_ADVICE}.get(seen, otherwise)


def _not_ready(seen: str) -> str:
    """Return why a server is not ready, with the hint."""
    advice = ready_advice(seen, "It does not serve. Look at its log.")
    return f"/api/ready: {seen}. {advice.rstrip('.')}"


def _silent(environment: str, machine: Machine) -> str:
    plan = Command("plan", environment)
    return (
        f"the host of the machine {machine.id} does not answer Fly ({machine.host_status}); "
        f"what to do: `{plan}`"
    )


def _not_running(environment: str, found: tuple[Machine, ...]) -> tuple[bool | None, str]:
    """Return whether machines that do not run sleep, failed, or are on a host that does not answer."""
    ours = tuple(machine for machine in found if not is_silent(machine))
    if not ours:
        return False, _silent(environment, found[0])
    if any(last_death(machine) for machine in ours):
        return False, "no machine runs, and one failed"
    if all(machine.state in ASLEEP for machine in ours):
        return None, "it sleeps; a request wakes it"
    states = {machine.state for machine in ours}
    on_the_way = states <= ASLEEP | SUSPENDED | ON_THE_WAY
    return None if on_the_way else False, f"no machine runs ({', '.join(sorted(states))})"


def last_death(machine: Machine) -> MachineFailedError | None:
    """Return the last exit of a machine as an error, if nobody asked it to stop.

    An exit from before its present config says nothing of that.
    """
    log = f"`fly logs -i {machine.id}`, here: {Command('local', 'logs')}"
    return failure_in(machine, frozenset(), log)


def last_exit(machine: Machine) -> str:
    """Return the last exit of a machine in a few words: out of memory, a code, or as asked."""
    ended = next((event for event in machine.events if event.exit_event is not None), None)
    if ended is None or ended.exit_event is None:
        return "-"
    ending = ended.exit_event
    when = _time_of(ended)
    if ending.get("oom_killed"):
        return f"out of memory{when}"
    if ending.get("requested_stop"):
        return f"as asked{when}"
    code = ending.get("exit_code")
    return f"code {code if isinstance(code, int) else '?'}{when}"


def _time_of(event: MachineEvent) -> str:
    try:
        return f", {datetime.fromtimestamp(event.timestamp / 1000, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return ""  # Fly sent no valid time


def exit_notes(machines: Iterable[Machine]) -> Iterable[str]:
    """Return a note for each machine that failed: why, and how often."""
    for machine in machines:
        death = last_death(machine)
        if death is None:
            continue
        unasked = [e for e in machine.events if (x := e.exit_event) and not x.get("requested_stop")]
        often = f" {len(unasked)} of its last events are failures." if len(unasked) > 1 else ""
        yield f"{death}{often}"


def verdict_notes(name: str, release: Release | None) -> Iterable[str]:
    """Return notes on a release that is not proved."""
    if release is None:
        return
    yield from unproved_notes(name, (release,))
    if release.verdict in {Verdict.PENDING, Verdict.FAILED}:
        state = "failed" if release.verdict is Verdict.FAILED else "was never proved"
        why = f": {release.why.rstrip('.')}" if release.why else ""
        yield f"Release {release.number} {state}{why}. See what to do: {Command('plan', name)}"


async def print_state_notes(context: Context, target: Target, file: EnvironmentFile) -> None:
    """Print the notes on failed machines and on a release that is not proved."""
    ours = our_machines_in(file, await read_live(target.fly, file.environment.app))
    release = current(releases_on(ours))
    for note in (*exit_notes(ours), *verdict_notes(file.name, release)):
        context.progress.print(one_line(note), markup=False, soft_wrap=True)


async def until_ok(http: httpx.AsyncClient, path: str, ends: float) -> str:
    """Ask until the status is 200; return the last status or failure if it never is, else empty."""
    while True:
        try:
            answer = await http.get(path)
            if answer.status_code == httpx.codes.OK:
                return ""
            seen = str(answer.status_code)
        except httpx.HTTPError as failure:
            seen = type(failure).__name__
        if time.monotonic() > ends:
            return seen
        await anyio.sleep(1)
