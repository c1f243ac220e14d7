"""Sentences about the windows in which a server stays awake. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from roost.environment.windows import Span, WindowError, read_window
from roost.errors.command import Command
from roost.plan.awake_windows import WindowState
from roost.plan.next_due import NextDue
from roost.report.wording import one_line

NEEDS_A_TICK = (
    "When a window opens, a waker, a tick or a request has to wake the server (docs/schedules.md)."
)
_A_WEEK = timedelta(days=6)


def opening(window: str, at: datetime, now: datetime) -> str:
    """Return when a window opens, by the clock there: `Mon 08:00 Europe/Berlin (mon-fri 08:00-18:00)`.

    Args:
        window: the window, as a server named it; of another form, the time is in UTC.
        at: when it opens.
        now: the time.
    """
    try:
        named = read_window(window)
        begins = wall_clock(at, named.zone, now)
    except WindowError:
        return f"{at:%Y-%m-%d %H:%M} UTC ({one_line(window)})"
    return f"{begins} ({named.days} {named.start}-{named.end})"


def wall_clock(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """Return a time as a clock in a zone shows it: with its weekday or date, unless it is today."""
    there, today = at.astimezone(zone), now.astimezone(zone).date()
    if there.date() == today:
        day = ""
    else:
        day = f"{there:%a} " if there.date() - today <= _A_WEEK else f"{there:%Y-%m-%d} "
    return f"{day}{there:%H:%M} {zone.key}"


def open_until(span: Span, now: datetime) -> str:
    """Return that a window is open, and until when."""
    return f"A window is open until {wall_clock(span.end, span.closes.zone, now)}"


def window_notes(
    name: str, state: WindowState | None, due: NextDue | None, now: datetime, *, is_awake: bool
) -> Iterator[str]:
    """Return notes of `roost status` on windows.

    Args:
        name: the environment.
        state: what is open and what opens next; None without windows.
        due: what another note names as next; the window is not named again.
        now: the time.
        is_awake: whether the server is awake.
    """
    if state is None:
        return
    if state.is_open and is_awake:
        yield f"{open_until(state.is_open, now)}. The server stays awake until then."
    elif state.is_open:
        yield (
            f"{open_until(state.is_open, now)}, and the server sleeps. The next request wakes it, "
            f"and it stays awake until then. To wake it now: {Command('wake', name)}"
        )
    is_named = due is not None and due.window and due.at > now
    if state.following and not is_named:
        begin, opens = state.following.begin, state.following.opens
        yield f"Next window: {opening(str(opens), begin, now)}."


def slept_in_window(span: Span, now: datetime) -> str:
    """Return what becomes of a server that is put to sleep while a window is open."""
    return (
        f"{open_until(span, now)}. No tick wakes the server for this window again. The next "
        "request wakes it, and it then stays awake until this window closes."
    )
