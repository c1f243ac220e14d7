"""What is around a server: its address, its clock, and the versions of those who ask it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roost.doctor.check import Check, State, ok
from roost.doctor.server_facts import ServerFacts
from roost.errors.command import Command
from roost.prefect.client_versions import client_fault

CLOCK_S = 5.0
_CLIENT = re.compile(r"prefect/(\d+\.\d+\.\d+)", re.IGNORECASE)


def machine_findings(facts: ServerFacts) -> Iterator[Check]:
    """Return the findings about the address, the clock, and the clients' versions."""
    if not facts.machines:
        return
    yield from _address(facts)
    yield from _cordoned(facts)
    yield from _clock(facts)
    yield from _clients(facts)


def _address(facts: ServerFacts) -> Iterator[Check]:
    if facts.addresses:
        return
    yield Check(
        State.WRONG,
        f"the app {facts.file.environment.app} has no address, so no request reaches it and none wakes it",
        "an apply assigns its addresses",
        facts.name,
        evidence=("Fly lists no address of the app",),
        commands=(Command("apply", facts.name),),
    )


def _cordoned(facts: ServerFacts) -> Iterator[Check]:
    closed = [machine for machine in facts.machines if machine.cordoned]
    if closed and len(closed) == len(facts.machines):
        yield Check(
            State.WRONG,
            "Fly's proxy sends no request to its machine, because it is cordoned",
            "take it back into service",
            facts.name,
            evidence=tuple(f"machine {machine.id} is cordoned" for machine in closed),
            commands=(f"fly machine uncordon {closed[0].id} -a {facts.file.environment.app}",),
        )


def _clock(facts: ServerFacts) -> Iterator[Check]:
    apart = facts.answer.clock_s
    if apart is None:
        return
    # HTTP tells whole seconds.
    if abs(apart) < CLOCK_S:
        yield ok(f"its clock is within {CLOCK_S:.0f} s of this computer's", facts.name)
        return
    word = "ahead of" if apart > 0 else "behind"
    yield Check(
        State.WRONG,
        f"the server's clock is {abs(apart):.0f} s {word} this computer's",
        "compare both with `date -u` of a third computer, and have the wrong one follow NTP; a restart of "
        "the machine sets its clock",
        facts.name,
        evidence=("the header Date of its answer, beside the time here",),
    )


def _clients(facts: ServerFacts) -> Iterator[Check]:
    """Return the clients that lose data with this server, of those that woke it."""
    if facts.file.environment.access.auth != "basic":
        return
    server = facts.file.environment.prefect.version
    agents = {wake.agent: wake for wake in facts.wakes}
    for agent, wake in sorted(agents.items()):
        match = _CLIENT.match(agent)
        fault = client_fault(match[1], server) if match else ""
        if fault:
            yield Check(
                State.WRONG,
                f"a client that asks it does not fit Prefect {server}",
                fault.replace("Your Prefect", "Its Prefect"),
                facts.name,
                evidence=(
                    f'{wake.at:%Y-%m-%d %H:%M:%S} UTC: {wake.path} from {wake.address or "?"}, "{agent}"',
                ),
            )
