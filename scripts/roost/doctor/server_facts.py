"""What was read of a server that runs or should run, as frozen values. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from roost.apply.gate import NEW_CONFIG
from roost.environment.load import EnvironmentFile
from roost.fly.models import Machine, MachineEvent, Volume
from roost.plan.cost import Prices
from roost.plan.wakes import Wake

HOUR_S, DAY_S = 3600.0, 86400.0
ASLEEP = frozenset({"stopped", "suspended", "suspending"})


@dataclass(frozen=True)
class Answer:
    """What the server answered, if it was asked.

    Args:
        status: of `/api/ready`: `200`, another status, or the name of the failure; empty if not asked.
        why_not: why it was not asked; empty if it was.
        clock_s: the server's clock minus this computer's, in seconds; None if it sent no time.
    """

    status: str = ""
    why_not: str = ""
    clock_s: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the server and its database answer."""
        return self.status == "200"


@dataclass(frozen=True)
class Log:
    """The newest lines of the machines' log, the oldest first, without secrets.

    Args:
        lines: what was read.
        why_not: why it could not be read; empty if it could.
    """

    lines: tuple[str, ...] = ()
    why_not: str = ""


@dataclass(frozen=True)
class ServerFacts:
    """What is known of one server.

    Args:
        file: the environment.
        now: the time of this computer, in UTC.
        machines: those of the environment, with their newest events.
        volumes: those of the app.
        addresses: how many addresses the app has.
        answer: what the server answered.
        last_error: the last error that the running server reports of itself.
        log: the newest lines of its log.
        image: whether the registry has the image that its machine starts; None if nobody asked.
        wakes: which requests woke it, the oldest first.
        locks: the versions of Prefect that have a lock in this checkout.
        prices: the price list.
    """

    file: EnvironmentFile
    now: datetime
    machines: tuple[Machine, ...]
    prices: Prices
    volumes: tuple[Volume, ...] = ()
    addresses: int = 0
    answer: Answer = Answer()
    last_error: str = ""
    log: Log = Log()
    image: bool | None = None
    wakes: tuple[Wake, ...] = ()
    locks: tuple[str, ...] = ()
    tried: tuple[str, ...] = field(default=())
    """What was tried and failed on the way, as sentences."""

    @property
    def name(self) -> str:
        """The environment."""
        return self.file.name

    @property
    def is_asleep(self) -> bool:
        """Whether every machine sleeps, as it should when nobody needs it."""
        return bool(self.machines) and all(m.state in ASLEEP for m in self.machines)

    @property
    def runs(self) -> bool:
        """Whether a machine is started."""
        return any(machine.state == "started" for machine in self.machines)


def ends_since_config(machine: Machine) -> Iterator[MachineEvent]:
    """Yield the exits that nobody asked for, since the machine has its present config, newest first.

    An update stops the machine too, so an exit after it may still be of the config before it; only the
    exits after the start that followed count.
    """
    waiting: list[MachineEvent] = []
    for event in machine.events:
        if event.type in NEW_CONFIG:
            if event.type == "launch":
                yield from waiting
            return
        if event.type == "start":
            yield from waiting
            waiting = []
        ending = event.exit_event
        if ending is not None and not ending.get("requested_stop") and _failed(ending):
            waiting.append(event)
    yield from waiting


def config_time(machine: Machine) -> datetime | None:
    """Return when a machine got its present config; None if its events do not tell."""
    return next((time_of(event) for event in machine.events if event.type in NEW_CONFIG), None)


def wakes_from_rest(machine: Machine) -> Iterator[float]:
    """Yield when a machine was started from a sleep, in seconds since the epoch, newest first.

    A start after a failure or after a change is none.
    """
    start: float | None = None
    for event in machine.events:
        if event.type == "start":
            start = event.timestamp / 1000
        elif event.type in NEW_CONFIG:
            start = None
        elif start is not None and (event.type == "suspend" or event.exit_event is not None):
            if event.type == "suspend" or (event.exit_event or {}).get("requested_stop"):
                yield start
            start = None


def rests_after_failure(machine: Machine) -> bool:
    """Return whether the last thing that a machine did was to end by itself, without another start."""
    for event in machine.events:
        if event.exit_event is not None:
            ending = event.exit_event
            return not ending.get("requested_stop") and _failed(ending)
        if event.type in {"start", "suspend", *NEW_CONFIG}:
            return False
    return False


def _failed(ending: dict[str, object]) -> bool:
    signal = ending.get("signal")
    by_signal = isinstance(signal, int) and signal > 0
    return bool(ending.get("oom_killed") or ending.get("exit_code") or by_signal)


def time_of(event: MachineEvent) -> datetime | None:
    """Return when an event happened; None if Fly sent no valid time."""
    try:
        return datetime.fromtimestamp(event.timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def clock_text(moment: datetime | None) -> str:
    """Return a time for people, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "at an unknown time"


def end_text(event: MachineEvent) -> str:
    """Return how a machine ended, in a few words, with the time."""
    ending = event.exit_event or {}
    at = clock_text(time_of(event))
    if ending.get("oom_killed"):
        return f"{at}: killed, its memory was full (oom_killed)"
    signal, code = ending.get("signal"), ending.get("exit_code")
    if isinstance(signal, int) and signal > 0:
        return f"{at}: ended by signal {signal}"
    return f"{at}: exited with code {code if isinstance(code, int) else '?'}"
