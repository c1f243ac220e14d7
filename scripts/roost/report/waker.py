"""Sentences of `roost status` about the waker. Pure."""

from __future__ import annotations

from roost.errors.command import Command
from roost.plan.announced import Announced
from roost.plan.next_due import NextDue
from roost.report.wording import one_line


def asleep_waker_note(name: str, app: str, announced: Announced | None, due: NextDue) -> str:
    """Return whether the waker wakes a sleeping server for its next run, with the next step if not.

    Args:
        name: the environment.
        app: the waker's app.
        announced: what the server left about its announcement.
        due: its next run.
    """
    if announced and announced.at == due.at and not announced.error:
        return f"The server sleeps until then. The waker {app} took that time and wakes it."
    why = "it does not know that time"
    if announced and announced.error:
        why = one_line(announced.error).rstrip(".")
    return (
        f"The waker {app} does not know that time ({why}): only a tick wakes the server in time. "
        f"To have the server announce it again: `{Command('wake', name)}`; it does so when it sleeps "
        "the next time."
    )


def awake_waker_note(app: str, announced: Announced | None) -> str:
    """Return that an awake server cannot announce itself; empty if it can, or did not try yet."""
    if announced is None or not announced.error:
        return ""
    why = one_line(announced.error).rstrip(".")
    return (
        f"The waker {app} does not know when this server is needed ({why}). The server tries again, and "
        "may stay awake for that for up to 15 minutes."
    )
