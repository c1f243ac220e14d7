"""Plan the objects of a Prefect server: compare their file with the record of the last apply. Pure.

The server itself is compared when the plan is applied: planning has no login, and wakes nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from roost.environment.prefect_objects import SECTIONS, WORK_POOLS, PrefectObject
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.desired import Desired
from roost.plan.live import Live
from roost.plan.objects_compare import managed, shown_field
from roost.plan.objects_record import ObjectsRecord, record_on
from roost.plan.ownership import our_machines
from roost.plan.secrets import FIELD, VARIABLE
from roost.plan.steps import (
    Change,
    CreateMachine,
    Json,
    PlanItem,
    ReconcileObjects,
    Risk,
    SetSecrets,
)

KEY = "prefect/objects"
MOST_NAMED = 10
CHANGED, NOT_SET = "changed", "not set yet"
"""States of a secret of a block that an apply changes."""


@dataclass(frozen=True)
class _Compared:
    """How the file differs from what was applied."""

    added: tuple[PrefectObject, ...]
    changed: tuple[tuple[PrefectObject, PrefectObject], ...]
    """Each entry as it was applied, and as it is now."""
    again: tuple[PrefectObject, ...]
    """Entries that are as applied before another apply, which failed in part and may have written them."""
    gone: tuple[str, ...]
    secrets: tuple[str, ...]
    """Names of secrets whose value is another one now."""


def compare_objects(
    desired: Desired, ours: Mapping[str, Machine], steps: Collection[PlanItem]
) -> Iterator[PlanItem]:
    """Yield the step that makes the server's objects as the file says, or a note about what stays.

    Args:
        desired: the desired state.
        ours: the live machines by slot.
        steps: the other steps. A machine that is created has no record, so all is compared again.
    """
    if not desired.machines:
        return
    record = record_on(machine for _, machine in sorted(ours.items()))
    if record is None and desired.objects is None:
        return
    rebuilt = any(isinstance(step, CreateMachine) for step in steps)
    known = record.outdated() if record and rebuilt else record or ObjectsRecord()
    found = _compare(desired, known)
    if found.gone and not desired.prune:
        yield (
            f"Prefect's objects that the file no longer has stay on the server: "
            f"{_named(found.gone)}. `prune: true` removes them."
        )
    if record and desired.objects and any(_sets_database(step) for step in steps):
        again = Command("drift", desired.environment, "--objects", "--heal")
        yield (
            "The database's address is set. Plans compare Prefect's objects with what the last apply left, so "
            f"if it is another database, set them there afterwards: `{again}`"
        )
    removed = found.gone if desired.prune else ()
    if found.added or found.changed or found.again or removed or found.secrets:
        yield _step(desired, found, removed)


def reconcile_step(
    desired: Desired, changes: Iterable[Change], summary: str, removed: tuple[str, ...] = ()
) -> ReconcileObjects:
    """Return the step that makes the server's objects as the file says."""
    file = desired.objects
    names = file.secrets if file else ()
    return ReconcileObjects(
        key=KEY,
        summary=summary,
        risk=Risk.DOWNTIME if any(_is_pool(key) for key in removed) else Risk.NONE,
        changes=tuple(changes),
        path=file.path if file else "",
        objects=_by_section(file.objects if file else ()),
        removed=removed,
        sources={name: desired.object_sources[name] for name in names},
    )


def entries_of(step: ReconcileObjects) -> tuple[PrefectObject, ...]:
    """Return the entries of a step, in the order to create them."""
    return tuple(
        PrefectObject(section, body)
        for section in SECTIONS
        for body in step.objects.get(section, ())
    )


def unchecked_secrets(desired: Desired, ours: Mapping[str, Machine]) -> tuple[str, ...]:
    """Return the secrets of blocks whose value was applied before and is not here to compare."""
    record = record_on(machine for _, machine in sorted(ours.items()))
    if record is None or desired.objects is None:
        return ()
    check = desired.object_values
    seen = check.changed | check.same
    return tuple(
        name
        for name in desired.objects.secrets
        if any(known not in seen for known in _fingerprints(record, name))
    )


def changed_secrets(desired: Desired, record: ObjectsRecord) -> tuple[str, ...]:
    """Return the secrets of blocks whose value here is not the one that was applied."""
    names = desired.objects.secrets if desired.objects else ()
    changed = desired.object_values.changed
    return tuple(name for name in names if any(k in changed for k in _fingerprints(record, name)))


def secrets_of_blocks(desired: Desired, ours: Mapping[str, Machine]) -> dict[str, str]:
    """Return the state of each secret of Prefect's blocks in words, by name."""
    record = record_on(machine for _, machine in sorted(ours.items())) or ObjectsRecord()
    changed, unchecked = changed_secrets(desired, record), unchecked_secrets(desired, ours)
    found = {}
    for name in desired.objects.secrets if desired.objects else ():
        if name in changed:
            found[name] = CHANGED
        elif name in unchecked:
            found[name] = "not checked"
        else:
            found[name] = "same" if any(_fingerprints(record, name)) else NOT_SET
    return found


def unreviewed_object_values(desired: Desired, live: Live) -> tuple[str, ...]:
    """Return the secrets of blocks whose value changed at a source that nobody reviews, a variable.

    See `unreviewed_values` of `plan/secrets.py`.
    """
    record = record_on(our_machines(desired, live).values())
    return tuple(
        name
        for name in (changed_secrets(desired, record) if record else ())
        if desired.object_sources[name].startswith(VARIABLE)
    )


def _fingerprints(record: ObjectsRecord, name: str) -> Iterator[str]:
    """Yield the fingerprints of a secret's value, one for each block that has it."""
    return (
        found.fingerprints[name] for found in record.written.values() if name in found.fingerprints
    )


def _compare(desired: Desired, record: ObjectsRecord) -> _Compared:
    wanted = desired.objects.objects if desired.objects else ()
    before = {entry.key: entry for entry in record.objects}
    return _Compared(
        added=tuple(entry for entry in wanted if entry.key not in before),
        changed=tuple(
            (before[entry.key], entry)
            for entry in wanted
            if entry.key in before and before[entry.key] != entry
        ),
        again=tuple(
            entry
            for entry in wanted
            if entry.key in record.unfinished and before.get(entry.key) == entry
        ),
        gone=tuple(sorted(record.keys - {entry.key for entry in wanted})),
        secrets=changed_secrets(desired, record),
    )


def _step(desired: Desired, found: _Compared, removed: tuple[str, ...]) -> ReconcileObjects:
    source = f", from {desired.objects.path}" if desired.objects else ""
    parts = [
        *([f"add or adopt {_named(e.key for e in found.added)}"] if found.added else []),
        *([f"change {_named(e.key for _, e in found.changed)}"] if found.changed else []),
        *([f"set {_named(e.key for e in found.again)} again"] if found.again else []),
        *([f"remove {_named(removed)}"] if removed else []),
        *([f"set the secrets {_named(found.secrets)}"] if found.secrets else []),
    ]
    changes = [
        *(
            Change(shown_field(entry, field), None, value)
            for entry in (*found.added, *found.again)
            for field, value in managed(entry).items()
        ),
        *(change for old, new in found.changed for change in _changes(old, new)),
        *(Change(key, "of an earlier file", None) for key in removed),
    ]
    if found.secrets:
        changes.append(Change(FIELD, None, f"set {', '.join(found.secrets)}"))
    return reconcile_step(
        desired, changes, f"Prefect's objects{source}: {'; '.join(parts)}", removed
    )


def _changes(old: PrefectObject, new: PrefectObject) -> Iterator[Change]:
    before, after = managed(old), managed(new)
    for field in dict.fromkeys((*before, *after)):
        name = shown_field(new, field)
        if field not in after:
            yield Change(name, before[field], "no longer in the file: left as it is")
        elif field not in before:
            yield Change(name, None, after[field])
        elif before[field] != after[field]:
            yield Change(name, before[field], after[field])


def _named(keys: Iterable[str]) -> str:
    names = list(keys)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _sets_database(step: PlanItem) -> bool:
    return isinstance(step, SetSecrets) and bool(step.tried)


def _is_pool(key: str) -> bool:
    return key.startswith(f"{WORK_POOLS}/")


def _by_section(objects: Iterable[PrefectObject]) -> Json:
    found: dict[str, list[Json]] = {}
    for entry in objects:
        found.setdefault(entry.section, []).append(entry.body)
    return found
