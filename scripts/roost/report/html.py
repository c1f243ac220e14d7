"""Build HTML and SVG from parts, so that every text is escaped unless it is a part itself. Pure."""

from __future__ import annotations

import html

from roost.report.wording import one_line

EMPTY = frozenset({"meta", "rect", "line", "circle"})
"""Elements without an end tag; SVG's are written as XML."""


class Part(str):
    """Markup that `element` made. Any other text is escaped where it is put in."""

    __slots__ = ()


def escaped(text: str) -> Part:
    """Return a text as it stands in an element or an attribute; on one line, controls as escapes."""
    if isinstance(text, Part):
        return text
    return Part(html.escape(one_line(text), quote=True))


def element(name: str, /, *inside: str, **attributes: object) -> Part:
    """Return an element.

    Args:
        name: its name, written here and never data.
        inside: what it holds: parts, and texts, which are escaped.
        attributes: by their names, with `_` for `-`; a trailing `_` is dropped. None is left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in EMPTY:
        return Part(f"<{name}{given}/>")
    return Part(f"<{name}{given}>{joined(*inside)}</{name}>")


def joined(*parts: str) -> Part:
    """Return parts one after the other, each on a line of its own where there are several."""
    return Part("\n".join(map(escaped, parts)))
