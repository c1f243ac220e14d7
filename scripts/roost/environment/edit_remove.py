"""Remove a key from the text of an environment file, and no other byte. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import yaml

from roost.environment.edit import BOM, LOADER, CannotEditError, Pair, times_used
from roost.environment.yaml_source import decode, read_source

_REST = re.compile(r"[ \t]*(#[^\n]*)?\r?(\n|\Z)")


def without(content: bytes, path: Sequence[str]) -> bytes:
    """Return a file's bytes without the key at a path; a mapping that it leaves empty goes with it.

    Args:
        content: the content of a file that loads without a fault.
        path: the names of the keys, from the top of the file.

    Raises:
        CannotEditError: the key is not in the file itself, is shared through an anchor, or is written
            in a form that cannot be removed by itself.
    """
    text = decode(content)
    pairs, mappings = _walk(text, path)
    while len(pairs) > 1 and len(mappings[-1].value) == 1:
        pairs, mappings = pairs[:-1], mappings[:-1]
    start, end = _span(text, mappings[-1], pairs[-1])
    edited = (BOM if content.startswith(BOM) else b"") + (text[:start] + text[end:]).encode()
    _check_meaning(content, edited, path[: len(pairs)])
    return edited


def _walk(text: str, path: Sequence[str]) -> tuple[list[Pair], list[yaml.MappingNode]]:
    """Return the pair of each name of a path, and the mapping that holds each."""
    node = yaml.compose(text, Loader=LOADER)
    used = times_used(node) if node else {}
    pairs: list[Pair] = []
    mappings: list[yaml.MappingNode] = []
    for name in path:
        found = node.value if isinstance(node, yaml.MappingNode) else ()
        pair = next((pair for pair in found if pair[0].value == name), None)
        if pair is None or not isinstance(node, yaml.MappingNode):
            raise CannotEditError(node, f"{'.'.join(path)} is not in this file")
        if used[id(pair[1])] > 1:
            raise CannotEditError(pair[1], f"{name} is shared through an anchor (& and *)")
        pairs.append(pair)
        mappings.append(node)
        node = pair[1]
    return pairs, mappings


def _span(text: str, mapping: yaml.MappingNode, pair: Pair) -> tuple[int, int]:
    """Return what to cut: whole lines of a block, or a pair of braces with its comma."""
    start, end = int(pair[0].start_mark.index), _end_of(pair[1])
    if not mapping.flow_style:
        begin = text.rfind("\n", 0, start) + 1
        rest = _REST.match(text, end)
        is_whole = not text[begin:start].strip(" ")
        at_line_start = end > 0 and text[end - 1] == "\n"  # a block value ends there
        if not is_whole or (rest is None and not at_line_start):
            raise CannotEditError(pair[0], f"{pair[0].value} shares its line")
        return begin, end if at_line_start or rest is None else rest.end()
    place = mapping.value.index(pair)
    if place + 1 < len(mapping.value):
        return start, int(mapping.value[place + 1][0].start_mark.index)
    if place:
        return int(mapping.value[place - 1][1].end_mark.index), end
    return start, end


def _end_of(node: yaml.Node) -> int:
    """Return where the text of a value ends; a block's own end is the next key, past others' comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end_of(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _check_meaning(before: bytes, after: bytes, path: Sequence[str]) -> None:
    """Check that the edited file parses to the old values without that one."""
    new = read_source("", after)
    wanted: Any = deepcopy(read_source("", before).data)
    place = wanted
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    if new.faults or new.data != wanted:
        raise CannotEditError(None, f"{'.'.join(path)} cannot be removed by itself")
