"""The words that a terminal and a pull request share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from roost.plan.cost import CostChange
from roost.plan.document import canonical
from roost.plan.image import is_our_image
from roost.plan.releases import Release, Verdict, current
from roost.plan.secrets import source_text
from roost.plan.steps import Plan

MAX_VALUE = 60
BEGINNING = 32
HASH_DIGITS = 24
"""As many as a seal has. Who writes a value can try many, and shorter hashes would soon meet."""
NONE = "(none)"
_PLAIN = re.compile(r"(?!\")[!-~]+(?: [!-~]+)*")
_REPEATED_BLANK = re.compile(r"(?<= ) ")


def shown(value: Any) -> str:
    """Show a value of a plan on one line: two values that differ look different.

    What is too long is cut, with its length and its hash. A text is hashed as it is, anything else
    as canonical JSON. Nothing in the line is a character that a terminal would obey.
    """
    whole = shown_whole(value)
    if len(whole) <= MAX_VALUE:
        return whole
    return _cut(whole, value if isinstance(value, str) else canonical(value))


def shown_whole(value: Any) -> str:
    """Show a value of a plan on one line and whole; None stands for absent."""
    if value is None:
        return NONE
    if isinstance(value, str) and not _reads_as_another(value):
        return spelled(value)
    return _as_json(value)


def spelled(text: str) -> str:
    """Write a text so that all of it can be seen: as it is, else quoted, in ASCII and with escapes.

    So nothing hides in white space, in characters that show nothing or change the direction of
    reading, or in letters that look like others.
    """
    return text if _PLAIN.fullmatch(text) else _as_json(text)


def spelled_short(text: str, most: int) -> str:
    """Write a text as `spelled` does; one that is too long is cut, with its length and its hash."""
    whole = spelled(text)
    return whole if len(whole) <= most else _cut(whole, text)


def _cut(whole: str, text: str) -> str:
    return f"{whole[:BEGINNING]}\u2026 ({len(text):,} characters, sha256 {short_hash(text)})"


def short_hash(text: str) -> str:
    """Return the first digits of a text's sha256, for people to compare."""
    # Half a surrogate pair, which JSON can hold, is no UTF-8.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]


def hash_of_all(values: Iterable[Any]) -> str:
    """Return one hash for values that are not shown."""
    return short_hash(canonical(list(values)))


def _reads_as_another(text: str) -> bool:
    """Whether a text as it is would be taken for a value that is no text, or for none."""
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return text == NONE
    return True


def _as_json(value: Any) -> str:
    # Blanks beside each other look like one in a comment, and what is deleted like nothing.
    written = json.dumps(value, sort_keys=True).replace("\x7f", "\\u007f")
    return _REPEATED_BLANK.sub(r"\\u0020", written)


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
    """Return which values could not be compared, each with its source, and where they can be."""
    listed = ", ".join(secrets)
    return f"Not checked, because the values are not here: {listed}. An apply that has them sets what changed."


def unchecked(plan: Plan) -> list[str]:
    """Return the secrets that were not checked as plain text, each with where its value comes from."""
    return [
        f"{name} (from {source_text(name, plan.sources[name])})" if name in plan.sources else name
        for name in plan.unchecked
    ]


def unproved_notes(environment: str, releases: tuple[Release, ...]) -> Iterator[str]:
    """Report that the live release was not proved with its secrets, and what proves it."""
    now = current(releases)
    if now and now.verdict is Verdict.UNPROVED:
        yield (
            f"Release {now.number} is unproved: its secrets were set while it slept, and nothing has "
            f"seen it run with them. Prove it: roost smoke {environment}, or roost wake {environment}."
        )


def cost_line(cost: CostChange) -> str:
    """Return what it costs a month, asleep to awake, now and then."""
    now, then = cost.now, cost.then
    after = f"${then.low:.2f} (asleep) to ${then.high:.2f} (awake) a month"
    if (round(now.low, 2), round(now.high, 2)) == (round(then.low, 2), round(then.high, 2)):
        return f"Cost: {after}, unchanged. Prices of {cost.date}."
    before = f"${now.low:.2f} to ${now.high:.2f}" if now.high else "nothing"
    return f"Cost: {after}, now {before}. Prices of {cost.date}."
