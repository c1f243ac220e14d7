"""The windows of a machine's config, live or desired, in which its server stays awake. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from roost.environment.windows import (
    Span,
    Window,
    WindowError,
    hours_a_month,
    read_windows,
    spans_around,
)
from roost.plan.desired import WINDOWS, Json, stops_itself

HOURS_A_MONTH = 720.0
"""The hours of the 30 days that prices are given for."""


@dataclass(frozen=True)
class WindowState:
    """What is open now, and what opens next; None for nothing."""

    is_open: Span | None
    following: Span | None

    def document(self) -> Json:
        """Return the JSON form."""
        until, opens = self.is_open and self.is_open.end, self.following and self.following.begin
        return {
            "open_until": until and until.isoformat().replace("+00:00", "Z"),
            "next": opens and opens.isoformat().replace("+00:00", "Z"),
        }


def window_state(configs: Iterable[Json | None], now: datetime) -> WindowState | None:
    """Return the state of the windows of an app's machines at a time; None if they have none."""
    windows = [window for config in configs for window in windows_of(config or {})]
    return WindowState(*spans_around(windows, now)) if windows else None


def windows_of(config: Json) -> tuple[Window, ...]:
    """Return the windows that a machine keeps; one that cannot be read counts as none.

    A machine that never sleeps keeps none.
    """
    if not stops_itself(config):
        return ()
    try:
        found = read_windows(str((config.get("env") or {}).get(WINDOWS, "")))
    except WindowError:
        return ()
    return tuple(_known(found))


def window_hours(config: Json) -> float:
    """Return for how many hours of 30 days windows keep a machine awake."""
    return hours_a_month(windows_of(config))


def window_share(config: Json) -> float:
    """Return for which part of a month windows keep a machine awake, from 0 to 1."""
    return window_hours(config) / HOURS_A_MONTH


def _known(windows: tuple[Window, ...]) -> Iterator[Window]:
    for window in windows:
        try:
            window.zone  # noqa: B018 - reads the zone, which may not be known here
        except WindowError:
            continue
        yield window
