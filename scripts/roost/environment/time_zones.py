"""Names of time zones that every image has.

Systems differ in the old names they have: Debian's own package left them out in 2023. So a window's zone
is one of those in `zone.tab`, the tz database's list of places, or one of UTC's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from zoneinfo import TZPATH

from roost.environment.windows import WindowError, read_window

_PLACES = "zone.tab"
_LINKS = "tzdata.zi"
_UTC = "UTC"
_WITHOUT_A_PLACE = "Etc/"


def zone_fault(name: str) -> str:
    """Return why a name is no time zone for a window, and the fix; empty if it is one."""
    if name in zone_names() or (
        (name == _UTC or name.startswith(_WITHOUT_A_PLACE)) and _loads(name)
    ):
        return ""
    if now := _old_names().get(name):
        return f"{name} is an old name, which the server's image may not have; write {now}"
    close = difflib.get_close_matches(name, sorted(zone_names()), n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else "write a place, such as Europe/Berlin, or UTC"
    return f"there is no time zone {name}; {hint}"


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all places in the tz database."""
    return frozenset(fields[2] for fields in _lines(_PLACES, "\t"))


@cache
def _old_names() -> Mapping[str, str]:
    """Return the names that are links, with the names of today."""
    return {fields[2]: fields[1] for fields in _lines(_LINKS, " ") if fields[0] == "L"}


def _lines(name: str, separator: str) -> Iterator[list[str]]:
    """Return the fields of each line that has three or more, of a file of the tz database."""
    text = next((file.read_text("utf-8") for file in _places_of(name) if file.is_file()), "")
    for line in text.splitlines():
        fields = line.split(separator)
        if not line.startswith("#") and len(fields) > 2:  # noqa: PLR2004 - a place's name is the third
            yield fields


def _places_of(name: str) -> Iterator[Traversable]:
    """Return where a file of the tz database can be: in the package tzdata, and in the system."""
    with suppress(ModuleNotFoundError):
        yield files("tzdata.zoneinfo") / name
    yield from (Path(folder) / name for folder in TZPATH)


def _loads(name: str) -> bool:
    try:
        return bool(read_window(f"daily 00:00-24:00 {name}").zone)
    except WindowError:
        return False
