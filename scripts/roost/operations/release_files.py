"""Which files of a repository are Roost's, which version a tag names, and what a release must parse as. Pure.

A repository begins as a copy of the template. An update replaces the files that are Roost's, and
leaves every other file as it is. Where a repository has changed a file of Roost's, both are merged.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import yaml

RECORD = ".roost-release"
TESTS = "tests/"
_USERS = (
    "environments/*.yaml",
    "environments/*.yml",
    "environments/locks/*",
    "flows/*",
    "prefect/*",
    "*.sops.*",
    ".sops.yaml",
    ".github/CODEOWNERS",
    "README.md",
    RECORD,
)
"""What people write themselves; README.md is that of their repository."""
_KEPT = ("deploy/locks/*", "deploy/settings/*")
"""Locks of Prefect that a release no longer has: a server may still run that version."""
_NEEDED = ("run", "noxfile.py", "pyproject.toml", "CHANGELOG.md", "scripts/roost/__main__.py")
_TAG = re.compile(r"v(\d{1,6})\.(\d{1,6})\.(\d{1,6})", re.ASCII)
_HEADING = re.compile(r"^## \[?v?(\d+\.\d+\.\d+)\]?.*$", re.MULTILINE)
_MARKERS = re.compile(rb"^(<{7} |>{7} )", re.MULTILINE)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PARSERS: Mapping[str, Callable[[str], object]] = {
    ".py": ast.parse,
    ".yml": lambda text: list(yaml.load_all(text, Loader=_LOADER)),
    ".yaml": lambda text: list(yaml.load_all(text, Loader=_LOADER)),
    ".json": json.loads,
    ".toml": tomllib.loads,
}

Number = tuple[int, int, int]


@dataclass(frozen=True)
class Entry:
    """A file of a commit: its mode, and the hash of its content."""

    mode: str
    sha: str


Files = Mapping[str, Entry]
"""The files of a commit by their paths."""


def is_ours(path: str) -> bool:
    """Return whether a file of a release is Roost's, so that an update brings it."""
    return not any(fnmatchcase(path, pattern) for pattern in _USERS)


def is_kept(path: str) -> bool:
    """Return whether an update never removes a file, even where the release has none."""
    return any(fnmatchcase(path, pattern) for pattern in _KEPT)


def number_of(tag: str) -> Number | None:
    """Read `v1.2.3`; None for any other tag, previews included."""
    match = _TAG.fullmatch(tag if tag.startswith("v") else f"v{tag}")
    if match is None:
        return None
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def text_of(number: Number) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, number))


def likeness(release: Files, here: Files) -> float:
    """Return the share of a release's files that a repository has unchanged, 0 to 1."""
    ours = {path: entry for path, entry in release.items() if is_ours(path)}
    same = sum(here.get(path) == entry for path, entry in ours.items())
    return same / len(ours) if ours else 0.0


def missing_files(release: Files) -> tuple[str, ...]:
    """Return the files that every release has and this one does not."""
    return tuple(path for path in _NEEDED if path not in release)


def broken(path: str, content: bytes) -> str:
    """Return why a file of a release cannot be right; empty for one that parses, or is of another kind."""
    if not path.startswith(TESTS) and _MARKERS.search(content):
        return "has the marks of a merge conflict"
    parse = next((_PARSERS[ending] for ending in _PARSERS if path.endswith(ending)), None)
    if parse is None or path.startswith(TESTS):  # a test may have bad input on purpose
        return ""
    try:
        parse(content.decode("utf-8"))
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        return f"does not parse ({type(error).__name__})"
    return ""


def changes_between(
    changelog: str, before: Number | None, after: Number
) -> Iterator[tuple[str, str]]:
    """Yield the version and the text of each section of a changelog after one version, up to another."""
    headings = list(_HEADING.finditer(changelog))
    starts = [each.start() for each in headings]
    for heading, end in zip(headings, [*starts[1:], len(changelog)], strict=False):
        found = number_of(heading[1])
        if found and found <= after and (before is None or found > before):
            yield heading[1], changelog[heading.end() : end].strip()
