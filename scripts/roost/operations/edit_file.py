"""`roost scale --permanent`: change values in an environment file, and no other byte of it."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from roost.environment.edit import CannotEditError, edit
from roost.environment.load import DEFAULTS, EnvironmentFile, check, merge_defaults
from roost.environment.scale import SECTIONS, Fields, value_of, with_fields
from roost.environment.yaml_source import Source, read_source
from roost.errors import ChangedMeanwhileError, ExitCode, UnappliableError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.report.wording import one_line


def scale_for_good(
    context: Context, file: EnvironmentFile, fields: Fields, reason: str, *, as_json: bool
) -> ExitCode:
    """Write new values into the file; Fly is not called.

    Raises:
        UnappliableError: the values have a form that only a person can edit.
        ChangedMeanwhileError: the file changed during the edit.
    """
    old = {name: value_of(file.environment, name) for name in fields}
    changed = {name: value for name, value in fields.items() if old[name] != value}
    if changed:
        rewrite(file, changed)
    if as_json:
        context.out.print_json(json.dumps(_document(file, old, fields, reason)))
        return ExitCode.DONE
    for name, value in fields.items():
        change = f"{SECTIONS[name]}.{name}: {old[name]}"
        change += f" -> {value}" if name in changed else ", as before"
        context.out.print(f"{file.path}: {change}", markup=False, soft_wrap=True)
    if changed:
        context.out.print(_next(file, changed, reason), markup=False, soft_wrap=True)
    return ExitCode.DONE


def rewrite(file: EnvironmentFile, fields: Fields) -> None:
    """Put values into a file atomically, and check the result first.

    Raises:
        UnappliableError: see `scale_for_good`.
        ChangedMeanwhileError: see `scale_for_good`.
    """
    path = file.path.resolve()  # the target of a link, not the link
    content = path.read_bytes()
    try:
        edited = edit(content, fields)
    except CannotEditError as error:
        names = " and ".join(f"{SECTIONS[n]}.{n}: {v}" for n, v in fields.items())
        raise UnappliableError(
            f"{error}.", where=f"{file.path}:{error.line}", advice=f"Then write {names} by hand."
        ) from error
    environment, faults = check(merged(file.path, edited))
    if faults or environment != with_fields(file.environment, fields):
        found = f" ({faults[0].message})" if faults else ""
        raise UnappliableError(
            f"The edited file would not parse to the requested values{found}.",
            where=str(file.path),
            advice="Edit it by hand. The file is unchanged.",
        )
    _replace(path, content, edited)


def merged(path: Path, content: bytes) -> Source:
    """Return a file of this content, with the defaults beside it merged below it."""
    defaults = path.parent / DEFAULTS
    below = read_source(str(defaults), defaults.read_bytes()) if defaults.exists() else None
    return merge_defaults(read_source(str(path), content), below or Source(str(defaults), {}))


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """Replace the file atomically and keep its permissions."""
    descriptor, aside = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as new:
            new.write(after)
            new.flush()
            os.fsync(new.fileno())
        Path(aside).chmod(path.stat().st_mode & 0o7777)
        _check_untouched(path, before)
        Path(aside).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(aside).unlink()
        raise


def _check_untouched(path: Path, before: bytes) -> None:
    if path.read_bytes() != before:
        raise ChangedMeanwhileError(
            "The file changed during the edit.",
            where=str(path),
            advice="Check it, then run the same command again.",
        )


def _next(file: EnvironmentFile, fields: Fields, reason: str) -> str:
    subject = one_line(reason) or f"Scale {file.name}"
    values = ", ".join(f"{name} {value}" for name, value in fields.items())
    return (
        f"Nothing is applied yet. Check it (git diff), commit it (such as: {subject}: {values}), "
        f"then: {Command('apply', file.name)}"
    )


def _document(file: EnvironmentFile, old: Fields, fields: Fields, reason: str) -> dict[str, object]:
    return {
        "environment": file.name,
        "path": str(file.path),
        "reason": one_line(reason),
        "changes": [
            {"field": f"{SECTIONS[name]}.{name}", "old": old[name], "new": value}
            for name, value in fields.items()
            if old[name] != value
        ],
    }
