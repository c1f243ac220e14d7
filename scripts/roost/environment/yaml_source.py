"""Read YAML strictly, as plain data with the line and column of every key and value.

The text is checked before anything is built from it (size, encoding, characters, depth, aliases,
tags, documents), so that no file can hang, crash or control the reader. Scalars follow YAML 1.2:
`no`, `on` and `1_000` are text; only true, false, null and decimal numbers are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import yaml

from roost.errors import Fault

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_MESSAGE = 600
Path = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]{1,3})?", re.ASCII)
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
# Characters that make a text look different from what is read.
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff"
# One expression, so that one pass finds them all: tabs that indent, hiding and control characters.
_OBJECTIONABLE = re.compile(rf"^ *\t|[{_BIDI}{_CONTROL}]|\r(?!\n)", re.MULTILINE)
# The markers of a merge conflict in git.
_CONFLICT = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)


class SourceInt(int):
    """A number that remembers how it was written."""

    source: str

    @classmethod
    def read(cls, source: str) -> Self:
        """Read `source`, which matches the pattern of a decimal integer."""
        number = cls(source)
        number.source = source
        return number


class SourceFloat(float):
    """A number that remembers how it was written, such as `3.10`."""

    source: str

    @classmethod
    def read(cls, source: str) -> Self:
        """Read `source`, which matches the pattern of a decimal fraction."""
        number = cls(source)
        number.source = source
        return number


class RefusedError(Exception):
    """The text is refused; has the place and the reason."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


@dataclass(frozen=True)
class Position:
    """A place in a file: line and column, both from 1."""

    path: str
    line: int
    column: int

    def fault(self, message: str) -> Fault:
        """Return a fault at this place."""
        return Fault(self.path, self.line, self.column, printable(message))


def printable(text: str) -> str:
    """Escape characters that a terminal would interpret, and cut a long text."""
    short = text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)


@dataclass(frozen=True)
class Source:
    """One YAML mapping as plain data, with the place of each part."""

    path: str
    data: dict[str, Any]
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def key(self, path: Path) -> Position:
        """Return the position of a key, or of its nearest parent."""
        return self._nearest(self.keys, path)

    def value(self, path: Path) -> Position:
        """Return the position of a value, or of its nearest parent."""
        return self._nearest(self.values, path)

    def _nearest(self, positions: dict[Path, Position], path: Path) -> Position:
        while path and path not in positions:
            path = path[:-1]
        return positions.get(path) or Position(self.path, 1, 1)


def read_source(path: str, content: bytes) -> Source:
    """Read a file's content; errors are returned as faults, never raised."""
    try:
        text = decode(content)
        judge_events(text)
        node = yaml.compose(text, Loader=_LOADER)
        return _Builder(path).build(node)
    except RefusedError as refused:
        return _refused(path, refused.line, refused.column, refused.message)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return _refused(path, line, column, _explain(error))
    except yaml.YAMLError as error:
        return _refused(path, 1, 1, f"is not YAML: {str(error).splitlines()[0]}")


def _refused(path: str, line: int, column: int, message: str) -> Source:
    return Source(path, {}, faults=(Position(path, line, column).fault(message),))


def decode(content: bytes) -> str:
    """Return the file's text.

    Raises:
        RefusedError: it is too large, not UTF-8, or has characters that mislead a reader.
    """
    if len(content) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES // 1024} KiB; an environment file is a page or two"
        raise RefusedError(1, 1, message)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise RefusedError(
            line, column, f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    _judge_characters(text)
    return text


def _judge_characters(text: str) -> None:
    conflict = _CONFLICT.search(text)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise RefusedError(line, 1, "a merge conflict was left here; resolve it")
    found = _OBJECTIONABLE.search(text)
    if found is None:
        return
    position = found.end() - 1  # the tab, where blanks precede it
    line_start = text.rfind("\n", 0, position) + 1
    line, column = text.count("\n", 0, position) + 1, position - line_start + 1
    raise RefusedError(line, column, _objection(text[position]))


def _objection(character: str) -> str:
    if character == "\t":
        return "a tab; YAML indents with spaces"
    if character in _BIDI:
        return f"U+{ord(character):04X} changes the reading direction and can hide text; remove it"
    return f"U+{ord(character):04X} is a control character; remove it"


def judge_events(text: str) -> None:
    """Refuse deep nesting, tags and several documents before anything is built.

    Raises:
        RefusedError: with the place of the first one.
    """
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line, column = _place(event)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise RefusedError(line, column, "a second document; one file is one environment")
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                message = f"nested more than {MAX_DEPTH} deep; no environment needs that"
                raise RefusedError(line, column, message)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag:
            raise RefusedError(line, column, f"the tag {tag} is not allowed; write plain values")


class _Builder:
    """Builds plain data from nodes, and collects positions and faults."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._keys: dict[Path, Position] = {}
        self._values: dict[Path, Position] = {}
        self._faults: list[Fault] = []
        self._nodes = 0

    def build(self, node: yaml.Node | None) -> Source:
        if node is None:
            raise RefusedError(
                1, 1, "is empty; an environment needs at least app, region and prefect"
            )
        if not isinstance(node, yaml.MappingNode):
            raise RefusedError(
                *_place(node), "must be a mapping of keys to values, such as app: acme"
            )
        data = self._value(node, ())
        return Source(self._path, data, self._keys, self._values, tuple(self._faults))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._bound(node, len(path))
        self._values.setdefault(path, self._position(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return read_scalar(node) if isinstance(node, yaml.ScalarNode) else None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in self._pairs(node):
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self._fault(key_node, "a key must be a plain word, not a list or mapping")
            elif key in data:
                first = self._keys[(*path, key)]
                self._fault(
                    key_node, f"{key} is written here twice, first in line {first.line}; keep one"
                )
            else:
                self._keys[(*path, key)] = self._position(key_node)
                data[key] = self._value(value_node, (*path, key))
        return data

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Return written pairs, then those that a merge key (`<<`) adds; a clash is a fault."""
        merges = [pair for pair in node.value if _is_merge(pair[0])]
        yield from (pair for pair in node.value if not _is_merge(pair[0]))
        taken = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
        for merge, source in merges:
            mappings = source.value if isinstance(source, yaml.SequenceNode) else [source]
            for mapping in mappings:
                if not isinstance(mapping, yaml.MappingNode):
                    self._fault(merge, "<< merges mappings only; give it an alias of one, as *name")
                    continue
                for key, value in self._merged(mapping):
                    if getattr(key, "value", None) in taken:
                        message = (
                            f"<< adds {key.value}, which is written here too; keep one of them"
                        )
                        self._fault(merge, message)
                        continue
                    taken.add(getattr(key, "value", None))
                    yield key, value

    def _merged(
        self, mapping: yaml.MappingNode, depth: int = 0
    ) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Return the pairs that a merge adds, including those that its mapping merges in turn."""
        self._bound(mapping, depth)
        for key, value in mapping.value:
            if not _is_merge(key):
                yield key, value
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    yield from self._merged(source, depth + 1)

    def _bound(self, node: yaml.Node, depth: int) -> None:
        """Limit the work: aliases can expand a short text enormously, and one may contain itself."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise RefusedError(*_place(node), "expands to too much; use fewer aliases (*name)")

    def _position(self, node: yaml.Node) -> Position:
        return Position(self._path, *_place(node))

    def _fault(self, node: yaml.Node, message: str) -> None:
        self._faults.append(self._position(node).fault(message))


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and not key.style


def _place(part: yaml.Node | yaml.Event) -> tuple[int, int]:
    mark = part.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def read_scalar(node: yaml.ScalarNode) -> Any:
    """Read a scalar by the core schema of YAML 1.2; anything quoted or ambiguous is text."""
    text: str = node.value
    if node.style:
        return text
    if text.lower() in _CONSTANTS and text in (text.lower(), text.upper(), text.capitalize()):
        return _CONSTANTS[text.lower()]
    if _INT.fullmatch(text):
        return SourceInt.read(text)
    if _FLOAT.fullmatch(text):
        return SourceFloat.read(text)
    return text


def _explain(error: yaml.MarkedYAMLError) -> str:
    """Return the parser's error, with a hint."""
    problem = error.problem or "is not YAML"
    if "undefined alias" in problem:
        return f"{problem}; name it first with & under a key that begins with x-"
    if "second occurrence" in problem:
        return "an anchor (&name) with a name that was used before; choose another one"
    return f"is not YAML here: {problem}; check the indentation, quotes and colons of this line"
