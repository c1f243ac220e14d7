"""A server that falls asleep and wakes again and again: who wakes it, and the change. Pure but for the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import Enum
from statistics import median

from roost.doctor.check import Check, State, ok
from roost.doctor.file_change import set_values
from roost.doctor.server_facts import DAY_S, HOUR_S, ServerFacts, config_time, wakes_from_rest
from roost.environment.fields import format_duration
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.awake_time import AwakeTime, awake_time
from roost.plan.cost import machine_month
from roost.plan.wakes import Wake

FLAPS = 4
"""So many wakes within an hour are more than anybody's work."""
LADDER = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 15, 30, 60))
"""The idle times that are proposed."""
NEAR_S = 120.0
"""A note this far from a start, in seconds, is of that start: the clock of a resumed machine may be late."""
MOST_EVIDENCE = 5
_HEALTH = frozenset({"/api/health", "/api/ready", "/health", "/ready"})
_MONITORS = (
    "uptime",
    "pingdom",
    "kube-probe",
    "blackbox",
    "statuscake",
    "healthcheck",
    "checkly",
    "site24x7",
    "datadog",
    "googlestackdriver",
)
_ROOST = ("roost", "roost-waker")


class Who(Enum):
    """Who sends the requests that wake a server."""

    MONITOR = "a monitor"
    BROWSER = "a browser"
    POLLER = "a worker or a serve() that polls"
    ROOST = "Roost itself: a tick, the waker, or a command"
    OTHER = "a client of another kind"


def who_sent(wake: Wake) -> Who:
    """Return who sent a request, by its path and its user agent."""
    agent = wake.agent.lower()
    if agent.startswith(_ROOST):
        return Who.ROOST
    if wake.path.rstrip("/") in _HEALTH or any(word in agent for word in _MONITORS):
        return Who.MONITOR
    if "mozilla" in agent:
        return Who.BROWSER
    polls = "get_scheduled" in wake.path or "/work_pools" in wake.path or "/workers" in wake.path
    if polls or agent.startswith("prefect"):
        return Who.POLLER
    return Who.OTHER


def sleep_findings(facts: ServerFacts) -> Iterator[Check]:
    """Return whether a server rests, or is woken again and again."""
    if facts.file.environment.scaling.autostop == "off" or not facts.machines:
        return
    now = facts.now.timestamp()
    times = [awake_time(machine, now) for machine in facts.machines]
    starts = (at for machine in facts.machines for at in _since_change(machine))
    wakes = sorted(at for at in starts if at > now - DAY_S)
    most = _most_in_an_hour(wakes)
    if most < FLAPS:
        if wakes:
            yield ok(
                f"it woke {len(wakes)} times within the last day, and rests in between", facts.name
            )
        return
    noted = [wake for wake in facts.wakes if _is_near(wake, wakes)]
    counts = Counter(map(who_sent, noted))
    who = counts.most_common(1)[0][0] if counts else None
    if who is Who.ROOST:
        yield ok(
            f"it woke {most} times within an hour for Roost: a run that was due, or a command",
            facts.name,
        )
        return
    yield _flapping(facts, times, most, noted, who)


def _since_change(machine: Machine) -> Iterator[float]:
    """Return the wakes since a machine has its present config: what was before, a change may have ended."""
    begin = config_time(machine)
    after = begin.timestamp() if begin else 0.0
    return (at for at in wakes_from_rest(machine) if at > after)


def _most_in_an_hour(wakes: list[float]) -> int:
    return max((sum(at <= one < at + HOUR_S for one in wakes) for at in wakes), default=0)


def _is_near(wake: Wake, starts: Iterable[float]) -> bool:
    at = wake.at.timestamp()
    return any(abs(at - start) <= NEAR_S for start in starts)


def _flapping(
    facts: ServerFacts, times: list[AwakeTime], most: int, noted: list[Wake], who: Who | None
) -> Check:
    by = f", by {who.value}" if who else ""
    mend, change, commands = _remedy(facts, times, who)
    return Check(
        State.WRONG,
        f"it falls asleep and is woken again {most} times within an hour{by}",
        mend,
        facts.name,
        evidence=tuple(_evidence(facts, times, noted)),
        change=change,
        commands=commands,
    )


def _evidence(facts: ServerFacts, times: list[AwakeTime], noted: list[Wake]) -> Iterator[str]:
    gaps = _gaps(times)
    idle = format_duration(facts.file.environment.scaling.idle_after)
    if gaps:
        yield f"between a sleep and the next wake: {median(gaps):.0f} s (median), idle_after: {idle}"
    for wake in reversed(noted[-MOST_EVIDENCE:]):
        origin = f" from {wake.address}" if wake.address else ""
        agent = f', "{wake.agent}"' if wake.agent else ""
        yield f"{wake.at:%Y-%m-%d %H:%M:%S} UTC: {wake.path}{origin}{agent}"
    if not noted:
        yield "its machine has no note of who woke it"


def _gaps(times: list[AwakeTime]) -> list[float]:
    """Return how long it slept between two wakes, in seconds."""
    found: list[float] = []
    for one in times:
        begins = [*(span.begin for span in one.spans[1:])]
        ends = [span.end for span in one.spans[:-1]]
        found += [begin - end for begin, end in zip(begins, ends, strict=True)]
    return found


def _remedy(
    facts: ServerFacts, times: list[AwakeTime], who: Who | None
) -> tuple[str, str, tuple[Command | str, ...]]:
    """Return what to do, the diff, and commands."""
    name = facts.name
    if who is Who.MONITOR:
        stop = (
            "stop the monitor, or have it run the command below, which asks Fly and wakes nobody. A server that is "
            f"asked all day has to be always on: scaling.autostop: off ({_always_on(facts)})"
        )
        return stop, "", (Command("status", name),)
    longer = _longer_idle(facts, times)
    if longer is None:
        return (
            f"keep it awake: scaling.autostop: off ({_always_on(facts)})",
            set_values(facts.file, {("scaling", "autostop"): "off"}),
            (Command("apply", name),),
        )
    first = {
        Who.BROWSER: "close the tab with the UI, or let the server",
        Who.POLLER: "stop the worker when it has nothing to do, or let the server",
    }.get(who or Who.OTHER, "let the server")
    text = format_duration(longer)
    mend = (
        f"{first} stay awake between these requests, and sleep once when they end: "
        f"scaling.idle_after: {text} ({_always_on(facts)})"
    )
    change = set_values(facts.file, {("scaling", "idle_after"): text})
    return mend, change, (Command("apply", name),)


def _longer_idle(facts: ServerFacts, times: list[AwakeTime]) -> timedelta | None:
    """Return an idle time longer than the quiet between two requests; None if none is long enough."""
    idle = facts.file.environment.scaling.idle_after
    gaps = _gaps(times)
    quiet = idle + timedelta(seconds=1.5 * median(gaps) if gaps else 0)
    return next((one for one in LADDER if one > max(quiet, idle)), None)


def _always_on(facts: ServerFacts) -> str:
    machines = facts.machines
    month = sum(
        machine_month(facts.prices, (machine.config or {}).get("guest") or {}, machine.region)
        for machine in machines
    )
    return f"${month:.2f} a month if it is always awake"
