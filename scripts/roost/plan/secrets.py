"""Compare the declared secrets with those on Fly, which returns no values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from roost.fly.models import Machine, SecretInfo
from roost.plan.desired import Desired, ValueCheck
from roost.plan.live import Live
from roost.plan.ownership import is_adopted, our_machines
from roost.plan.secret_fingerprints import Mark, Marks, found_mark, is_found, read_marks, same_value
from roost.plan.steps import Change, ReconcileObjects, Step, UpdateMachine
from roost.secret_text import SecretText

FIELD = "secrets"
"""The name, in the changes of a machine, of the secrets that it boots with."""


class State(Enum):
    """The state of a secret; the value is what people read."""

    UNCHANGED = "unchanged"
    MISSING = "missing"
    """Declared, but not on Fly."""
    CHANGED = "changed"
    """Its value differs from what the last apply set."""
    BY_HAND = "set by hand"
    """Fly's digest differs from the one that the last apply got."""
    UNKNOWN = "unknown"
    """No apply has set it yet, so its live value is unknown."""
    UNCHECKED = "not checked"
    """Its digest is as the last apply left it; the value is not available to compare."""
    EXTRA = "extra"
    """On Fly, but not declared."""

    @property
    def is_set(self) -> bool:
        """Whether an apply sets it."""
        return self in _SET


VARIABLE = "env "
"""The prefix of a source that is a variable; in a workflow, a GitHub secret."""
_SET = {State.MISSING, State.CHANGED, State.BY_HAND, State.UNKNOWN}
_WHY = {
    State.MISSING: "missing",
    State.CHANGED: "its value changed",
    State.BY_HAND: "not as it was last applied",
    State.UNKNOWN: "its value is unknown",
}


@dataclass(frozen=True)
class SecretState:
    """A secret and its state."""

    name: str
    state: State

    def reason(self, source: str) -> str:
        """Return its name, why it is set, and the source of its value."""
        return f"{self.name} ({_WHY[self.state]}, from {source_text(self.name, source)})"


def source_text(name: str, source: str) -> str:
    """Return the source of a secret in words; most come from a variable of the same name."""
    return "the variable of the same name" if source == f"env {name}" else source


def moved_sources(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each secret whose source changed.

    Args:
        before: the sources before, by the secret's name.
        after: the sources now.
    """
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            was, now = (source_text(name, source) for source in (before[name], after[name]))
            yield f"The value of the secret {name} comes from {now} now. It came from {was}."


def secret_states(
    desired: Desired, live: Live, ours: Mapping[str, Machine]
) -> tuple[SecretState, ...]:
    """Return the state of every secret: the declared ones first, then others on Fly."""
    on_fly = {secret.name: secret for secret in live.secrets}
    marked = {name for machine in ours.values() for name in read_marks(machine.metadata)}
    fitting = fitting_marks(desired, live, ours)

    def state_of(name: str) -> State:
        if name not in on_fly:
            return State.MISSING
        if name not in fitting:
            if any(machine.config is None for machine in ours.values()):
                return State.UNCHECKED  # a machine whose host does not answer may have its mark
            return State.BY_HAND if name in marked else State.UNKNOWN
        return _compared(fitting[name], desired.values)

    declared = [SecretState(name, state_of(name)) for name in desired.secrets]
    extra = sorted(set(on_fly) - set(desired.secrets))
    return (*declared, *(SecretState(name, State.EXTRA) for name in extra))


def _compared(mark: Mark, values: ValueCheck) -> State:
    if mark.fingerprint in values.changed:
        return State.UNKNOWN if is_found(mark) else State.CHANGED
    return State.UNCHANGED if mark.fingerprint in values.same else State.UNCHECKED


def check_values(
    desired: Desired, live: Live, ours: Mapping[str, Machine], values: Mapping[str, SecretText]
) -> ValueCheck:
    """Compare the available values with the fingerprints. This is slow, so it is done once."""
    fitting = fitting_marks(desired, live, ours)
    found = {
        mark.fingerprint: same_value(values[name], mark.fingerprint)
        for name, mark in fitting.items()
        if name in values
    }
    return ValueCheck(
        changed=frozenset(known for known, same in found.items() if not same),
        same=frozenset(known for known, same in found.items() if same),
    )


def fitting_marks(desired: Desired, live: Live, ours: Mapping[str, Machine]) -> Marks:
    """Return the marks of declared secrets whose digest on Fly is unchanged.

    A machine that is adopted has none: its secrets are as they were found, and stay until a value is
    given.
    """
    fitting: dict[str, Mark] = {}
    for _, machine in sorted(ours.items()):
        marks = read_marks(machine.metadata)
        if is_adopted(machine, desired):
            marks = {s.name: found_mark(s.name, s.digest) for s in live.secrets}
        for secret in live.secrets:
            mark = marks.get(secret.name)
            if secret.name in desired.secrets and mark and _fits(mark, secret):
                fitting.setdefault(secret.name, mark)
    return fitting


def _fits(mark: Mark, secret: SecretInfo) -> bool:
    return mark.digest == secret.digest


def behind(desired: Desired, live: Live, machine: Machine) -> bool:
    """Return whether a machine's config was last sent with other secrets than Fly has now.

    That happens if an apply was killed after it set secrets and before it restarted the machine.
    """
    if is_adopted(machine, desired):
        return False  # no apply of Roost has sent it anything
    marks = read_marks(machine.metadata)
    declared = [secret for secret in live.secrets if secret.name in desired.secrets]
    return any(not (m := marks.get(secret.name)) or not _fits(m, secret) for secret in declared)


def unreviewed_values(
    desired: Desired,
    live: Live,
    values: Mapping[str, SecretText],
    names: Iterable[str],
) -> tuple[str, ...]:
    """Return the secrets whose value differs from the last apply's without a review of the change.

    A SOPS file changes by pull request. A variable's value comes from a GitHub secret, which everybody
    with write access can overwrite. A secret that no apply has set has no earlier value.

    Args:
        desired: the desired state.
        live: the live state.
        values: the available values.
        names: the secrets to be set.
    """
    ours = our_machines(desired, live)
    fitting = fitting_marks(desired, live, ours)
    marks = [read_marks(machine.metadata) for _, machine in sorted(ours.items())]

    def is_other(name: str) -> bool:
        """Compare with the fitting mark; if the secret was set by hand since, with any mark."""
        held = [fitting[name]] if name in fitting else [m[name] for m in marks if name in m]
        held = [mark for mark in held if not is_found(mark)]
        if not held or name not in values:  # an apply without the value is refused anyway
            return False
        return not any(same_value(values[name], mark.fingerprint) for mark in held)

    return tuple(
        name for name in names if desired.sources[name].startswith(VARIABLE) and is_other(name)
    )


def changes_secrets(desired: Desired, live: Live) -> bool:
    """Return whether an apply would set or remove a secret."""
    states = secret_states(desired, live, our_machines(desired, live))
    return any(s.state.is_set or (desired.prune and s.state is State.EXTRA) for s in states)


def rotates_asleep(steps: Iterable[Step]) -> bool:
    """Return whether the steps only change secrets of sleeping machines."""
    updates = [step for step in steps if isinstance(step, UpdateMachine)]
    rest = {step.kind for step in steps} - {"set-secrets", "unset-secrets", "update-machine"}
    return bool(updates) and not rest and all(_only_secrets_asleep(step) for step in updates)


def gives_new_values(step: ReconcileObjects) -> bool:
    """Return whether a step only gives Prefect's blocks new values of secrets that they have."""
    return {change.field for change in step.changes} == {FIELD}


def _only_secrets_asleep(step: UpdateMachine) -> bool:
    return step.skip_launch and all(change.field == FIELD for change in step.changes)


def sees_other_secrets(changes: Iterable[Change]) -> bool:
    """Return whether changes of a machine include its secrets."""
    return any(change.field == FIELD for change in changes)
