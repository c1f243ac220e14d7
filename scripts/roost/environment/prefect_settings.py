"""Read the settings of each locked version of Prefect from `deploy/settings/prefect-VERSION.txt`.

`./run lock VERSION` writes the lock and this list, from that version's own settings. Each line has
the name of a setting, the type of its value, and its other names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from roost.environment.sops_file import repository_of

OWN_DEPLOY = Path(__file__).parents[3] / "deploy"
OLDEST = (3, 1, 13)
"""The oldest Prefect that the server of our image can run."""
GROUP = "group"
"""The type of a name that sets several settings at once, as JSON."""
_MAX_BYTES = 256 * 1024
_LINE = re.compile(r"PREFECT_[A-Z0-9_]+ \S+( PREFECT_[A-Z0-9_]+)*", re.ASCII)
_LOCK = re.compile(r"prefect-(\d+\.\d+\.\d+)\.txt", re.ASCII)


@dataclass(frozen=True)
class Setting:
    """One setting: its canonical name, and the type of its value."""

    name: str
    kind: str


@dataclass(frozen=True)
class PrefectSettings:
    """The settings of a version, by each of their names.

    Args:
        by_name: the settings; names are in capitals.
        complete: whether the list is of exactly that version; otherwise names that are not in it
            may exist.
    """

    by_name: Mapping[str, Setting]
    complete: bool

    def find(self, name: str) -> Setting | None:
        """Return the setting that a variable sets; Prefect ignores the case of names."""
        return self.by_name.get(name.upper())

    def canonical(self, name: str) -> str:
        """Return the canonical name of a setting; an unknown name in capitals."""
        found = self.find(name)
        return found.name if found else name.upper()

    def nearest(self, name: str) -> str:
        """Return the closest known name; empty where none is close."""
        close = difflib.get_close_matches(name.upper(), self.by_name, n=1, cutoff=0.75)
        return close[0] if close else ""


def deploy_of(path: Path) -> Path:
    """Return the folder with the locks for an environment file: its repository's, or Roost's own."""
    beside = repository_of(path) / "deploy"
    return beside if (beside / "image.json").is_file() else OWN_DEPLOY


def locked_versions(deploy: Path) -> tuple[str, ...]:
    """Return the versions of Prefect that have a lock, the oldest first."""
    found = (_LOCK.fullmatch(path.name) for path in (deploy / "locks").glob("prefect-*.txt"))
    return tuple(sorted((match[1] for match in found if match), key=_as_numbers))


def version_fault(version: str, deploy: Path) -> str:
    """Return why our image cannot be built for a version of Prefect; empty where it can."""
    if _as_numbers(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return (
            f"version must be {oldest} or later, which is what Roost's server runs; found {version}"
        )
    locked = locked_versions(deploy)
    if version in locked:
        return ""
    return (
        f"there is no lock for Prefect {version}, only for {', '.join(locked) or 'none'}; "
        f"run `./run lock {version}` and commit the files it writes, or use another version"
    )


def settings_of(deploy: Path, version: str) -> PrefectSettings:
    """Return the settings of a version; without a list, those of all listed versions together."""
    own = _read(_list_of(deploy, version))
    if own:
        return PrefectSettings(own, complete=True)
    known: dict[str, Setting] = {}
    for listed in locked_versions(OWN_DEPLOY):
        known.update(_read(_list_of(OWN_DEPLOY, listed)))
    return PrefectSettings(known, complete=False)


def is_settings_list(content: bytes) -> bool:
    """Return whether a file is a list of settings: every line names one, and some line does."""
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError:
        return False
    return 0 < len(content) <= _MAX_BYTES and all(_LINE.fullmatch(line) for line in lines)


def _list_of(deploy: Path, version: str) -> Path:
    return deploy / "settings" / f"prefect-{version}.txt"


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part[:9]) for part in version.split("."))  # real versions are shorter


@cache
def _read(path: Path) -> Mapping[str, Setting]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError:
        return {}
    return dict(_parse(content.decode(errors="replace")))


def _parse(text: str) -> Iterator[tuple[str, Setting]]:
    for line in text.splitlines():
        if _LINE.fullmatch(line):
            name, kind, *others = line.split(" ")
            for each in (name, *others):
                yield each, Setting(name, kind)
