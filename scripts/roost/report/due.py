"""Sentences about what is due: of a tick, and of `roost status` and `roost sleep`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from roost.errors.command import Command
from roost.plan.next_due import LEAD, TRIES, Decided, Decision, NextDue
from roost.plan.server_work import ConnectedClients, FlowServerWork, ServerWork, UntakenRun
from roost.report.windows import opening
from roost.report.wording import counted, one_line

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def length(span: timedelta) -> str:
    """Return a length of time in its two largest units, without a sign: `3 h 12 min`."""
    seconds = int(abs(span).total_seconds())
    days, hours = seconds // DAY_S, seconds % DAY_S // HOUR_S
    minutes, rest = seconds % HOUR_S // MINUTE_S, seconds % MINUTE_S
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    first = next((place for place, (count, _) in enumerate(units) if count), len(units) - 1)
    kept = [f"{count} {unit}" for count, unit in units[first : first + 2] if count]
    return " ".join(kept) or "0 s"


def moment(at: datetime) -> str:
    """Return a time in UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def when(due: NextDue, now: datetime) -> str:
    """Return when it is due, and how far that is: `..., in 3 h` or `..., 12 min ago`."""
    far = due.at - now
    side = f"in {length(far)}" if far >= timedelta(0) else f"{length(far)} ago"
    return f"{moment(due.at)}, {side}"


def tick_line(name: str, decided: Decided, now: datetime) -> str:
    """Return the decision about an environment that is not woken as a sentence."""
    due = decided.due
    if due and decided.decision is Decision.LATER:
        is_due = "the next window opens" if due.window else "the next run is due"
        return f"{name}: asleep, {is_due} {when(due, now)} ({what(due)})."
    if due and decided.decision is Decision.LEFT_OVER:
        was_due = "A window opened" if due.window else "A run was due"
        in_doubt = "To keep it awake now" if due.window else "If the run did not start"
        return (
            f"{name}: not woken. {was_due} {when(due, now)} ({what(due)}), but the server was "
            f"awake since then and left this time unchanged for over {length(TRIES)}. {in_doubt}, "
            f"wake the server: {Command('wake', name)}"
        )
    return {
        Decision.NO_MACHINE: f"{name}: it has no machine that serves; nothing to wake.",
        Decision.AWAKE: f"{name}: awake already.",
        Decision.BUSY: f"{name}: its machine is being changed, or failed. See: {Command('status', name)}",
    }.get(decided.decision, f"{name}: asleep, nothing is due.")


def woken_line(name: str, due: NextDue, now: datetime, seconds: float) -> str:
    """Return that a server was woken, how fast, and how late.

    Args:
        name: the environment.
        due: the run or window that it was woken for.
        now: when the tick began.
        seconds: from the request to the answer.
    """
    return f"{name}: woken in {seconds:.2f} s, {lateness(due, now)} ({what(due)})."


def unwoken_line(name: str, due: NextDue, now: datetime) -> str:
    """Return that something is due and its server could not be woken; the reason follows."""
    return f"{name}: not woken, {lateness(due, now)} ({what(due)})."


def lateness(due: NextDue, now: datetime) -> str:
    """Return how long after, or before, it was due."""
    late = now - due.at
    if late > timedelta(0):
        was_due = "a window opened" if due.window else "a run was due"
        return f"{length(late)} after {was_due} at {moment(due.at)}"
    is_due = "a window opens" if due.window else "a run is due"
    return f"{length(late)} before {is_due} at {moment(due.at)}"


def what(due: NextDue) -> str:
    """Return which window opens, or which run is due and where it runs."""
    if due.window:
        return one_line(due.window)
    return f"{one_line(due.deployment) or 'a run without a deployment'} on the flow server {one_line(due.flow_server)}"


def asleep_notes(
    name: str,
    due: NextDue | None,
    notes: tuple[str, ...],
    now: datetime,
    waker_note: str = "",
) -> Iterator[str]:
    """Return notes of `roost status` on what a sleeping server is needed for next.

    Args:
        name: the environment.
        due: its next run or window, if any.
        notes: what could not be read.
        now: the time.
        waker_note: who wakes it, where the environment has a waker.
    """
    yield from notes
    if due is None or (due.window and due.at <= now):  # `window_notes` reports what is open
        return
    yield next_line(due, now)
    if due.at > now and waker_note:
        yield waker_note
    elif due.at > now:
        yield (
            f"The server sleeps until then. `{Command('tick', name)}` wakes it. The workflow Tick runs "
            "that every five minutes once it is switched on, and GitHub may run it late: see "
            "docs/schedules.md."
        )
    elif now - due.at > LEAD:
        yield (
            f"That run is late, because nobody woke the server. To start it now: {Command('wake', name)}. "
            "To have it woken on time: see docs/schedules.md."
        )


def next_line(due: NextDue, now: datetime) -> str:
    """Return what is next, and when."""
    if due.window:
        return f"Next window: {opening(due.window, due.at, now)}, in {length(due.at - now)}."
    return f"Next run: {when(due, now)}, {what(due)}."


def work_notes(work: ServerWork, now: datetime) -> Iterator[str]:
    """Return notes of `roost status` on the work of an awake server."""
    if due := work.next_due:
        yield next_line(due, now)
    for fault in work.window_faults:
        yield f"The server may sleep in one of its windows: {one_line(fault).rstrip('.')}."
    for server in work.flow_servers or ():
        yield from _flow_server_notes(server)
        yield from (_untaken_note(server, run, now) for run in server.untaken)
    if work.clients and work.clients.are_there:
        yield f"{clients_sentence(work.clients)} They keep the server awake."


def _flow_server_notes(server: FlowServerWork) -> Iterator[str]:
    name = one_line(server.name)
    if server.running:
        yield f"The flow server {name} executes {counted(server.running, 'run')}."
    if server.overdue:
        why = f": {one_line(server.wake_error).rstrip('.')}" if server.wake_error else ""
        unable = "could not be woken" if server.wake_error else "has not taken them yet"
        yield f"{counted(server.overdue, 'run')} of {name} should have started. It {unable}{why}."
    elif server.wake_error:
        yield f"The flow server {name} could not be woken: {one_line(server.wake_error).rstrip('.')}."


def _untaken_note(server: FlowServerWork, run: UntakenRun, now: datetime) -> str:
    what = one_line(run.deployment) or "a run without a deployment"
    late = f", {length(now - run.due)} ago" if run.due else ""
    return (
        f"{one_line(server.name)} does not take a run of {what} ({one_line(run.run)}) that was due{late}: "
        f"{one_line(run.why).rstrip('.')}. It wakes nobody and keeps nobody awake; it starts once it can, "
        "while both are awake."
    )


def clients_sentence(clients: ConnectedClients) -> str:
    """Return how many clients are connected, as a sentence."""
    sockets = counted(clients.sockets, "open socket")
    polls = counted(clients.polls, "poll")
    return (
        f"Clients are connected (workers, serve(), browsers): {sockets}, and {polls} for work in the "
        "last minute."
    )


def sleep_note(clients: ConnectedClients) -> str:
    """Return what becomes of a server that is put to sleep while clients are connected."""
    return (
        f"{clients_sentence(clients)} Their next request wakes the server again at once. To let it "
        "sleep, stop them."
    )
