"""Compare the declared secrets with what Fly has, without a single value from there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from roost.fly.models import Machine, SecretInfo
from roost.plan.desired import Desired, ValueCheck
from roost.plan.live import Live
from roost.plan.ownership import our_machines
from roost.plan.secret_fingerprints import Mark, Marks, read_marks, same_value
from roost.plan.steps import Change, Step, UpdateMachine
from roost.secret_text import SecretText

FIELD = "secrets"
"""The field of a machine's changes that stands for the secrets it boots with."""


class State(Enum):
    """How a secret stands; the word is what people read."""

    UNCHANGED = "unchanged"
    MISSING = "missing"
    """Declared, and not on Fly."""
    CHANGED = "changed"
    """The value here is another one than the last apply set."""
    BY_HAND = "set by hand"
    """Fly's digest is another one than the last apply was given."""
    UNKNOWN = "unknown"
    """No apply has set it yet, so nobody can say which value it has."""
    UNCHECKED = "not checked"
    """As the last apply left it as far as one can see; the value is not here to compare."""
    EXTRA = "extra"
    """On Fly, and not declared."""

    @property
    def is_set(self) -> bool:
        """Whether an apply sets it."""
        return self in _SET


_VARIABLE = "env "
"""Begins a source that is a variable; in a workflow, a secret that GitHub keeps."""
_SET = {State.MISSING, State.CHANGED, State.BY_HAND, State.UNKNOWN}
_WHY = {
    State.MISSING: "missing",
    State.CHANGED: "its value changed",
    State.BY_HAND: "not as it was last applied",
    State.UNKNOWN: "its value is unknown",
}


@dataclass(frozen=True)
class SecretState:
    """One secret and how it stands."""

    name: str
    state: State

    def reason(self, source: str) -> str:
        """Return its name, why it is set, and where its value comes from."""
        return f"{self.name} ({_WHY[self.state]}, from {source_text(self.name, source)})"


def source_text(name: str, source: str) -> str:
    """Return a secret's source in words: most come from the variable that is called as they are."""
    return "the variable of the same name" if source == f"env {name}" else source


def moved_sources(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Return which secrets have another source than before; a new secret has none before.

    Args:
        before: sources by the name of the secret.
        after: the same, now.
    """
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            was, now = (source_text(name, source) for source in (before[name], after[name]))
            yield f"The value of the secret {name} comes from {now} now. It came from {was}."


def secret_states(
    desired: Desired, live: Live, ours: Mapping[str, Machine]
) -> tuple[SecretState, ...]:
    """Return every secret that is declared or there, by name: the declared ones first."""
    on_fly = {secret.name: secret for secret in live.secrets}
    marked = {name for machine in ours.values() for name in read_marks(machine.metadata)}
    fitting = fitting_marks(desired, live, ours)

    def judge(name: str) -> State:
        if name not in on_fly:
            return State.MISSING
        if name not in fitting:
            if any(machine.config is None for machine in ours.values()):
                return State.UNCHECKED  # it may be marked on a machine whose host does not answer
            return State.BY_HAND if name in marked else State.UNKNOWN
        return _compared(fitting[name], desired.values)

    declared = [SecretState(name, judge(name)) for name in desired.secrets]
    extra = sorted(set(on_fly) - set(desired.secrets))
    return (*declared, *(SecretState(name, State.EXTRA) for name in extra))


def _compared(mark: Mark, values: ValueCheck) -> State:
    if mark.fingerprint in values.changed:
        return State.CHANGED
    return State.UNCHANGED if mark.fingerprint in values.same else State.UNCHECKED


def check_values(
    desired: Desired, live: Live, ours: Mapping[str, Machine], values: Mapping[str, SecretText]
) -> ValueCheck:
    """Hold the values that are here to the fingerprints; the slow part, so done once."""
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
    """Return the marks of declared secrets that are still true: Fly has what was set then."""
    fitting: dict[str, Mark] = {}
    for _, machine in sorted(ours.items()):
        marks = read_marks(machine.metadata)
        for secret in live.secrets:
            mark = marks.get(secret.name)
            if secret.name in desired.secrets and mark and _fits(mark, secret):
                fitting.setdefault(secret.name, mark)
    return fitting


def _fits(mark: Mark, secret: SecretInfo) -> bool:
    return mark.digest == secret.digest


def behind(desired: Desired, live: Live, machine: Machine) -> bool:
    """Return whether a machine was last sent with other secrets than Fly has now.

    So it is where an apply died between setting them and booting the machine with them.
    """
    marks = read_marks(machine.metadata)
    declared = [secret for secret in live.secrets if secret.name in desired.secrets]
    return any(not (m := marks.get(secret.name)) or not _fits(m, secret) for secret in declared)


def unreviewed_values(
    desired: Desired,
    live: Live,
    values: Mapping[str, SecretText],
    names: Iterable[str],
) -> tuple[str, ...]:
    """Name the secrets whose value is another one than the last apply set, where no review saw that.

    A file of SOPS is changed by a pull request. A variable's value comes from a secret of GitHub,
    which everybody with write access can overwrite. One that no apply has set is no other one.

    Args:
        desired: what is asked for.
        live: what is there.
        values: those that are here.
        names: the secrets to be set.
    """
    ours = our_machines(desired, live)
    fitting = fitting_marks(desired, live, ours)
    marks = [read_marks(machine.metadata) for _, machine in sorted(ours.items())]

    def is_other(name: str) -> bool:
        """Where Fly's own digest says that a hand set it since, any mark of an apply counts."""
        held = [fitting[name]] if name in fitting else [m[name] for m in marks if name in m]
        if not held or name not in values:  # an apply without a value is refused anyway
            return False
        return not any(same_value(values[name], mark.fingerprint) for mark in held)

    return tuple(
        name for name in names if desired.sources[name].startswith(_VARIABLE) and is_other(name)
    )


def changes_secrets(desired: Desired, live: Live) -> bool:
    """Return whether an apply would set or remove a secret."""
    states = secret_states(desired, live, our_machines(desired, live))
    return any(s.state.is_set or (desired.prune and s.state is State.EXTRA) for s in states)


def rotates_asleep(steps: Iterable[Step]) -> bool:
    """Return whether steps do nothing but give sleeping machines other values of their secrets."""
    updates = [step for step in steps if isinstance(step, UpdateMachine)]
    rest = {step.kind for step in steps} - {"set-secrets", "unset-secrets", "update-machine"}
    return bool(updates) and not rest and all(_only_secrets_asleep(step) for step in updates)


def _only_secrets_asleep(step: UpdateMachine) -> bool:
    return step.skip_launch and all(change.field == FIELD for change in step.changes)


def sees_other_secrets(changes: Iterable[Change]) -> bool:
    """Return whether changes of a machine are about its secrets too."""
    return any(change.field == FIELD for change in changes)
