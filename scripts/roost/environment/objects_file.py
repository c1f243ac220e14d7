"""Read the file with Prefect's own objects: work pools, limits, variables, blocks, automations.

Each entry is the body of Prefect's own REST call that creates such an object. Only its outline is
checked here: names, known fields, duplicates, secrets. The rest is Prefect's to judge, in the rehearsal
and in the apply, as it differs from one version of Prefect to another.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from roost.environment.files import mode_of, read_content
from roost.environment.prefect_objects import (
    BLOCKS,
    SECRET,
    SECTIONS,
    Json,
    ObjectsFile,
    PrefectObject,
    Section,
    secret_name,
)
from roost.environment.sops_file import leads_out
from roost.environment.yaml_source import Path as YamlPath
from roost.environment.yaml_source import Source, printable, read_source

MOST_OBJECTS = 200
MOST_TEXT = 64 * 1024
"""Bytes of the objects as compact JSON: a compressed copy is kept in the machine's metadata."""
_LONGEST_NAME = 200
_SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")


class ObjectsFileError(Exception):
    """A file cannot be used; the text is the rest of a sentence that begins with its path."""


def read_objects_file(repository: Path, path: str, secrets: Iterable[str]) -> ObjectsFile:
    """Read a file of objects and check its outline.

    Args:
        repository: the top folder of the repository.
        path: of the file in it.
        secrets: the names that its blocks may use.

    Raises:
        ObjectsFileError: it cannot be read, or has a fault; the first one is named with its line.
    """
    source = read_source(path, _content(repository, path))
    if source.faults:
        first = source.faults[0]
        raise ObjectsFileError(f"line {first.line}: {first.message}")
    for place, message in _findings(source, frozenset(secrets)):
        raise ObjectsFileError(f"line {source.value(place).line}: {printable(message)}")
    plain = json.loads(json.dumps(source.data))
    objects = tuple(
        PrefectObject(section, body) for section in SECTIONS for body in plain.get(section) or ()
    )
    if len(objects) > MOST_OBJECTS:
        raise ObjectsFileError(f"has {len(objects)} objects; at most {MOST_OBJECTS} are possible")
    if len(json.dumps([found.body for found in objects])) > MOST_TEXT:
        raise ObjectsFileError(f"has more than {MOST_TEXT // 1024} KiB of objects; shorten it")
    return ObjectsFile(path, objects)


def _content(repository: Path, path: str) -> bytes:
    place = repository / PurePosixPath(path)
    if ".." in PurePosixPath(path).parts or leads_out(place, repository):
        raise ObjectsFileError(
            "is outside of the repository; name a file in it, from its top folder"
        )
    if not mode_of(place):
        raise ObjectsFileError("is no file of this repository; the path is from its top folder")
    try:
        content = read_content(place)
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        raise ObjectsFileError(f"cannot be read: {reason}") from error
    if not content.strip():
        raise ObjectsFileError(f"is empty; its sections are {', '.join(SECTIONS)}")
    return content


def _findings(source: Source, secrets: frozenset[str]) -> Iterator[tuple[YamlPath, str]]:
    """Yield the place and the message of each fault."""
    for section, entries in source.data.items():
        if section.startswith("x-"):
            continue
        if section not in SECTIONS:
            yield (section,), f"there is no section {section}{_meant(section, SECTIONS)}"
        elif not isinstance(entries, list):
            yield (section,), f"{section} must be a list of entries, each beginning with a dash"
        else:
            yield from _in_section(section, entries, secrets)


def _in_section(
    section: str, entries: list[Any], secrets: frozenset[str]
) -> Iterator[tuple[YamlPath, str]]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        place: YamlPath = (section, index)
        if not isinstance(entry, dict):
            yield place, f"an entry of {section} must be a mapping with a name"
            continue
        yield from _outline(place, SECTIONS[section], entry)
        yield from _secrets(place, section, entry, secrets)
        known = entry.keys() >= {"name", *(["type"] if section == BLOCKS else [])}
        key = PrefectObject(section, entry).key if known else ""
        if key and key in seen:
            yield place, f"{key} is here twice; keep one"
        seen.add(key)


def _outline(place: YamlPath, kind: Section, entry: Json) -> Iterator[tuple[YamlPath, str]]:
    """Check the fields of an entry, and the form of its name."""
    for field in entry:
        if field in kind.counted:
            yield (*place, field), f"{field} is counted by Prefect; remove it"
        elif field not in kind.fields:
            yield (*place, field), f"there is no field {field} here{_meant(field, kind.fields)}"
    for field in kind.needed:
        if field not in entry:
            yield place, f"{field} is missing"
    name = entry.get("name", "x")
    if not isinstance(name, str) or not kind.name.fullmatch(name) or len(name) > _LONGEST_NAME:
        yield (*place, "name"), f"name must be a text {kind.rule}"
    if "data" in entry:
        if not isinstance(entry["data"], dict) or secret_name(entry["data"]):
            yield (*place, "data"), "data must be a mapping of the block's fields"
        if not isinstance(entry.get("type"), str) or not _SLUG.fullmatch(entry["type"]):
            yield (*place, "type"), "type must be the slug of a block type, such as slack-webhook"


def _secrets(
    place: YamlPath, section: str, entry: Json, secrets: frozenset[str]
) -> Iterator[tuple[YamlPath, str]]:
    """Check that secrets are in blocks alone, in no list, and listed in the environment."""
    for field, value in entry.items():
        allowed = section == BLOCKS and field == "data"
        for path, name, in_list in _all_secrets(value, (*place, field)):
            if not allowed:
                yield (
                    path,
                    "a secret can only be in the data of a block; Prefect shows the rest to all",
                )
            elif in_list:
                yield path, "a secret cannot be in a list; Prefect would not keep it secret there"
            elif name not in secrets:
                close = _meant(name, secrets) or "; add it there"
                yield path, f"the secret {name} is not listed in prefect.object_secrets{close}"
        if allowed:
            yield from _mixed(value, (*place, field))


def _mixed(value: object, path: YamlPath) -> Iterator[tuple[YamlPath, str]]:
    """Find a secret with other keys beside it: its name would be sent in place of its value."""
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _mixed(inner, (*path, index))
    if not isinstance(value, dict):
        return
    named = value.get(SECRET)
    if len(value) > 1 and isinstance(named, str) and _SECRET_NAME.fullmatch(named):
        message = f"a secret has no other keys beside it; write {{secret: {named}}} alone"
        yield (*path, SECRET), message
    for key, inner in value.items():
        yield from _mixed(inner, (*path, key))


def _all_secrets(
    value: object, path: YamlPath, *, in_list: bool = False
) -> Iterator[tuple[YamlPath, str, bool]]:
    if name := secret_name(value):
        yield path, name, in_list
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _all_secrets(inner, (*path, key), in_list=in_list)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _all_secrets(inner, (*path, index), in_list=True)


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
