"""Change values in the text of an environment file, and only the bytes of those values.

Comments, order, quotes, anchors and line ends stay. Missing keys are inserted in the style of their
neighbours. A value that an anchor shares between several places is left to a person.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from roost.environment.model import Environment
from roost.environment.scale import SECTIONS, Fields, Value
from roost.environment.yaml_source import decode, read_source

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same loader that reads the files
BOM = b"\xef\xbb\xbf"
_ANCHOR = re.compile(r"&[^\s,\[\]{}]+\s+")
_ALIAS = re.compile(r"\s*:\s+\*[^\s,\[\]{}]+")
_COMMENT = re.compile(r"[ \t]*(#[^\n]*)?\r?")
_REST = re.compile(r"[ \t]*(?P<comma>,)?[ \t]*(?P<comment>#[^\n]*)?\r?(?=\n|\Z)")
_COMMENT_LINE = re.compile(r"(?P<indent> +)#[^\n]*(\n|\Z)")
Pair = tuple[yaml.Node, yaml.Node]
Place = tuple[str, str]
"""A section of the file, and a key in it."""


class CannotEditError(Exception):
    """A value cannot be changed without changing more; has the line and the reason."""

    def __init__(self, node: yaml.Node | None, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1 if node and node.start_mark else 1


class Splice(NamedTuple):
    """A text that replaces the characters between two offsets."""

    start: int
    end: int
    text: str


def edit(content: bytes, fields: Fields) -> bytes:
    """Return the file's bytes with new values in scaling fields.

    Args:
        content: the content of a file that loads without a fault.
        fields: the new values.

    Raises:
        CannotEditError: a value is shared between places, or written in an unsupported form.
    """
    return edit_places(content, {(SECTIONS[name], name): value for name, value in fields.items()})


def edit_places(content: bytes, values: Mapping[Place, Value]) -> bytes:
    """Return the file's bytes with new values at these places.

    Args:
        content: the content of a file that loads without a fault.
        values: the new values; a text must need no quotes in YAML, unless the old one has them.

    Raises:
        CannotEditError: a value is shared between places, or written in an unsupported form.
    """
    for (section, key), value in values.items():
        content = _edit_one(content, section, key, value)
    return content


def _edit_one(content: bytes, section: str, key: str, value: Value) -> bytes:
    text = decode(content)
    root = yaml.compose(text, Loader=LOADER)
    if not isinstance(root, yaml.MappingNode):
        raise CannotEditError(root, "the file is not a mapping")
    start, end, new = _Editor(text, root, times_used(root)).splice(section, key, value)
    bom = BOM if content.startswith(BOM) else b""
    edited = bom + (text[:start] + new + text[end:]).encode()
    _check_meaning(content, edited, section, key, value)
    return edited


def _check_meaning(before: bytes, after: bytes, section: str, key: str, value: Value) -> None:
    """Check that the edited file parses to the old values with the one new value."""
    old, new = read_source("", before), read_source("", after)
    wanted = deepcopy(old.data)
    wanted.setdefault(section, {})[key] = value
    if new.faults or new.data != wanted:
        raise CannotEditError(None, f"{section}.{key} is written in a form that cannot be edited")


def times_used(root: yaml.Node) -> Counter[int]:
    """Count the places of each node; an alias is another place of its node."""
    used: Counter[int] = Counter()

    def visit(node: yaml.Node) -> None:
        used[id(node)] += 1
        if used[id(node)] == 1:
            for child in _children(node):
                visit(child)

    visit(root)
    return used


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


@dataclass(frozen=True)
class _Editor:
    """Finds the one splice that sets a value in a text."""

    text: str
    root: yaml.MappingNode
    used: Counter[int]

    @property
    def newline(self) -> str:
        """The line end of the file."""
        return "\r\n" if "\r\n" in self.text else "\n"

    def splice(self, section: str, key: str, value: Value) -> Splice:
        """Return the splice that sets `section.key`."""
        place = self.find(self.root, section)
        if place is None:
            return self.new_section(section, key, value)
        mapping = place[1]
        self.check_own(mapping, section)
        if not isinstance(mapping, yaml.MappingNode):
            raise CannotEditError(mapping, f"{section} is not a mapping")
        pair = self.find(mapping, key)
        if pair is None:
            return self.new_key(mapping, key, value, after=_scalars(mapping))
        self.check_own(pair[1], f"{section}.{key}")
        return self.replaced(pair[1], f"{section}.{key}", value)

    def find(self, mapping: yaml.MappingNode, name: str) -> Pair | None:
        """Find a key that is written in a mapping itself.

        Raises:
            CannotEditError: the key comes from another mapping, through a merge key.
        """
        for key, value in mapping.value:
            if key.value == name:
                return key, value
        for key, value in mapping.value:
            if _is_merge(key) and name in _names_in(value):
                raise CannotEditError(
                    key, f"{name} comes through <<; write it out where it belongs"
                )
        return None

    def check_own(self, node: yaml.Node, name: str) -> None:
        """Refuse a node with several places: a change here would change the other places."""
        if self.used[id(node)] > 1:
            raise CannotEditError(
                node,
                f"{name} is shared through an anchor (& and *); write it out where it belongs",
            )

    # Replacing an existing value

    def replaced(self, node: yaml.Node, name: str, value: Value) -> Splice:
        """Return the splice that replaces a value; its quotes stay."""
        start, end = _start(node), _end(node)
        anchor = _ANCHOR.match(self.text, start, end)
        start = anchor.end() if anchor else start
        if not isinstance(node, yaml.ScalarNode) or node.style in {"|", ">"}:
            raise CannotEditError(node, f"{name} is not written on one line")
        quote = node.style or ""
        return Splice(start, end, f"{quote}{value}{quote}")

    # Adding a missing key

    def new_key(
        self, mapping: yaml.MappingNode, key: str, value: Value, after: list[Pair]
    ) -> Splice:
        """Return the splice that adds a key to a mapping, after the last of these pairs."""
        if mapping.flow_style:
            return self.in_flow(mapping, key, str(value))
        return self.in_block((after or mapping.value)[-1], [f"{key}: {value}"])

    def new_section(self, section: str, key: str, value: Value) -> Splice:
        """Return the splice that adds a section with one key, at its place in the order of sections."""
        if self.root.flow_style:
            quote = _quote(self.root)
            return self.in_flow(
                self.root, section, f"{{{quote}{key}{quote}: {_json(quote, value)}}}"
            )
        before = list(Environment.model_fields)
        before = before[: before.index(section)]
        earlier = [pair for pair in self.root.value if pair[0].value in before]
        chosen = max(earlier, key=lambda p: before.index(p[0].value), default=self.root.value[-1])
        blank = [""] if self.blank_between() else []
        return self.in_block(chosen, [*blank, f"{section}:", f"{' ' * self.step()}{key}: {value}"])

    def in_block(self, pair: Pair, lines: list[str]) -> Splice:
        """Return the splice that adds lines below a pair, indented like its key."""
        key = pair[0]
        indent = key.start_mark.column
        if self.line_before(_start(key)).strip(" "):  # a `? ` or `- ` before the key
            raise CannotEditError(key, f"nothing can be added below {key.value}")
        position = self.below(self.content_end(pair), indent)
        written = self.newline.join(f"{' ' * indent}{line}" if line else "" for line in lines)
        if position and self.text[position - 1] != "\n":  # the last line has no line break
            return Splice(position, position, f"{self.newline}{written}")
        return Splice(position, position, f"{written}{self.newline}")

    def below(self, offset: int, indent: int) -> int:
        """Return where the next line begins, after comments that are indented deeper."""
        rest = _COMMENT.match(self.text, offset)
        position = rest.end() if rest else offset
        if position < len(self.text) and self.text[position] != "\n":
            raise CannotEditError(None, "there is text where a line should end")
        position = min(position + 1, len(self.text))
        while found := _COMMENT_LINE.match(self.text, position):
            if len(found["indent"]) <= indent:
                break
            position = found.end()
        return position

    def content_end(self, pair: Pair) -> int:
        """Return where the text of a pair ends, without the comments and blank lines below."""
        key, node = pair
        if _start(node) < _start(key):  # the node is at its anchor, and this place has an alias
            alias = _ALIAS.match(self.text, _end(key))
            if alias is None:
                raise CannotEditError(key, f"the alias under {key.value} cannot be read")
            return alias.end()
        if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
            if not self.text.endswith("\n") and _end(node) == len(self.text):
                raise CannotEditError(node, "the last line has no line break; add one")
            return len(self.text[: _end(node)].rstrip())
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self.content_end(last if isinstance(last, tuple) else (key, last))
        return _end(node)

    def in_flow(self, mapping: yaml.MappingNode, key: str, value: str) -> Splice:
        """Return the splice that adds a key in braces, on its own line where the others have one."""
        quote = _quote(mapping)
        entry = f"{quote}{key}{quote}: {value}"
        if quote and not value.startswith("{"):
            entry = f"{quote}{key}{quote}: {_json(quote, value)}"
        if not mapping.value:
            inside = self.text.index("{", _start(mapping)) + 1
            return Splice(inside, inside, entry)
        last = mapping.value[-1]
        begin, end = _start(last[0]), self.content_end(last)
        indent = self.line_before(begin)
        rest = _REST.match(self.text, end)
        if indent.strip(" ") or rest is None:
            return Splice(end, end, f", {entry}")
        if not rest["comment"]:
            return Splice(end, end, f",{self.newline}{indent}{entry}")
        if not rest["comma"]:
            return Splice(begin, begin, f"{entry},{self.newline}{indent}")
        below = rest.end() + 1
        return Splice(below, below, f"{indent}{entry},{self.newline}")

    def line_before(self, offset: int) -> str:
        """Return the text before an offset on its line."""
        return self.text[self.text.rfind("\n", 0, offset) + 1 : offset]

    # Style

    def blank_between(self) -> bool:
        """Return whether sections have a blank line between them."""
        lines = self.text.splitlines()
        sections = [k.start_mark.line for k, v in self.root.value[1:] if not _is_scalar(v)]
        return any(not lines[self.head(lines, line) - 1].strip() for line in sections)

    def head(self, lines: list[str], line: int) -> int:
        """Return the first line of the comment above a line, or the line itself."""
        while line > 1 and lines[line - 1].lstrip().startswith("#"):
            line -= 1
        return line

    def step(self) -> int:
        """Return the number of spaces by which the file indents."""
        for key, value in self.root.value:
            if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
                step = value.value[0][0].start_mark.column - key.start_mark.column
                if step > 0 and _start(value) > _start(key):
                    return int(step)
        return 2


def _scalars(mapping: yaml.MappingNode) -> list[Pair]:
    return [(key, value) for key, value in mapping.value if _is_scalar(value)]


def _is_scalar(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and not key.style


def _names_in(node: yaml.Node) -> set[str]:
    """Return every key that a merge adds, including those that its mappings merge in turn."""
    mappings = node.value if isinstance(node, yaml.SequenceNode) else [node]
    names: set[str] = set()
    for mapping in mappings:
        if isinstance(mapping, yaml.MappingNode):
            for key, value in mapping.value:
                names |= _names_in(value) if _is_merge(key) else {str(key.value)}
    return names


def _quote(mapping: yaml.MappingNode) -> str:
    """Return the quotes of a mapping's keys, as in JSON; empty where they have none."""
    return mapping.value[-1][0].style or "" if mapping.value else ""


def _json(quote: str, value: Value) -> str:
    """Write a value in the style of its neighbours: text is quoted where keys are."""
    text = str(value)
    return text if not quote or text.isdigit() else f"{quote}{text}{quote}"


def _start(node: yaml.Node) -> int:
    return int(node.start_mark.index)


def _end(node: yaml.Node) -> int:
    return int(node.end_mark.index)
