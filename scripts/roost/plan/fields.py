"""The fields of a config by their names, as plans write them: `services[0].autostop`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

Json = dict[str, Any]
Path = tuple[str | int, ...]
ABSENT = object()
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def field_name(path: Path) -> str:
    """Write a path the way reports show it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def field_path(name: str) -> Path:
    """Read a field's name."""
    return tuple(part or int(index) for part, index in _PART.findall(name))


def look(config: Any, path: Path) -> Any:
    """Return what stands at a place of a config, or ABSENT; whatever the config is made of."""
    for part in path:
        try:
            config = config[part]
        except (LookupError, TypeError):
            return ABSENT
    return config


def put(config: Json, path: Path, value: Any) -> None:
    """Put a value at a place whose surroundings are there; ABSENT takes away what is there."""
    *above, last = path
    place = look(config, tuple(above))
    if value is ABSENT:
        place.pop(last, None)
    else:
        place[last] = value


def without_fields(config: Json, names: Iterable[str]) -> Json:
    """Return a config in which these fields are absent."""
    config = deepcopy(config)
    for path in map(field_path, names):
        if look(config, path) is not ABSENT:
            put(config, path, ABSENT)
    return config
