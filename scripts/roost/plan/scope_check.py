"""Check that a plan only scales, or only sets secrets. Pure.

The person who scales or rotates a secret has reviewed that change and nothing else. Other pending
changes need an apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.plan.desired import SECRETS_KEY
from roost.plan.secrets import FIELD, gives_new_values
from roost.plan.steps import (
    CreateMachine,
    DestroyMachine,
    Plan,
    ProveRelease,
    ReconcileObjects,
    SetSecrets,
    StartMachine,
    Step,
    UnsetSecrets,
    UpdateMachine,
    UpdateMetadata,
)

_COUNT = "count"
# The config fields that each scaling field changes.
CHANGES = {
    "size": {"guest.cpu_kind", "guest.cpus"},
    "memory_mb": {"guest.memory_mb"},
    _COUNT: set[str](),
    "min_machines_running": {"services[0].min_machines_running", "env.ROOST_IDLE_ACTION"},
}
OVERRIDE = "override"
"""The name of the override in the changes of a step."""
# The secrets that a machine boots with, and the hash of their names in its metadata.
_OF_SECRETS = {FIELD, f"metadata.{SECRETS_KEY}"}


def beside(plan: Plan, fields: Iterable[str]) -> tuple[str, ...]:
    """List what a plan changes besides these scaling fields, as `machine/app-1 (image)`."""
    scaled = set(fields)
    allowed = {OVERRIDE}.union(*(CHANGES[field] for field in scaled))
    # The first machine of an app gets all secrets: until then nothing records which are set.
    first = _COUNT in scaled and not plan.base["machines"]
    steps = [step for step in plan.steps if not (first and isinstance(step, SetSecrets))]
    if any(isinstance(step, CreateMachine) for step in steps):
        # A new machine has no record of Prefect's objects, so they come with it.
        steps = [step for step in steps if not isinstance(step, ReconcileObjects)]
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
    """List what a plan changes besides the secrets of the app and its machines.

    Args:
        plan: the plan.
        removing: whether the removal of secrets is part of that change.
    """
    return tuple(found for step in plan.steps for found in _beside_secrets(step, removing=removing))


def _beside_secrets(step: Step, *, removing: bool) -> Iterator[str]:
    if isinstance(step, SetSecrets | ProveRelease):
        return
    if isinstance(step, ReconcileObjects) and gives_new_values(step):
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
