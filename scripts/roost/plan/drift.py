"""Find the cause of each difference between live and desired. Pure.

A plan lists the differences. The record of the newest release says what the last apply sent. If live
equals that, the file changed since; if not, somebody changed the server by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from roost.fly.models import Machine
from roost.plan.compare import differences
from roost.plan.desired import OVERRIDE_KEY, SECRETS_KEY, Desired
from roost.plan.live import Live
from roost.plan.override import Override, decode
from roost.plan.ownership import find_volume, our_machines, slot_number, slot_of
from roost.plan.releases import Release, Verdict, current, releases_on
from roost.plan.resume import recover
from roost.plan.scope_check import CHANGES, OVERRIDE
from roost.plan.secrets import FIELD, State, secret_states
from roost.plan.steps import (
    Change,
    CopyDatabase,
    CreateMachine,
    CreateVolume,
    DestroyMachine,
    ExtendVolume,
    Json,
    Plan,
    ProveRelease,
    ReconcileObjects,
    SetSecrets,
    StartMachine,
    Step,
    UncordonMachine,
    UnsetSecrets,
    UpdateMachine,
    UpdateMetadata,
    UpdateVolume,
)


class Cause(Enum):
    """Why something differs. The value is what people read and what documents store."""

    NOT_APPLIED = "not applied yet"
    """Live is as the last apply left it: the file changed since."""
    BY_HAND = "changed by hand"
    """Live differs from what the last apply sent."""
    ENDED = "override ended"
    CUT_SHORT = "an apply was cut short"
    NOT_RUNNING = "not running"
    CORDONED = "kept from its visitors"
    """Cordoned by an interrupted destroy or by hand: a person decides whether it serves again."""
    REFUSED = "needs a person"
    """The plan refuses the change; the refusal explains why."""
    NO_DATA = "its volume is not there"
    """A new volume would be empty: a person decides between that and a backup."""
    NO_MACHINE = "its machine is not there"
    """A new machine would use the volume that is left: a person decides whether its data is right."""
    FAILED = "failed its gate"
    """There was no release to roll back to."""
    UNRECORDED = "no record of an apply"
    """Without a record the previous value is unknown: a person compares."""
    UNKNOWN = "cause unknown"
    """Without a record the previous value is unknown, and the change removes nothing."""


LEFT_TO_PEOPLE = frozenset(
    {
        Cause.NOT_APPLIED,
        Cause.NO_DATA,
        Cause.NO_MACHINE,
        Cause.CORDONED,
        Cause.REFUSED,
        Cause.FAILED,
        Cause.UNRECORDED,
    }
)
"""Causes of differences that the schedule leaves alone, as nobody approved the change."""
BEYOND_APPLY = frozenset({Cause.NO_DATA, Cause.NO_MACHINE, Cause.REFUSED})
"""Causes after which an apply is refused, or may be unwanted."""


@dataclass(frozen=True)
class Difference:
    """One difference between live and desired.

    Args:
        key: key of the step that ends the difference.
        what: the step in words, or why there is none.
        cause: why it differs.
        field: name of the field; empty if it is not about one.
        live: its value now; None for absent.
        wanted: its value as desired.
        sent: the value that the last apply sent, if somebody changed it by hand.
    """

    key: str
    what: str
    cause: Cause
    field: str = ""
    live: Any = None
    wanted: Any = None
    sent: Any = None

    def document(self) -> Json:
        """Return it as JSON."""
        return {**vars(self), "cause": self.cause.value}


@dataclass(frozen=True)
class _Evidence:
    """What the causes are derived from."""

    desired: Desired
    live: Live
    ours: Mapping[str, Machine]
    release: Release | None
    ended: Override | None
    secrets: bool
    """Whether the plan sets or removes secrets."""
    going_back: bool
    """Whether the plan finishes an interrupted rollback."""

    @property
    def never_applied(self) -> bool:
        """Whether there is no sign of an earlier apply."""
        wanted = self.desired.volume
        kept = wanted and find_volume(wanted, self.live, self.ours)
        return self.live.app is None or not (self.ours or kept)

    def ended_fields(self) -> set[str]:
        """Return the fields that the ended override had changed."""
        fields = self.ended.fields if self.ended else ()
        return {OVERRIDE}.union(*(CHANGES[name] for name in fields)) if fields else set()


def find_drift(
    plan: Plan, desired: Desired, live: Live, ended: Override | None
) -> tuple[Difference, ...]:
    """Return every difference that a plan would end, with its cause.

    Args:
        plan: the plan from `live` to `desired`.
        desired: the desired state, with the override and ignored fields in it.
        live: the live state.
        ended: an override that live still has and that has expired.
    """
    ours = our_machines(desired, live)
    release = current(releases_on(ours.values()))
    secrets = any(isinstance(step, SetSecrets | UnsetSecrets) for step in plan.steps)
    going_back = recover(desired, live, ours).failed is not None
    evidence = _Evidence(
        desired, live, ours, release, ended or _lost(release, ours), secrets, going_back
    )
    found = [difference for step in plan.steps for difference in _of_step(step, evidence)]
    found += [Difference(r.key, r.what, Cause.REFUSED) for r in plan.refusals]
    return tuple(found)


def _lost(release: Release | None, ours: Mapping[str, Machine]) -> Override | None:
    """Return the override of the newest release, if somebody removed it from the metadata."""
    if release is None or any(OVERRIDE_KEY in machine.metadata for machine in ours.values()):
        return None
    return decode(release.config["metadata"].get(OVERRIDE_KEY, ""))


def _of_step(step: Step, evidence: _Evidence) -> Iterator[Difference]:
    if isinstance(step, UpdateMachine):
        yield from _of_update(step, evidence)
    elif isinstance(step, SetSecrets | UnsetSecrets):
        yield from _of_secrets(step, evidence)
    else:
        changes = step.changes or (Change("", None, None),)
        for change in changes:
            cause = _cause(step, evidence)
            yield Difference(step.key, step.summary, cause, change.field, change.old, change.new)


def _cause(step: Step, evidence: _Evidence) -> Cause:  # noqa: PLR0911 - one return for each kind of step
    if isinstance(step, CreateVolume) and evidence.live.app is not None:
        return Cause.NO_DATA
    if evidence.never_applied or isinstance(step, ReconcileObjects | CopyDatabase):
        return Cause.NOT_APPLIED
    if isinstance(step, UpdateMetadata):
        return Cause.ENDED if evidence.ended else Cause.CUT_SHORT
    if isinstance(step, ProveRelease):
        failed = evidence.release is not None and evidence.release.verdict is Verdict.FAILED
        return Cause.FAILED if failed else Cause.CUT_SHORT
    if isinstance(step, StartMachine):
        return Cause.NOT_RUNNING
    if isinstance(step, UncordonMachine):
        return Cause.CORDONED
    if evidence.release is None:
        return _cause_without_record(step, evidence)
    if isinstance(step, CreateMachine):
        return _cause_of_missing(step, evidence, evidence.release)
    if isinstance(step, DestroyMachine):
        return _cause_of_surplus(step, evidence, evidence.release)
    return Cause.NOT_APPLIED if isinstance(step, ExtendVolume | UpdateVolume) else Cause.UNKNOWN


def _cause_without_record(step: Step, evidence: _Evidence) -> Cause:
    if isinstance(step, DestroyMachine):
        return Cause.UNRECORDED
    alone = isinstance(step, CreateMachine) and evidence.desired.volume is not None
    return Cause.NO_MACHINE if alone else Cause.UNKNOWN


def _cause_of_missing(step: CreateMachine, evidence: _Evidence, release: Release) -> Cause:
    if release.region_of(step.name) != step.region:
        return Cause.NOT_APPLIED
    if slot_number(step.name) <= release.machines:
        return Cause.CUT_SHORT if release.verdict is Verdict.PENDING else Cause.BY_HAND
    return Cause.ENDED if _ended_count(evidence) else Cause.NOT_APPLIED


def _cause_of_surplus(step: DestroyMachine, evidence: _Evidence, release: Release) -> Cause:
    machine = next(m for m in evidence.live.machines if m.id == step.machine)
    second = evidence.ours.get(slot_of(machine)) is not machine
    if second or slot_number(slot_of(machine)) > release.machines:
        return Cause.CUT_SHORT if release.verdict is Verdict.PENDING else Cause.BY_HAND
    return Cause.ENDED if _ended_count(evidence) else Cause.NOT_APPLIED


def _ended_count(evidence: _Evidence) -> bool:
    return evidence.ended is not None and "count" in evidence.ended.fields


def _of_update(step: UpdateMachine, evidence: _Evidence) -> Iterator[Difference]:
    machine = next(m for m in evidence.live.machines if m.id == step.machine)
    by_hand = _by_hand(machine, evidence.release)
    for change in step.changes:
        if change.field == FIELD and evidence.secrets:
            continue  # each secret has a difference of its own
        hand = by_hand.get(change.field)
        cause = _cause_of_change(change, evidence, hand)
        sent = hand.old if hand and cause is Cause.BY_HAND else None
        yield Difference(step.key, step.summary, cause, change.field, change.old, change.new, sent)


def _by_hand(machine: Machine, release: Release | None) -> dict[str, Change]:
    """Return the live fields that differ from the release: from the value sent to the live one."""
    if release is None:
        return {}
    metadata = release.config.get("metadata") or {}
    kept = {key: value for key, value in metadata.items() if key != OVERRIDE_KEY}
    found = differences({**release.config, "metadata": kept}, machine.config or {})
    return {change.field: Change(change.field, change.new, change.old) for change in found}


def _cause_of_change(change: Change, evidence: _Evidence, hand: Change | None) -> Cause:
    if evidence.release is None:
        return Cause.UNRECORDED
    if evidence.going_back:
        return Cause.CUT_SHORT
    if hand is not None:
        return Cause.BY_HAND
    if change.field in evidence.ended_fields():
        return Cause.ENDED
    if change.field in {OVERRIDE, FIELD}:
        return Cause.CUT_SHORT
    return Cause.NOT_APPLIED


# The causes that follow from the state of a secret (plan/secrets.py).
_SECRET_CAUSES = {
    State.BY_HAND: Cause.BY_HAND,
    State.CHANGED: Cause.NOT_APPLIED,
    State.UNKNOWN: Cause.UNKNOWN,
}


def _of_secrets(step: SetSecrets | UnsetSecrets, evidence: _Evidence) -> Iterator[Difference]:
    """Yield a difference for each secret; values never appear."""
    states = {
        s.name: s.state for s in secret_states(evidence.desired, evidence.live, evidence.ours)
    }
    for name in step.names:
        state = states.get(name, State.UNKNOWN)
        cause = _SECRET_CAUSES.get(state) or _cause_of_names(step, evidence)
        yield Difference(f"secret/{name}", f"{name}: {state.value}", cause)


def _cause_of_names(step: SetSecrets | UnsetSecrets, evidence: _Evidence) -> Cause:
    """Return why a secret is missing or extra: did the file's list of names change?

    A removed secret is lost, so `BY_HAND`, which the schedule heals, needs proof: the last apply
    had the same names and would have removed it too.
    """
    if evidence.never_applied:
        return Cause.NOT_APPLIED
    if evidence.release is None or not evidence.desired.machines:
        return Cause.UNKNOWN
    if isinstance(step, UnsetSecrets) and not evidence.release.prune:
        return Cause.NOT_APPLIED
    sent = evidence.release.config["metadata"].get(SECRETS_KEY)
    asked = evidence.desired.machines[0].config["metadata"].get(SECRETS_KEY)
    return Cause.BY_HAND if sent == asked else Cause.NOT_APPLIED


class DifferenceLike(Protocol):
    """A difference, as it was found or as it was read from a report."""

    @property
    def cause(self) -> Cause:
        """Why it differs."""

    @property
    def wanted(self) -> Any:
        """Its value as desired."""

    @property
    def sent(self) -> Any:
        """The value that the last apply sent, if somebody changed it by hand."""


def changed_twice(difference: DifferenceLike) -> bool:
    """Return whether a field changed by hand also changed in the file, or by an override's end.

    Restoring it then means applying the new value.
    """
    return difference.cause is Cause.BY_HAND and difference.sent != difference.wanted


def may_heal(differences: Sequence[Difference]) -> bool:
    """Return whether healing only restores values that were applied before."""
    causes = {difference.cause for difference in differences}
    return not causes & LEFT_TO_PEOPLE and not any(map(changed_twice, differences))


def only_apply_ends(differences: Sequence[DifferenceLike]) -> bool:
    """Return whether there are several things to do, and an apply does all of them."""
    causes = {difference.cause for difference in differences}
    if causes & BEYOND_APPLY:
        return False
    moved_on = Cause.NOT_APPLIED in causes and len(causes) > 1
    return moved_on or any(map(changed_twice, differences))


def only_ended(differences: tuple[Difference, ...]) -> bool:
    """Return whether every difference is left by an expired override."""
    return {d.cause for d in differences} == {Cause.ENDED}
