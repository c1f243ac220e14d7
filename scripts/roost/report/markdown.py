"""Names, values and sentences as GitHub-flavoured Markdown.

Names and values come from files and from Fly, so none of them is trusted: each is shown as code or
as plain text, and can neither end a table's row, nor notify anybody, nor bring a link or HTML.
"""

from __future__ import annotations

import html
import re
from typing import Any

from roost.report.wording import one_line, shown, shown_whole, spelled, spelled_short

# What begins something in Markdown stands there as an entity. Mentions and references are found
# in the rendered text, where an entity is no protection; an invisible space after the sign is.
_TEXT = {c: f"&#{ord(c)};" for c in "\\`*_[]|~$"} | {c: f"{c}\u200b" for c in "@#"}
_LINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp):|(www)\.")


def is_plain_url(url: str) -> bool:
    """Whether an address can stand in a link: what GitHub gives as a run's address can."""
    return re.fullmatch(r"https?://[A-Za-z0-9._:/-]+", url) is not None


def code(value: str) -> str:
    """Show a value as code, whatever is in it."""
    return _span(spelled(value))


def short_code(value: str, most: int) -> str:
    """Show a name as code; one that is too long is cut, with its length and its hash."""
    return _span(spelled_short(value, most))


def value_code(value: Any, *, whole: bool = False) -> str:
    """Show a value of a plan as code: two values that differ look different."""
    return _span(shown_whole(value) if whole else shown(value))


def _span(line: str) -> str:
    if "`" in line or "|" in line:  # no span of backticks holds these safely inside a table
        inside = "".join(c if c.isalnum() else f"&#{ord(c)};" for c in line)
        return f"<code>{inside}</code>"
    return f"`{line}`"


def text(value: str) -> str:
    """Show a sentence as plain text; what we wrote in backticks in it stays code."""
    line = one_line(value)
    parts = line.split("`")
    if len(parts) % 2 == 0 or "``" in line:  # not ours: a backtick without its partner
        return _plain(line)
    return "".join(code(part) if index % 2 else _plain(part) for index, part in enumerate(parts))


def _plain(value: str) -> str:
    marked = "".join(_TEXT.get(c, c) for c in html.escape(value, quote=False))
    return _LINK.sub(lambda m: f"{m[1]}&#58;" if m[1] else f"{m[2]}&#46;", marked)
