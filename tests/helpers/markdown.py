"""Markdown as GitHub reads it."""

from __future__ import annotations

import re
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token


@lru_cache(
    maxsize=1
)  # a test asks for several kinds of one text, and parsing it is most of its time
def tokens(markdown: str) -> tuple[Token, ...]:
    """Return all tokens of a parsed text, inline ones too."""
    parsed = MarkdownIt("commonmark").enable("table").parse(markdown)
    return tuple(inner for token in parsed for inner in (token, *(token.children or ())))


def kinds(markdown: str, kind: str) -> list[Token]:
    """Return the tokens of a kind."""
    return [token for token in tokens(markdown) if token.type == kind]


def plain_texts(markdown: str) -> list[str]:
    """Return the rendered text outside of code, where GitHub looks for mentions."""
    inside, found = False, []
    for token in tokens(markdown):
        if token.type == "html_inline" and "code" in token.content:
            inside = token.content == "<code>"
        elif token.type == "text" and not inside:
            found.append(token.content)
    return found


def outside_code(markdown: str) -> str:
    """Return the source without its code."""
    return re.sub(r"`[^`]*`|<code>.*?</code>", "", markdown)
