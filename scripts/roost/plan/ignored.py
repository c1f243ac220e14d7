"""What an environment leaves to somebody else: those fields are asked for as live has them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from roost.environment.model import Ignored
from roost.fly.models import Machine
from roost.plan.compare import normal
from roost.plan.desired import Desired, DesiredMachine
from roost.plan.live import Live
from roost.plan.ownership import find_volume, our_machines
from roost.plan.steps import Change, Json, Plan

_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_VOLUME = "volume"
_ABSENT = object()


@dataclass(frozen=True)
class Left:
    """One difference that is left as it is; `change` says from what to what it would have been."""

    key: str
    change: Change
    reason: str

    def document(self) -> Json:
        """Give it as JSON."""
        change = self.change
        values = {"live": change.old, "wanted": change.new}
        return {"key": self.key, "field": change.field, **values, "reason": self.reason}

    @property
    def told(self) -> str:
        """Say it in a sentence."""
        change = self.change
        have = "absent" if change.old is None else change.old
        return (
            f"Ignored: {self.key} {change.field} is {have} instead of {change.new} ({self.reason})."
        )


@dataclass(frozen=True)
class Adopted:
    """What is desired, with live's values in the fields that are ignored."""

    desired: Desired
    left: tuple[Left, ...] = ()

    def told(self, plan: Plan) -> Plan:
        """Give a plan that says what it leaves alone."""
        return replace(plan, warnings=(*(left.told for left in self.left), *plan.warnings))


def adopt(desired: Desired, live: Live, rules: tuple[Ignored, ...]) -> Adopted:
    """Ask for what live has, wherever a rule says that somebody else decides."""
    ours = our_machines(desired, live)
    left: list[Left] = []
    machines = []
    for wanted in desired.machines:
        machine = ours.get(wanted.name)
        if machine is not None and machine.config is not None:
            wanted, found = _adopt_machine(wanted, machine, rules)  # noqa: PLW2901 - the same one, adopted
            left += found
        machines.append(wanted)
    changed = replace(desired, machines=tuple(machines))
    return _adopt_volume(changed, live, rules, tuple(left))


def _adopt_machine(
    wanted: DesiredMachine, machine: Machine, rules: tuple[Ignored, ...]
) -> tuple[DesiredMachine, list[Left]]:
    config, left = deepcopy(wanted.config), []
    for rule in rules:
        path = tuple(_parts(rule.field))
        want, have = _look(config, path), _look(machine.config, path)
        if want is _ABSENT or _same(path, want, have):
            continue
        if have is not _ABSENT or path[0] == "env":
            _put(config, path, have)
            change = Change(rule.field, None if have is _ABSENT else have, want)
            left.append(Left(f"machine/{wanted.name}", change, rule.reason))
    return replace(wanted, config=config), left


def _adopt_volume(
    desired: Desired, live: Live, rules: tuple[Ignored, ...], left: tuple[Left, ...]
) -> Adopted:
    wanted = desired.volume
    volume = find_volume(wanted, live, our_machines(desired, live)) if wanted else None
    if wanted is None or volume is None:
        return Adopted(desired, left)
    for rule in rules:
        section, _, name = rule.field.partition(".")
        have = getattr(volume, name, None) if section == _VOLUME else None
        if have is not None and have != getattr(wanted, name):
            change = Change(name, have, getattr(wanted, name))
            left = (*left, Left(f"volume/{wanted.name}", change, rule.reason))
            wanted = replace(wanted, **{name: have})
    return Adopted(replace(desired, volume=wanted), left)


def _same(path: tuple[str | int, ...], want: Any, have: Any) -> bool:
    if want is _ABSENT or have is _ABSENT:
        return want is have or normal(path, None if have is _ABSENT else have) == normal(path, want)
    return bool(normal(path, want) == normal(path, have))


def _parts(field: str) -> Iterator[str | int]:
    for name, index in _PART.findall(field):
        yield name or int(index)


def _look(config: Any, path: tuple[str | int, ...]) -> Any:
    """Give what stands at a place of a config; whatever the config is made of."""
    for part in path:
        try:
            config = config[part]
        except (LookupError, TypeError):
            return _ABSENT
    return config


def _put(config: Json, path: tuple[str | int, ...], value: Any) -> None:
    *above, last = path
    place = _look(config, tuple(above))
    if value is _ABSENT:
        place.pop(last, None)
    else:
        place[last] = value
