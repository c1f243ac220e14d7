"""Why a server that should run does not: the finding, its evidence, and the change. Pure but for the file."""

from __future__ import annotations

from collections.abc import Iterator

from roost.apply.gate import GIVEN_UP
from roost.doctor.check import Check, State, ok, unknown
from roost.doctor.memory_findings import memory_killed
from roost.doctor.server_facts import (
    DAY_S,
    ServerFacts,
    end_text,
    ends_since_config,
    rests_after_failure,
)
from roost.doctor.start_causes import CAUSES, Cause, Fix, Found, find_cause
from roost.doctor.start_remedies import remedy_of
from roost.errors.command import Command
from roost.fly.models import MachineEvent
from roost.plan.dead_host import is_silent
from roost.plan.exit_reason import last_words_of

MOST_EVIDENCE = 3
QUOTED_CHARS = 300
LOOP = 3
"""So many exits are a loop, not an accident."""
FULL_STATUS = "507"


def start_findings(facts: ServerFacts) -> Iterator[Check]:
    """Return whether the server serves, and if not, why."""
    name = facts.name
    if not facts.machines:
        yield unknown(
            "it has no machine yet, so there is no server to look at",
            Command("apply", name).typed,
            name,
        )
        return
    for machine in facts.machines:
        if is_silent(machine):
            what = (
                f"the host of the machine {machine.id} does not answer Fly ({machine.host_status})"
            )
            yield unknown(what, "see https://status.flyio.net, and run this again", name)
    ends = [event for machine in facts.machines for event in ends_since_config(machine)]
    if _serves(facts):
        yield from _serving(facts, ends)
        return
    found = find_cause(_texts(facts))
    if found is None and memory_killed(facts):
        return  # memory_findings reports it
    yield _not_serving(facts, ends, found)


def _serves(facts: ServerFacts) -> bool:
    """Return whether nothing says that the server does not serve when it is asked."""
    if facts.answer.status:
        return facts.answer.is_ready
    if facts.image is False or any(machine.state in GIVEN_UP for machine in facts.machines):
        return False
    return facts.runs or not any(map(rests_after_failure, facts.machines))


def _serving(facts: ServerFacts, ends: list[MachineEvent]) -> Iterator[Check]:
    name = facts.name
    since = (facts.now.timestamp() - DAY_S) * 1000
    ends = [event for event in ends if event.timestamp > since]
    if len(ends) >= LOOP and not memory_killed(facts):
        yield Check(
            State.WRONG,
            f"it serves now, and has ended by itself {len(ends)} times within the last day",
            "read what it wrote before each end",
            name,
            evidence=(*_end_lines(ends), *_quoted(facts)),
            commands=(Command("logs", name),),
        )
    if facts.answer.is_ready:
        yield ok("the server and its database answer", name)
    else:
        why = facts.answer.why_not or "nobody asked it"
        yield unknown(f"whether it answers was not tried: {why}", "", name)


def _not_serving(facts: ServerFacts, ends: list[MachineEvent], found: Found | None) -> Check:
    cause = found.cause if found else _by_status(facts)
    remedy = remedy_of(facts, cause, found.words if found else "")
    state = "does not serve" if facts.runs else "does not start"
    loop = f", and ended {len(ends)} times" if len(ends) >= LOOP else ""
    why = f": {cause.what}" if cause else ""
    evidence = (
        *_state_lines(facts),
        *_end_lines(ends),
        *_quoted(facts, found),
        *facts.tried,
    )
    return Check(
        State.WRONG,
        f"the server {state}{loop}{why}",
        remedy.mend,
        facts.name,
        evidence=evidence,
        change=remedy.change,
        commands=remedy.commands,
    )


def _texts(facts: ServerFacts) -> Iterator[str]:
    """Return what may tell the cause, the most telling first."""
    for machine in facts.machines:
        if words := last_words_of(machine, machine.instance_id):
            yield words
    if facts.last_error:
        yield facts.last_error
    yield from reversed(facts.log.lines)
    for machine in facts.machines:
        failed = (check for check in machine.checks if check.status == "critical")
        if machine.state == "started":
            yield from (f"Fly's check: {check.output}" for check in failed if check.output)


def _by_status(facts: ServerFacts) -> Cause | None:
    """Return the cause that only a status shows."""
    if facts.image is False:
        return _of(Fix.IMAGE)
    if facts.answer.status == FULL_STATUS:
        return _of(Fix.VOLUME)
    return None


def _of(fix: Fix) -> Cause:
    return next(cause for cause in CAUSES if cause.fix is fix)


def _state_lines(facts: ServerFacts) -> Iterator[str]:
    for machine in facts.machines:
        yield f"machine {machine.id} is {machine.state}"
    if facts.answer.status:
        yield f"/api/ready: {facts.answer.status}"
    if facts.image is False:
        yield "the registry does not have the image that its machine starts"


def _end_lines(ends: list[MachineEvent]) -> Iterator[str]:
    newest = sorted(ends, key=lambda event: event.timestamp, reverse=True)
    yield from (end_text(event) for event in newest[:MOST_EVIDENCE])


def _quoted(facts: ServerFacts, found: Found | None = None) -> Iterator[str]:
    """Return the words that show the cause, or else the newest that there are."""
    if found is not None:
        yield f'it said: "{_cut(found.words)}"'
        return
    texts = [text for text in _texts(facts) if text]
    yield from (f'it said: "{_cut(text)}"' for text in texts[:MOST_EVIDENCE])
    if not texts and facts.log.why_not:
        yield f"its log was not read: {facts.log.why_not}"


def _cut(text: str) -> str:
    return text if len(text) <= QUOTED_CHARS else f"{text[: QUOTED_CHARS - 3]}..."
