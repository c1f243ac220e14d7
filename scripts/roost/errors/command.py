"""Commands of Roost inside texts for people, as values that each edge writes in its own way. Pure.

A message holds `Command("apply", name)` in an f-string. Each edge (terminal, JSON, Markdown) passes the
text once through `rendered`, which writes `./run roost apply NAME --local` or `roost apply NAME`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Private use of the last plane of Unicode: no font has these characters, and no keyboard.
BEGIN = "\U0010fa10"
END = "\U0010fa11"
MARKS = frozenset((BEGIN, END))
"""The characters around a command in a text. Texts of others are cleared of them."""
TAKE_LOCAL = frozenset(
    {
        *("plan", "apply", "secrets", "smoke", "status", "sleep", "wake", "backup", "backups"),
        *("scale", "releases", "rollback", "restore", "destroy", "drift", "connect"),
        *("tick", "exec", "logs", "open", "migrate", "import", "doctor"),
    }
)
"""The commands that have the option `--local`; a test compares them with the command line."""
_NAME = "roost"
_SETTLED = frozenset({"--local", "--help"})
_MARKED = re.compile(f"{BEGIN}{_NAME} ([^{BEGIN}{END}]*){END}")
_ANY_MARK = re.compile(f"[{BEGIN}{END}]")


@dataclass(frozen=True)
class Style:
    """How one edge writes commands.

    Args:
        prefix: what is typed for `roost`.
        local: whether the text is about the local Fly, so that commands get `--local`.
    """

    prefix: str = _NAME
    local: bool = False


BARE = Style()
"""For JSON, logs of workflows and pull requests: `roost plan staging`."""
TYPED = Style("./run roost")
"""As it is typed in a checkout: `./run roost plan staging`."""
TYPED_LOCAL = Style("./run roost", local=True)
"""The same, for the local Fly: `./run roost plan staging --local`."""


class Command:
    """A command of Roost, such as `Command("releases", name, "--clear", 3)`, quoted for a shell.

    In an f-string it stands between two marks, and `rendered` writes it for its reader.

    Args:
        words: the command and its arguments; a command of a group is two words.
    """

    __slots__ = ("words",)

    def __init__(self, *words: object) -> None:
        self.words = tuple(map(str, words))

    @property
    def typed(self) -> str:
        """The command as it is typed in a checkout: for shell lines, and for files."""
        return self.written(TYPED)

    def written(self, style: Style) -> str:
        """Return the command in one style. `--local` stands before the other options."""
        words = list(self.words)
        if style.local and self._takes_local:
            options = (place for place, word in enumerate(words) if word.startswith("-"))
            words.insert(next(options, len(words)), "--local")
        return f"{style.prefix} {shlex.join(words)}"

    @property
    def _takes_local(self) -> bool:
        """Whether it can be run on the local Fly; not if it names its Fly, or a server's address."""
        settled = not _SETTLED.isdisjoint(self.words) or any("://" in word for word in self.words)
        return self.words[:1] != () and self.words[0] in TAKE_LOCAL and not settled

    def __str__(self) -> str:
        return f"{BEGIN}{self.written(BARE)}{END}"

    def __repr__(self) -> str:
        return f"Command({', '.join(map(repr, self.words))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Command) and other.words == self.words

    def __hash__(self) -> int:
        return hash((Command, self.words))


@dataclass(frozen=True)
class Part:
    """A part of a text to be replaced: from `start` to `end`."""

    start: int
    end: int
    words: str


def rendered(text: str, style: Style) -> str:
    """Return a text without marks, with its commands written in one style; the rest is unchanged."""
    for part in reversed(tuple(parts(text, style))):
        text = f"{text[: part.start]}{part.words}{text[part.end :]}"
    return text


def parts(text: str, style: Style) -> Iterator[Part]:
    """Yield what `rendered` replaces, in order. A mark that belongs to no command is removed."""
    place = 0
    for found in _MARKED.finditer(text):
        yield from _stray(text, place, found.start())
        yield Part(found.start(), found.end(), _command(found[1], style))
        place = found.end()
    yield from _stray(text, place, len(text))


def bare(text: str) -> str:
    """Return a text without marks, and its commands as `roost ...`."""
    return rendered(text, BARE) if has_marks(text) else text


def has_marks(text: str) -> bool:
    """Return whether a text holds a command that is not yet rendered, or a stray mark."""
    return _ANY_MARK.search(text) is not None


def unmarked(text: str) -> str:
    """Return a text of somebody else, in which nothing can pass for a command."""
    return _ANY_MARK.sub("", text)


def bare_document(value: Any) -> Any:
    """Return a JSON document with every text of it as `bare` returns it; keys stay."""
    if isinstance(value, str):
        return bare(value)
    if isinstance(value, Mapping):
        return {key: bare_document(item) for key, item in value.items()}
    return [bare_document(item) for item in value] if isinstance(value, list | tuple) else value


def _command(words: str, style: Style) -> str:
    try:
        return Command(*shlex.split(words)).written(style)
    except ValueError:  # a text that was cut within a quoted word
        return f"{_NAME} {words}"


def _stray(text: str, start: int, end: int) -> Iterator[Part]:
    for found in _ANY_MARK.finditer(text, start, end):
        yield Part(found.start(), found.end(), "")
