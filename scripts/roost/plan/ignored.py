"""What an environment leaves to somebody else: those fields are asked for as live has them. Pure."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from roost.environment.model import Ignored
from roost.fly.models import Machine
from roost.plan.compare import ABSENT, differences, field_path, look, normal, put
from roost.plan.desired import IDLE_ACTION, Desired, DesiredMachine, idle_action, service_of
from roost.plan.live import Live
from roost.plan.ownership import find_volume, our_machines
from roost.plan.steps import Change, Json, Plan
from roost.secret_text import HIDDEN

_VOLUME = "volume"
SLEEP = frozenset({"services[0].autostop", "services[0].min_machines_running"})
"""Fields that say whether a machine may sleep, and how."""


@dataclass(frozen=True)
class Left:
    """One difference that is left as it is; `change` says from what to what it would have been."""

    key: str
    change: Change
    reason: str

    def document(self) -> Json:
        """Return it as JSON."""
        change = self.change
        values = {"live": change.old, "wanted": change.new}
        return {"key": self.key, "field": change.field, **values, "reason": self.reason}

    @property
    def sentence(self) -> str:
        """Report it in a sentence."""
        change = self.change
        have, want = ("absent" if value is None else value for value in (change.old, change.new))
        return f"Ignored: {self.key} {change.field} is {have} instead of {want} ({self.reason})."


def ignored_fields(desired: Desired) -> tuple[str, ...]:
    """Name what of a machine's config somebody else decides, with what follows from it."""
    fields = [rule.field for rule in desired.ignored if not rule.field.startswith(f"{_VOLUME}.")]
    follows = [f"env.{IDLE_ACTION}"] if SLEEP.intersection(fields) else []
    return (*fields, *follows)


@dataclass(frozen=True)
class Adopted:
    """What is desired, with live's values in the fields that are ignored."""

    desired: Desired
    left: tuple[Left, ...] = ()

    def annotate(self, plan: Plan) -> Plan:
        """Return a plan that says what it leaves alone."""
        return replace(plan, warnings=(*(left.sentence for left in self.left), *plan.warnings))


def adopt(desired: Desired, live: Live) -> Adopted:
    """Ask for what live has, wherever a rule says that somebody else decides."""
    ours, rules = our_machines(desired, live), desired.ignored
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
    config, left, theirs = deepcopy(wanted.config), [], set()
    for rule in rules:
        path = field_path(rule.field)
        want, have = look(config, path), look(machine.config, path)
        # Of `env` somebody else may add and take away entries; elsewhere both have all fields.
        if (ABSENT in (want, have) and path[0] != "env") or _same(path, want, have):
            continue
        put(config, path, have)
        theirs |= {str(path[-1])} if want is ABSENT else set()
        change = Change(rule.field, *_shown(have, want))
        left.append(Left(f"machine/{wanted.name}", change, rule.reason))
    if any(one.change.field in SLEEP for one in left):
        config = _following(config, machine.config or {})
    return replace(wanted, config=config, theirs=frozenset(theirs)), left


def _following(config: Json, live: Json) -> Json:
    """Have the server sleep by itself as the proxy is told to, from the next boot for something else on.

    That alone is no reason to boot it, each time that somebody else changes his mind.
    """
    now = look(live, ("env", IDLE_ACTION))
    as_now = {**config, "env": {**config["env"], IDLE_ACTION: now}}
    if now is not ABSENT and not differences(as_now, live):
        return as_now
    return {**config, "env": {**config["env"], IDLE_ACTION: idle_action(service_of(config))}}


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


def _shown(have: Any, want: Any) -> tuple[Any, Any]:
    """Return both as plans show them: an entry that only somebody else set may be a password."""
    if want is ABSENT:
        return HIDDEN, None
    return None if have is ABSENT else have, want


def _same(path: tuple[str | int, ...], want: Any, have: Any) -> bool:
    if want is ABSENT or have is ABSENT:
        return want is have or normal(path, None if have is ABSENT else have) == normal(path, want)
    return bool(normal(path, want) == normal(path, have))
