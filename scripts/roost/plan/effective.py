"""Combine an environment's file with the override in force, if there is one. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from roost.environment.load import EnvironmentFile
from roost.environment.scale import scale_faults, with_fields
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.desired import ENVIRONMENT_KEY, OVERRIDE_KEY
from roost.plan.live import Live
from roost.plan.override import Override, decode, utc_text
from roost.plan.ownership import slot_number, slot_of
from roost.plan.releases import releases_on
from roost.plan.steps import Plan, Refusal

AHEAD = timedelta(hours=1)
"""How far another computer's clock may be ahead; an override that begins later is removed."""


@dataclass(frozen=True)
class Effective:
    """The environment in effect now.

    Args:
        file: the file, with the values of the override in force.
        override: the override in force.
        ended: an override that live still has and that has expired or is removed now.
        notes: sentences about the override, for people.
        refusals: why nothing can be applied with it.
    """

    file: EnvironmentFile
    override: Override | None = None
    ended: Override | None = None
    notes: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def annotate(self, plan: Plan) -> Plan:
        """Return a plan with these notes and refusals first."""
        return replace(
            plan,
            warnings=(*self.notes, *plan.warnings),
            refusals=(*self.refusals, *plan.refusals),
        )


Choose = Callable[[EnvironmentFile, Live, datetime], Effective]
"""Returns the environment in effect, from the file, the live state and the time."""


def effective(file: EnvironmentFile, live: Live, now: datetime) -> Effective:
    """Return the environment with the override on its machines, if it has not expired."""
    text = carried(file, live)
    override = decode(text) if text else None
    if override is None:
        return Effective(file, notes=(_unreadable(file),) if text else ())
    if override.since > now + AHEAD:
        note = f"The override by {override.who} ({override.reason}) begins in the future; it is removed."
        return Effective(file, ended=override, notes=(note,))
    if override.until <= now:
        return Effective(file, ended=override, notes=(_over(override),))
    return _in_force(file, override)


def overridden(file: EnvironmentFile, live: Live, override: Override) -> Effective:
    """Return the environment with a new override, which replaces any other."""
    before = current_override(file, live)
    chosen = _in_force(file, override)
    if before is None or before.fields == override.fields:
        return chosen
    note = f"It replaces the override by {before.who} ({before.reason}): {before.summary()}."
    return replace(chosen, ended=before, notes=(*chosen.notes, note))


def cleared(file: EnvironmentFile, live: Live) -> Effective:
    """Return the environment without any override."""
    before = current_override(file, live)
    if before is None:
        return Effective(file)
    note = f"The override by {before.who} ({before.reason}) ends: {before.summary()}."
    return Effective(file, ended=before, notes=(note,))


def current_override(file: EnvironmentFile, live: Live) -> Override | None:
    """Return the override on the machines, expired or not."""
    return decode(carried(file, live))


def carried(file: EnvironmentFile, live: Live) -> str:
    """Return what the machines carry as an override, empty for nothing.

    An apply cut short leaves machines of two minds. It goes from the lowest slot to the highest,
    and each change brings its release: so the newest release's lowest slot has the last word.
    """
    ours = [m for m in live.machines if m.metadata.get(ENVIRONMENT_KEY) == file.name]
    if not ours:
        return ""
    last = max(ours, key=lambda m: (_release_number(m), -slot_number(slot_of(m))))
    return last.metadata.get(OVERRIDE_KEY, "")


def _release_number(machine: Machine) -> int:
    releases = releases_on([machine])
    return releases[-1].number if releases else 0


def _in_force(file: EnvironmentFile, override: Override) -> Effective:
    faults = scale_faults(file.environment, override.fields)
    note = override.sentence(file.environment)
    if faults:
        refusals = tuple(_contradiction(file, override, message) for _, message in faults)
        return Effective(file, override, notes=(note,), refusals=refusals)
    environment = with_fields(file.environment, override.fields)
    return Effective(replace(file, environment=environment), override, notes=(note,))


def _contradiction(file: EnvironmentFile, override: Override, message: str) -> Refusal:
    return Refusal(
        "override",
        f"the file and the override ({override.summary()}) do not go together: {message}",
        f"Change the file, or end the override: `{Command('scale', file.name, '--clear')}`.",
    )


def _over(override: Override) -> str:
    values = ", ".join(f"{name} {value}" for name, value in override.fields.items())
    return (
        f"The override by {override.who} ({override.reason}) ended at {utc_text(override.until)}: "
        f"{values} goes back to what the file says."
    )


def _unreadable(file: EnvironmentFile) -> str:
    return (
        f"A machine of {file.name} carries an override that cannot be read ({OVERRIDE_KEY}); "
        "it is ignored, and goes with the next change."
    )
