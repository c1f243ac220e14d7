"""Whether a plan does nothing but scale, or nothing but give secrets. Pure.

Who scales has looked at the scaling, and at nothing else; whose new value of a secret is rolled
out, at that value. What else is pending is for an apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.plan.desired import SECRETS_KEY
from roost.plan.secrets import FIELD
from roost.plan.steps import (
    CreateMachine,
    DestroyMachine,
    Plan,
    ProveRelease,
    SetSecrets,
    StartMachine,
    Step,
    UnsetSecrets,
    UpdateMachine,
    UpdateMetadata,
)

_COUNT = "count"
# What a plan's steps change for each field, by the names that steps give it.
CHANGES = {
    "size": {"guest.cpu_kind", "guest.cpus"},
    "memory_mb": {"guest.memory_mb"},
    _COUNT: set[str](),
    "min_machines_running": {"services[0].min_machines_running", "env.ROOST_IDLE_ACTION"},
}
OVERRIDE = "override"
"""The field of a step's changes that stands for the override itself."""
# What a machine boots with, and that it remembers which names its file had.
_OF_SECRETS = {FIELD, f"metadata.{SECRETS_KEY}"}


def beside(plan: Plan, fields: Iterable[str]) -> tuple[str, ...]:
    """Name what a plan does beside scaling in these fields, as `machine/app-1 (image)`."""
    scaled = set(fields)
    allowed = {OVERRIDE}.union(*(CHANGES[field] for field in scaled))
    # What secrets an app has is remembered by its machines: the first one gets all anew.
    first = _COUNT in scaled and not plan.base["machines"]
    steps = [step for step in plan.steps if not (first and isinstance(step, SetSecrets))]
    return tuple(found for step in steps for found in _beside(step, scaled, allowed))


def _beside(step: Step, scaled: set[str], allowed: set[str]) -> Iterator[str]:
    if isinstance(step, StartMachine | ProveRelease | UpdateMetadata):
        return
    if isinstance(step, CreateMachine | DestroyMachine) and _COUNT in scaled:
        return
    if not isinstance(step, UpdateMachine):
        yield step.key
        return
    yield from _other_fields(step, allowed)


def beside_secrets(plan: Plan, *, removing: bool = True) -> tuple[str, ...]:
    """Name what a plan does beside giving secrets to the app and to its machines.

    Args:
        plan: the plan.
        removing: whether taking secrets away is a part of that.
    """
    return tuple(found for step in plan.steps for found in _beside_secrets(step, removing=removing))


def _beside_secrets(step: Step, *, removing: bool) -> Iterator[str]:
    if isinstance(step, SetSecrets | ProveRelease):
        return
    if isinstance(step, UnsetSecrets):
        if not removing:
            yield f"{step.key} ({', '.join(step.names)})"
    elif isinstance(step, UpdateMachine):
        yield from _other_fields(step, _OF_SECRETS)
    else:
        yield step.key


def _other_fields(step: UpdateMachine, allowed: set[str]) -> Iterator[str]:
    others = [change.field for change in step.changes if change.field not in allowed]
    if others:
        yield f"{step.key} ({', '.join(others)})"
