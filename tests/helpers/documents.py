"""The project's own Markdown pages: their code blocks, links and headings."""

from __future__ import annotations

import functools
import itertools
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its language, its text and the line where it begins."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return every page that a reader finds from the README, generated ones too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [ROOT / name for name in sorted(names) if not name.startswith("tests/")]


def parse(page: Path):
    """Return the tokens of a page as GitHub's Markdown reads it."""
    return _tokens(page.read_text("utf-8"))


@functools.cache
def _tokens(text: str):
    """Parse a text once, though several modules of tests look at each page when they are imported."""
    return MarkdownIt("commonmark").enable("table").parse(text)


def blocks(page: Path) -> Iterator[Block]:
    """Return the fenced blocks of a page, those in lists and quotes too."""
    name = str(page.relative_to(ROOT))
    for token in parse(page):
        if token.type == "fence":
            line = token.map[0] + 1 if token.map else 0
            yield Block(name, line, token.info.strip(), token.content)


def inline(page: Path, kind: str):
    """Return the inline tokens of one kind, such as `code_inline` or `link_open`."""
    for token in parse(page):
        yield from (child for child in token.children or () if child.type == kind)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    tokens, found = parse(page), set()
    for heading, text in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            words = "".join(c.content for c in text.children or () if c.type != "softbreak")
            found.add(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
    return found
