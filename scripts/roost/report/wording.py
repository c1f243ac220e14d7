"""The words that a terminal and a pull request share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from roost.plan.cost import CostChange
from roost.plan.image import is_our_image
from roost.plan.secrets import told_source
from roost.plan.steps import Plan

MAX_VALUE = 60


def shown(value: Any) -> str:
    """Show a value of a plan on one line, short, with nothing in it that a terminal would obey."""
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    text = one_line(text)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 3]}..."


def one_line(text: str) -> str:
    """Put a text on one line and write what cannot be seen as its escape."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def short_time(moment: str) -> str:
    """Show a time as RFC 3339 writes it to the minute, in UTC; what is none as it is."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return one_line(moment) or "-"


def short_image(reference: str) -> str:
    """Show what tells images apart: of ours the hash, for the version has a column of its own."""
    short = reference.rpartition("/")[2]
    return short.rpartition("-")[2] if is_our_image(reference) else one_line(short)


def counted(count: int, noun: str) -> str:
    """Count things: `1 step`, `2 steps`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def unchecked_line(secrets: Sequence[str]) -> str:
    """Say which values could not be compared, each with its source, and where they can be."""
    listed = ", ".join(secrets)
    return f"Not checked, because the values are not here: {listed}. An apply that has them sets what changed."


def unchecked(plan: Plan) -> list[str]:
    """Return the secrets that were not checked as plain text, each with where its value comes from."""
    return [
        f"{name} (from {told_source(name, plan.sources[name])})" if name in plan.sources else name
        for name in plan.unchecked
    ]


def cost_line(cost: CostChange) -> str:
    """Say what it costs a month, asleep to awake, now and then."""
    now, then = cost.now, cost.then
    after = f"${then.low:.2f} (asleep) to ${then.high:.2f} (awake) a month"
    if (round(now.low, 2), round(now.high, 2)) == (round(then.low, 2), round(then.high, 2)):
        return f"Cost: {after}, unchanged. Prices of {cost.date}."
    before = f"${now.low:.2f} to ${now.high:.2f}" if now.high else "nothing"
    return f"Cost: {after}, now {before}. Prices of {cost.date}."
