"""Rules for `scaling.windows`: what can be no window, and where windows have no effect."""

from __future__ import annotations

from collections.abc import Iterator

from roost.environment.model import Environment
from roost.environment.rules import Finding, Rule
from roost.environment.time_zones import zone_fault
from roost.environment.windows import Window, hours_a_month

WINDOWS = ("scaling", "windows")
HOURS_OF_30_DAYS = 720
_SLEEP_OF_FLY = "services[0].autostop"
_NEVER = "the server never sleeps"
_OR_REMOVE = "or remove windows"


def windows_of(environment: Environment) -> tuple[Window, ...]:
    """Return the windows of an environment as values to compute with."""
    return tuple(entry.window for entry in environment.scaling.windows)


def windows_open_and_close(environment: Environment) -> Iterator[Finding]:
    """A window needs two times that differ, and a time zone that the image has too."""
    for index, entry in enumerate(environment.scaling.windows):
        if entry.start == entry.end:
            yield (
                (*WINDOWS, index, "to"),
                (
                    f"a window from {entry.start} to {entry.end} has no length; for a whole day write "
                    'from "00:00" to "24:00"'
                ),
            )
        if message := zone_fault(entry.timezone):
            yield (*WINDOWS, index, "timezone"), message


def windows_leave_time_to_sleep(environment: Environment) -> Iterator[Finding]:
    """Windows are for a server that sleeps outside of them."""
    scaling = environment.scaling
    if not scaling.windows:
        return
    if scaling.autostop == "off":
        yield WINDOWS, f"with autostop off {_NEVER}; set autostop to suspend or stop, {_OR_REMOVE}"
    elif scaling.min_machines_running:
        yield WINDOWS, f"with min_machines_running 1 {_NEVER}; set it to 0, {_OR_REMOVE}"
    elif scaling.count == 0:
        yield WINDOWS, f"with count 0 there is no server to keep awake; set it to 1, {_OR_REMOVE}"
    elif _is_always_open(environment):
        yield WINDOWS, "they cover the whole week; set min_machines_running to 1 instead of them"


def windows_are_the_server_s(environment: Environment) -> Iterator[Finding]:
    """The launcher of Roost's image keeps the server awake, and Fly's proxy must not stop it."""
    if not environment.scaling.windows:
        return
    if environment.prefect.image is not None:
        yield WINDOWS, "windows need roost's own image; remove prefect.image, or windows"
    for index, rule in enumerate(environment.drift.ignore):
        if rule.field == _SLEEP_OF_FLY:
            yield (
                ("drift", "ignore", index, "field"),
                (
                    f"with windows, {rule.field} must be off on Fly, or Fly's proxy stops the server "
                    "inside them; remove the rule, or windows"
                ),
            )


def _is_always_open(environment: Environment) -> bool:
    windows = windows_of(environment)
    usable = all(entry.start != entry.end and not zone_fault(entry.timezone) for entry in windows)
    return usable and round(hours_a_month(windows), 2) >= HOURS_OF_30_DAYS


WINDOW_RULES: tuple[Rule, ...] = (
    windows_open_and_close,
    windows_leave_time_to_sleep,
    windows_are_the_server_s,
)
