"""Texts and formats that terminal output and pull request comments share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from roost.errors.command import MARKS, Command
from roost.plan.cost import CostChange
from roost.plan.document import canonical
from roost.plan.image import is_our_image
from roost.plan.releases import Release, Verdict, current
from roost.plan.secrets import source_text
from roost.plan.steps import Plan

MAX_VALUE = 60
BEGINNING = 32
HASH_DIGITS = 24
"""As many as a seal has. The author of a value could find a collision of a shorter hash."""
NONE = "(none)"
KEEPS_AWAKE = "A connected worker or serve() keeps the server awake."
"""Said beside a cost, but not in a pull request's comment, whose room is for what is approved."""
_PLAIN = re.compile(r"(?!\")[!-~]+(?: [!-~]+)*")
_REPEATED_BLANK = re.compile(r"(?<= ) ")


def shown(value: Any) -> str:
    """Return a value of a plan on one line, so that different values look different.

    A long value is cut, with its length and hash. A text is hashed as it is, anything else as
    canonical JSON. The line has no control characters.
    """
    whole = shown_whole(value)
    if len(whole) <= MAX_VALUE:
        return whole
    return _cut(whole, value if isinstance(value, str) else canonical(value))


def shown_whole(value: Any) -> str:
    """Return a value of a plan on one line, in full length; None stands for absent."""
    if value is None:
        return NONE
    if isinstance(value, str) and not _reads_as_another(value):
        return spelled(value)
    return _as_json(value)


def spelled(text: str) -> str:
    """Return a text as it is, or quoted in ASCII with escapes if a part of it could mislead.

    That covers white space, invisible characters, those that change the reading direction, and
    letters that look like others.
    """
    return text if _PLAIN.fullmatch(text) else _as_json(text)


def spelled_short(text: str, most: int) -> str:
    """Return a text as `spelled` does; a long one is cut, with its length and hash."""
    whole = spelled(text)
    return whole if len(whole) <= most else _cut(whole, text)


def _cut(whole: str, text: str) -> str:
    return f"{whole[:BEGINNING]}\u2026 ({len(text):,} characters, sha256 {short_hash(text)})"


def short_hash(text: str) -> str:
    """Return the first digits of a text's sha256, for people to compare."""
    # JSON can hold half a surrogate pair, which is not UTF-8.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]


def hash_of_all(values: Iterable[Any]) -> str:
    """Return one hash for values that are not shown."""
    return short_hash(canonical(list(values)))


def _reads_as_another(text: str) -> bool:
    """Return whether a text would look like a value of another type, or like an absent one."""
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return text == NONE
    return True


def _as_json(value: Any) -> str:
    # A comment shows repeated blanks as one, and DEL not at all.
    written = json.dumps(value, sort_keys=True).replace("\x7f", "\\u007f")
    return _REPEATED_BLANK.sub(r"\\u0020", written)


def one_line(text: str) -> str:
    """Return a text on one line, with escapes for what cannot be printed; commands stay in marks."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c in MARKS else repr(c)[1:-1] for c in line)


def short_time(moment: str) -> str:
    """Return an RFC 3339 time to the minute, in UTC; any other text is returned on one line."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return one_line(moment) or "-"


def short_image(reference: str) -> str:
    """Return a short name of an image: of Roost's only the hash, as lists also show the version."""
    short = reference.rpartition("/")[2]
    return short.rpartition("-")[2] if is_our_image(reference) else one_line(short)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 step`, `2 steps`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def unchecked_line(secrets: Sequence[str]) -> str:
    """Return a sentence about the secrets whose values could not be compared."""
    listed = ", ".join(secrets)
    return f"Not checked, as their values are not available here: {listed}. An apply with the values sets those that changed."


def unchecked(plan: Plan) -> list[str]:
    """Return the secrets that were not checked, each with the source of its value, as plain text."""
    return [
        f"{name} (from {source_text(name, plan.sources[name])})" if name in plan.sources else name
        for name in plan.unchecked
    ]


def unproved_notes(environment: str, releases: tuple[Release, ...]) -> Iterator[str]:
    """Yield a note if the live release was not proved with its secrets, and how to prove it."""
    now = current(releases)
    if now and now.verdict is Verdict.UNPROVED:
        yield (
            f"Release {now.number} is unproved: its secrets were set while it slept, and no check has "
            f"run since. Prove it: {Command('smoke', environment)}, or {Command('wake', environment)}."
        )


def connect_line(environment: str) -> str:
    """Return the command that connects a person's own Prefect to a server, to be copied."""
    return f"Connect your Prefect: {Command('connect', environment)}"


def cost_line(cost: CostChange) -> str:
    """Return a sentence with the monthly cost, asleep to awake, before and after."""
    now, then = cost.now, cost.then
    asleep = f"asleep, and awake in windows for {then.window_hours:.0f} h"
    low = f"${then.low:.2f} ({asleep if then.window_hours else 'asleep'})"
    after = f"{low} to ${then.high:.2f} (awake) a month"
    budget = f" {cost.budget.sentence()}" if cost.budget else ""
    if (round(now.low, 2), round(now.high, 2)) == (round(then.low, 2), round(then.high, 2)):
        return f"Cost: {after}, unchanged. Prices of {cost.date}.{budget}"
    before = f"${now.low:.2f} to ${now.high:.2f}" if now.high else "nothing"
    return f"Cost: {after}, now {before}. Prices of {cost.date}.{budget}"
