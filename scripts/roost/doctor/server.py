"""`roost doctor ENV`: what keeps a server from working, or from its rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from roost.doctor.check import Check, unknown
from roost.doctor.machine_findings import machine_findings
from roost.doctor.memory_findings import memory_findings
from roost.doctor.server_facts import ServerFacts
from roost.doctor.server_reading import read_server
from roost.doctor.sleep_findings import sleep_findings
from roost.doctor.start_findings import start_findings
from roost.doctor.volume_findings import volume_findings
from roost.environment.load import EnvironmentFile
from roost.environment.rehearsal import rehearsed
from roost.errors import RoostError
from roost.operations.context import Context
from roost.operations.fly_target import Target


async def server_checks(
    context: Context, target: Target, file: EnvironmentFile, *, wake: bool
) -> AsyncIterator[Check]:
    """Check a server that runs or should run; it is asked only if it is awake, or may be woken.

    Args:
        context: the variables, the clients and the price list.
        target: the Fly that it runs on.
        file: the environment.
        wake: whether a request may wake it.
    """
    if target.local is not None:
        file = rehearsed(file)
    try:
        facts = await read_server(context, target, file, wake=wake)
    except RoostError as error:
        yield unknown(f"the server could not be looked at: {error}", "", file.name)
        return
    for check in findings(facts):
        yield check


def findings(facts: ServerFacts) -> Iterator[Check]:
    """Return what the facts about a server mean, the most important first."""
    yield from start_findings(facts)
    yield from memory_findings(facts)
    yield from volume_findings(facts)
    yield from sleep_findings(facts)
    yield from machine_findings(facts)
