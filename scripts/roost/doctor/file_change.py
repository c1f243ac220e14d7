"""A change of an environment file as a unified diff, for a person to apply. Writes nothing."""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping, Sequence

from roost.environment.edit import CannotEditError, Place, edit_places
from roost.environment.edit_remove import without
from roost.environment.load import EnvironmentFile, check
from roost.environment.scale import Value
from roost.operations.edit_file import merged

_CONTEXT_LINES = 2


def set_values(file: EnvironmentFile, values: Mapping[Place, Value]) -> str:
    """Return the diff that sets values; empty where only a person can edit the file so.

    Args:
        file: the environment; the file must still load without a fault after the change.
        values: the new values, by section and key.
    """
    try:
        content = file.path.read_bytes()
        return _diff(file, content, edit_places(content, values))
    except (OSError, CannotEditError):
        return ""


def remove_key(file: EnvironmentFile, path: Sequence[str]) -> str:
    """Return the diff that removes a key; empty where only a person can edit the file so."""
    try:
        content = file.path.read_bytes()
        return _diff(file, content, without(content, path))
    except (OSError, CannotEditError):
        return ""


def _diff(file: EnvironmentFile, before: bytes, after: bytes) -> str:
    _, faults = check(merged(file.path, after))
    if faults or before == after:
        return ""
    try:
        name = file.path.resolve().relative_to(file.repository.resolve()).as_posix()
    except ValueError:
        name = file.path.name
    # Lines as git has them: they end with \n alone, and the mark of UTF-8 is part of the first.
    old, new = (io.StringIO(text.decode(), newline="\n").readlines() for text in (before, after))
    lines = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", n=_CONTEXT_LINES)
    return "".join(map(_ended, lines)).removesuffix("\n")


def _ended(line: str) -> str:
    """Return a line as `patch` reads it: the last one of a file may have no line break."""
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
