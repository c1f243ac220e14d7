"""Summarise what an apply changes in one sentence: the likely causes if its gate fails. Pure.

Only names: the values of settings are in the plan, and those of secrets are shown nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.plan.desired import VERSION_KEY
from roost.plan.secrets import FIELD
from roost.plan.steps import (
    Change,
    CreateMachine,
    ExtendVolume,
    Plan,
    SetSecrets,
    Step,
    UnsetSecrets,
    UpdateMachine,
)

MOST = 8
"""Names of one kind that are listed; the rest is counted."""
_ENV, _METADATA = "env.", "metadata."
# Roost sets these on every server, so they are no likely cause of a failed first deploy.
_ALWAYS = frozenset(
    {
        *("PREFECT_HOME", "PREFECT_SERVER_API_HOST", "PREFECT_SERVER_API_PORT"),
        *("PREFECT_SERVER_UI_API_URL", "PREFECT_SERVER_ANALYTICS_ENABLED"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT",
    }
)
_SIZE = {
    "guest.memory_mb": "memory_mb",
    "guest.cpus": "cpus",
    "guest.cpu_kind": "cpu_kind",
}


def changed_by(plan: Plan) -> str:
    """Return what a plan changes as a sentence; empty if the server would not notice."""
    parts = list(_parts(plan.steps))
    return f"This apply changed {'; '.join(parts)}." if parts else ""


def _parts(steps: tuple[Step, ...]) -> Iterator[str]:
    """Return one part for each kind of change: settings, secrets, version, image, size, the rest."""
    changes = [c for step in steps if isinstance(step, UpdateMachine) for c in step.changes]
    created = [step for step in steps if isinstance(step, CreateMachine)]
    settings = {c.field.removeprefix(_ENV) for c in changes if c.field.startswith(_ENV)}
    settings |= {name for step in created for name in _own_settings(step)}
    yield from _named("setting", settings)
    yield from _named("secret", _secrets(steps))
    yield from _once(_version(changes), _image(changes))
    if size := [f"{_SIZE[c.field]} {c.old} to {c.new}" for c in changes if c.field in _SIZE]:
        yield f"the machine's size ({', '.join(dict.fromkeys(size))})"
    if any(isinstance(step, ExtendVolume) for step in steps):
        yield "the volume's size"
    yield from _named("field", {c.field for c in changes if _is_other(c)})
    if created:
        count = len(created)
        yield "the machine itself, which is new" if count == 1 else f"{count} machines, all new"


def _own_settings(step: CreateMachine) -> Iterable[str]:
    names = step.config.get("env") or {}
    return (n for n in names if n.upper().startswith("PREFECT_") and n not in _ALWAYS)


def _secrets(steps: tuple[Step, ...]) -> set[str]:
    found = (step for step in steps if isinstance(step, SetSecrets | UnsetSecrets))
    return {name for step in found for name in step.names}


def _version(changes: Iterable[Change]) -> str:
    for change in changes:
        if change.field == f"{_METADATA}{VERSION_KEY}":
            return f"Prefect {change.old or 'unknown'} to {change.new}"
    return ""


def _image(changes: Iterable[Change]) -> str:
    return "the image" if any(change.field == "image" for change in changes) else ""


def _once(*parts: str) -> Iterator[str]:
    """Return the first part that is not empty: a new version always has a new image."""
    yield from [part for part in parts if part][:1]


def _is_other(change: Change) -> bool:
    known = change.field in _SIZE or change.field in ("image", FIELD)
    return not known and not change.field.startswith((_ENV, _METADATA))


def _named(kind: str, names: Iterable[str]) -> Iterator[str]:
    found = sorted(names)
    if len(found) > MOST:
        yield f"{len(found)} {kind}s ({', '.join(found[:MOST])}, and others)"
    elif found:
        yield f"the {kind}{'s' if len(found) > 1 else ''} {', '.join(found)}"
