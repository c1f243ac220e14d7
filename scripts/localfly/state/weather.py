"""The weather of `localfly serve --weather`: which troubles of Fly's API there are, and how often."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localfly.errors import WeatherError

LONGEST_S = 60.0
LONGEST_LIFE_S = 3600.0


@dataclass(frozen=True)
class Weather:
    """The troubles; shares are from 0 to 1, times are seconds.

    Attributes:
        seed: Decides which requests are struck.
        latency_s: The longest time that a request takes; the shortest is 0.
        rate_limits: Whether requests above Fly's documented limits are a 429.
        refused: The share of requests that are a 500, 502, 503 or 504 without an effect.
        lost: The share of changes that are made, and whose answer is cut or a 502.
        no_capacity: The share of new machines and volumes, of updates and starts that find no room.
        unseen_s: How long a new machine or volume is missing in lists, and a machine is a 404.
        hosts_die: The share of hosts that die.
        host_dies_after_s: When, after the first placement on it, or after the daemon's start.
        host_back_after_s: How long a host is dead; 0 for ever.
    """

    seed: int = 0
    latency_s: float = 0.0
    rate_limits: bool = False
    refused: float = 0.0
    lost: float = 0.0
    no_capacity: float = 0.0
    unseen_s: float = 0.0
    hosts_die: float = 0.0
    host_dies_after_s: float = 0.0
    host_back_after_s: float = 0.0


@dataclass(frozen=True)
class _Kind:
    """The values that a key takes."""

    words: str
    accepts: Callable[[Any], bool]


def _number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


_SHARE = _Kind("a number from 0 to 1", lambda value: _number(value, 1))
_TIME = _Kind(f"seconds from 0 to {LONGEST_S:g}", lambda value: _number(value, LONGEST_S))
_LIFE = _Kind(f"seconds from 0 to {LONGEST_LIFE_S:g}", lambda value: _number(value, LONGEST_LIFE_S))
_KINDS: Mapping[str, _Kind] = {
    "seed": _Kind("a whole number", lambda value: isinstance(value, int) and value is not True),
    "latency_s": _TIME,
    "rate_limits": _Kind("true or false", lambda value: isinstance(value, bool)),
    "refused": _SHARE,
    "lost": _SHARE,
    "no_capacity": _SHARE,
    "unseen_s": _TIME,
    "hosts_die": _SHARE,
    "host_dies_after_s": _LIFE,
    "host_back_after_s": _LIFE,
}


def bad_weather(seed: int) -> Weather:
    """Return a weather with every kind of trouble that a patient client gets through."""
    return Weather(
        seed=seed,
        latency_s=0.3,
        rate_limits=True,
        refused=0.08,
        lost=0.04,
        no_capacity=0.05,
        unseen_s=1.0,
    )


def read_weather(named: str) -> Weather:
    """Return the bad weather of a seed, or the weather in a file of YAML.

    Raises:
        WeatherError: The file cannot be read, or a key or value in it is not one of a weather's.
    """
    if named.removeprefix("-").isdecimal():
        return bad_weather(int(named))
    try:
        text = Path(named).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeatherError(
            f"{named} cannot be read: {error}.",
            advice="Name a YAML file, or a whole number as seed.",
        ) from error
    return parse_weather(text, named)


def parse_weather(text: str, name: str) -> Weather:
    """Return the weather that a file describes.

    Raises:
        WeatherError: It is no YAML, or has a key or value that is not one of a weather's.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise WeatherError(f"{name} is not YAML: {' '.join(str(error).split())}.") from error
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise WeatherError(f"{name} has no keys.", advice=f"Keys: {', '.join(_KINDS)}.")
    for key, value in found.items():
        _check(name, key, value)
    return Weather(**found)


def _check(name: str, key: object, value: object) -> None:
    kind = _KINDS.get(str(key))
    if kind is None:
        near = difflib.get_close_matches(str(key), _KINDS, n=1)
        meant = f"Did you mean {near[0]}?" if near else f"Keys: {', '.join(_KINDS)}."
        raise WeatherError(f"{name}: there is no key {key}.", advice=meant)
    if not kind.accepts(value):
        raise WeatherError(f"{name}: {key} is {value!r}.", advice=f"Allowed: {kind.words}.")
