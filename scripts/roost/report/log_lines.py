"""Lines of a machine's log for a terminal. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from roost.fly.models import LogEntry
from roost.report.wording import one_line

_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def log_line(entry: LogEntry) -> str:
    """Return an entry as one line: time, machine, text; colours are left out, and controls escaped.

    A terminal would carry out what a log holds, and a log holds what anybody sent the server.
    """
    text = _COLORS.sub("", entry.message).rstrip()
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    parts = (one_line(entry.timestamp), one_line(entry.instance), shown)
    return " ".join(part for part in parts if part)


def is_since(entry: LogEntry, begin: datetime) -> bool:
    """Return whether an entry is from after a time; one without a time that can be read is."""
    try:
        at = datetime.fromisoformat(entry.timestamp)
    except ValueError:
        return True
    return at.tzinfo is None or at >= begin
