"""Take the fields that an environment ignores (`drift.ignore`) from the live state. Pure."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from roost.environment.model import Ignored
from roost.fly.models import Machine
from roost.plan.compare import ABSENT, differences, field_path, look, normal, put
from roost.plan.desired import (
    IDLE_ACTION,
    WINDOWS,
    Desired,
    DesiredMachine,
    idle_action,
    service_of,
)
from roost.plan.live import Live
from roost.plan.ownership import find_volume, our_machines
from roost.plan.steps import Change, Json, Plan
from roost.secret_text import HIDDEN

_VOLUME = "volume"
SLEEP = frozenset({"services[0].autostop", "services[0].min_machines_running"})
"""Fields that say whether a machine may sleep, and how."""
SLEEPS = ("suspend", "stop")
"""What an idle server does that sleeps."""


@dataclass(frozen=True)
class Left:
    """One ignored difference; `change` has the live and the desired value."""

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
        """The difference as a sentence."""
        change = self.change
        have, want = ("absent" if value is None else value for value in (change.old, change.new))
        return f"Ignored: {self.key} {change.field} is {have} instead of {want} ({self.reason})."


def ignored_fields(desired: Desired) -> tuple[str, ...]:
    """Return the ignored fields of a machine's config, and those that depend on them."""
    fields = [rule.field for rule in desired.ignored if not rule.field.startswith(f"{_VOLUME}.")]
    follows = [f"env.{IDLE_ACTION}"] if SLEEP.intersection(fields) else []
    return (*fields, *follows)


@dataclass(frozen=True)
class Adopted:
    """The desired state with the live values of ignored fields."""

    desired: Desired
    left: tuple[Left, ...] = ()

    def annotate(self, plan: Plan) -> Plan:
        """Return a plan with a warning for each ignored difference."""
        return replace(plan, warnings=(*(left.sentence for left in self.left), *plan.warnings))


def adopt(desired: Desired, live: Live) -> Adopted:
    """Return the desired state with the live values of ignored fields."""
    ours, rules = our_machines(desired, live), desired.ignored
    left: list[Left] = []
    machines = []
    for wanted in desired.machines:
        machine = ours.get(wanted.name)
        if machine is not None and machine.config is not None:
            wanted, found = _adopt_machine(wanted, machine, rules)  # noqa: PLW2901 - the same machine with live values
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
        # In `env` somebody else may add or remove entries; other fields exist on both sides.
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
    """Make the server's own idle action follow the ignored autostop, from its next restart on.

    The idle action alone is no reason for a restart whenever somebody changes autostop. So the live
    one is kept until the machine is updated for another reason.
    """
    now = look(live, ("env", IDLE_ACTION))
    as_now = {**config, "env": {**config["env"], IDLE_ACTION: now}}
    if now is not ABSENT and not differences(as_now, live):
        return as_now
    return {**config, "env": {**config["env"], IDLE_ACTION: _idle_action(config, now)}}


def _idle_action(config: Json, now: Any) -> str:
    """Return the idle action for a config with ignored fields of Fly's in it.

    With windows the proxy's autostop is off (`machine_config.service`) and says nothing of it.
    """
    service, wanted = service_of(config), config["env"][IDLE_ACTION]
    if WINDOWS not in config["env"] or service.get("min_machines_running"):
        return idle_action(service)
    return next((action for action in (wanted, now) if action in SLEEPS), "off")


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
    """Return both values as plans show them; a variable that only somebody else set stays hidden."""
    if want is ABSENT:
        return HIDDEN, None
    return None if have is ABSENT else have, want


def _same(path: tuple[str | int, ...], want: Any, have: Any) -> bool:
    if want is ABSENT or have is ABSENT:
        return want is have or normal(path, None if have is ABSENT else have) == normal(path, want)
    return bool(normal(path, want) == normal(path, have))
