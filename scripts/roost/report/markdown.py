"""Names, values and sentences as GitHub-flavoured Markdown.

Names and values come from files and from Fly, so none of them is trusted: each is shown as code or
as plain text, and can neither end a table's row, nor notify anybody, nor bring a link or HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from roost.errors.command import bare
from roost.report.wording import one_line, shown, shown_whole, spelled, spelled_short

# Characters with a meaning in Markdown are written as entities. GitHub finds mentions and references
# in the rendered text, where an entity does not help, so an invisible space follows those signs.
_TEXT = {c: f"&#{ord(c)};" for c in "\\`*_[]|~$"} | {c: f"{c}\u200b" for c in "@#"}
_LINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp):|(www)\.")


def is_plain_url(url: str) -> bool:
    """Return whether an address is safe in a link, as those of GitHub's runs are."""
    return re.fullmatch(r"https?://[A-Za-z0-9._:/-]+", url) is not None


def code(value: str) -> str:
    """Return any text as code."""
    return _span(spelled(value))


def short_code(value: str, most: int) -> str:
    """Return a name as code; a long one is cut, with its length and hash."""
    return _span(spelled_short(value, most))


def value_code(value: Any, *, whole: bool = False) -> str:
    """Return a value of a plan as code, so that different values look different."""
    return _span(shown_whole(value) if whole else shown(value))


def _span(line: str) -> str:
    if "`" in line or "|" in line:  # these are not safe in a span of backticks inside a table
        inside = "".join(c if c.isalnum() else f"&#{ord(c)};" for c in line)
        return f"<code>{inside}</code>"
    return f"`{line}`"


def text(value: str) -> str:
    """Return a sentence as plain text; Roost's own spans in backticks stay code.

    Commands that were not rendered yet become `roost ...`.
    """
    line = one_line(bare(value))
    parts = line.split("`")
    if len(parts) % 2 == 0 or "``" in line:  # not Roost's: backticks are not in pairs
        return _plain(line)
    return "".join(code(part) if index % 2 else _plain(part) for index, part in enumerate(parts))


def _plain(value: str) -> str:
    marked = "".join(_TEXT.get(c, c) for c in html.escape(value, quote=False))
    return _LINK.sub(lambda m: f"{m[1]}&#58;" if m[1] else f"{m[2]}&#46;", marked)


def unmarked_text(lines: Iterable[str]) -> str:
    """Return what this module wrote as plain text on one line, without headings."""
    written = (line for block in lines for line in block.splitlines())
    words = (line.removeprefix("- ") for line in written if line and not line.startswith("#"))
    return html.unescape(" ".join(words)).replace("\u200b", "").replace("`", "")
