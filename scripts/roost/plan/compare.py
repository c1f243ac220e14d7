"""Compare a desired config with the live one, on the fields that Roost owns.

Fly returns some values in another form than they were sent (seen in the API's samples and in fly-go):
`autostop` as false, true or "suspend", durations respelt or in nanoseconds, defaults filled in.
Field names are written as in plans: `services[0].autostop`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

from roost.plan.steps import Change
from roost.secret_text import HIDDEN

Json = dict[str, Any]
Path = tuple[str | int, ...]
ABSENT = object()
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_GO_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(ns|us|ms|h|m|s)")
_UNIT_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATIONS = frozenset({"interval", "timeout", "grace_period"})
_AUTOSTOP = {False: "off", True: "stop"}
_OWN_WAYS = frozenset({"metadata", "env"})
# Maps whose every key is ours: a key that somebody added is a difference.
_WHOLE_MAPS = frozenset({("env",)})


def field_name(path: Path) -> str:
    """Return a path as reports write it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def field_path(name: str) -> Path:
    """Return the path of a field's name."""
    return tuple(part or int(index) for part, index in _PART.findall(name))


def look(config: Any, path: Path) -> Any:
    """Return the value at a path of a config, or ABSENT."""
    for part in path:
        try:
            config = config[part]
        except (LookupError, TypeError):
            return ABSENT
    return config


def put(config: Json, path: Path, value: Any) -> None:
    """Set the value at a path whose parents exist; ABSENT removes it."""
    *above, last = path
    place = look(config, tuple(above))
    if value is ABSENT:
        place.pop(last, None)
    else:
        place[last] = value


def without_fields(config: Json, names: Iterable[str]) -> Json:
    """Return a copy of a config without these fields."""
    config = deepcopy(config)
    for path in map(field_path, names):
        if look(config, path) is not ABSENT:
            put(config, path, ABSENT)
    return config


def differences(desired: Json, live: Json) -> tuple[Change, ...]:
    """Return every field of the desired config that differs in the live one, in order."""
    return tuple(_compare((), desired, live))


def leftovers(sent: Json, desired: Json, live: Json) -> tuple[Change, ...]:
    """Return every field that an earlier apply sent, that is still live, and is no longer desired.

    A field that somebody else added was never sent, and is left alone. `metadata` is left out, as
    records and marks come and go by themselves; so is `env`, of which every key is compared anyway.
    """
    ours = {key: value for key, value in sent.items() if key not in _OWN_WAYS}
    return tuple(_left((), ours, desired, live))


def _left(path: Path, sent: Any, want: Any, have: Any) -> Iterator[Change]:
    if isinstance(sent, dict) and isinstance(have, dict):
        wanted = want if isinstance(want, dict) else {}
        for key in sent:
            if key in wanted:
                yield from _left((*path, key), sent[key], wanted[key], have.get(key))
            elif normal((*path, key), have.get(key)) is not None:
                # A value that we did not send is somebody else's, and may be a secret.
                old = have[key] if have[key] == sent[key] else HIDDEN
                yield Change(field_name((*path, key)), old, None)
    elif isinstance(sent, list) and isinstance(want, list) and isinstance(have, list):
        for index, (was, now, there) in enumerate(zip(sent, want, have, strict=False)):
            yield from _left((*path, index), was, now, there)


def _compare(path: Path, want: Any, have: Any) -> Iterator[Change]:
    if isinstance(want, dict):
        yield from _compare_maps(path, want, have if isinstance(have, dict) else {})
    elif isinstance(want, list) and _is_records(want):
        yield from _compare_lists(path, want, have if isinstance(have, list) else [])
    elif normal(path, want) != normal(path, have):
        yield Change(field_name(path), _shown(path, have), want)


def _shown(path: Path, have: Any) -> Any:
    """Return a live value as a plan shows it: a command of somebody else's may hold a password."""
    return HIDDEN if path[0] == "init" and have is not None else have


def _compare_maps(path: Path, want: Json, have: Json) -> Iterator[Change]:
    for key, value in want.items():
        yield from _compare((*path, key), value, have.get(key))
    if path in _WHOLE_MAPS:
        for key in sorted(set(have) - set(want)):
            # Somebody else's value may be a password, so a plan never shows it.
            yield Change(field_name((*path, key)), HIDDEN, None)


def _compare_lists(path: Path, want: list[Json], have: list[Any]) -> Iterator[Change]:
    for index, value in enumerate(want):
        yield from _compare((*path, index), value, have[index] if index < len(have) else None)
    for index in range(len(want), len(have)):
        # Somebody else's; it may hold a password, such as in the headers of a check.
        yield Change(field_name((*path, index)), HIDDEN, None)


def _is_records(value: list[Any]) -> bool:
    return any(isinstance(item, dict) for item in value)


def normal(path: Path, value: Any) -> Any:
    """Return a value in the normal form in which both sides are compared."""
    name = path[-1] if path else ""
    if path[:1] == ("env",):
        return value  # an empty variable is not an absent one
    if name == "autostop" and isinstance(value, bool):
        return _AUTOSTOP[value]
    if name in _DURATIONS:
        return duration_ns(value)
    if value in (None, [], {}, False, ""):
        return None
    return value


def duration_ns(value: Any) -> Any:
    """Return a Go duration in nanoseconds; any other value is returned as it is."""
    if isinstance(value, str):
        parts = _GO_DURATION.findall(value)
        if parts and "".join(amount + unit for amount, unit in parts) == value:
            return round(sum(float(amount) * _UNIT_NS[unit] for amount, unit in parts))
    return value
