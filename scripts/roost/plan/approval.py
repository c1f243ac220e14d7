"""What people approved of a plan, and what of a later plan they did not. Pure.

A pull request shows a plan, and its merge plans again. Each step is sealed: a hash over all that it
would do, salted with the pull request's address, so that no seal can be carried over to another
one. A later plan may have fewer steps than were approved; any other step stops it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from roost.plan.document import Json, canonical, step_document
from roost.plan.secrets import FIELD
from roost.plan.steps import (
    BaseStep,
    Plan,
    ProveRelease,
    SetSecrets,
    StartMachine,
    Step,
    UpdateMachine,
)

SEAL_DIGITS = 24
# Wording, what follows from sleep alone, and the version that an apply compares by itself.
_NOT_SEALED = frozenset({"summary", "risk", "skip_launch", "current_version"})


@dataclass(frozen=True)
class Approved:
    """What was approved of one environment.

    Args:
        digest: of the plan that was shown.
        seals: of its steps.
        secrets: seals of the secrets that may be set, each with the source that was shown: those
            that the plan would set, and those whose values it did not have. No plan on a pull
            request knows values.
    """

    digest: str
    seals: frozenset[str]
    secrets: frozenset[str]

    def document(self) -> Json:
        """Give it as JSON."""
        return {
            "digest": self.digest,
            "seals": sorted(self.seals),
            "secrets": sorted(self.secrets),
        }


def approve(document: Json, salt: str) -> Approved:
    """Give what is approved by whoever merges a pull request that shows this plan document."""
    where = (document["environment"], document["app"])
    sources = {name: document["secret_sources"].get(name) for name in document["unchecked_secrets"]}
    for step in document["steps"]:
        if step["kind"] == SetSecrets.kind:
            sources |= {name: step["sources"].get(name) for name in step["names"]}
    return Approved(
        str(document["digest"]),
        frozenset(_seal(step, salt, where) for step in document["steps"]),
        frozenset(
            _secret_seal(name, source, salt, where) for name, source in sources.items() if source
        ),
    )


def sealed_fields(step: BaseStep) -> Json:
    """Return the fields of a step's kind that its seal covers: whoever approves it has to see them."""
    return {name: value for name, value in step.own.items() if name not in _NOT_SEALED}


def read_approved(document: Mapping[str, object]) -> Approved:
    """Read what `Approved.document` gave.

    Raises:
        ValueError: it is something else.
    """
    digest = document.get("digest")
    seals, secrets = document.get("seals"), document.get("secrets")
    if not (isinstance(digest, str) and isinstance(seals, list) and isinstance(secrets, list)):
        raise ValueError("no approval")  # noqa: TRY004 - one kind of error for all that does not fit
    return Approved(digest, frozenset(map(str, seals)), frozenset(map(str, secrets)))


def unapproved(plan: Plan, approved: Approved, salt: str) -> tuple[str, ...]:
    """Name each step of a plan that was not approved, in words, in the plan's order."""
    return tuple(_told(plan, approved, salt))


def approved_by_none(plan: Plan, approvals: Iterable[tuple[Approved, str]]) -> tuple[str, ...]:
    """Name each step that is in none of several approvals, each of which has its own salt."""
    first, *others = (unapproved(plan, approved, salt) for approved, salt in approvals)
    return tuple(told for told in first if all(told in other for other in others))


def _told(plan: Plan, approved: Approved, salt: str) -> Iterator[str]:
    where = (plan.environment, plan.app)
    rotates = any(isinstance(step, SetSecrets) for step in plan.steps)
    for step in plan.steps:
        if isinstance(step, SetSecrets):
            yield from _unknown_secrets(step, approved, salt, where)
        elif _seal(step_document(step), salt, where) not in approved.seals and not (
            _brings_nothing(step) or (rotates and _only_boots_with_secrets(step))
        ):
            yield f"{step.key}: {step.summary}"


def _unknown_secrets(
    step: SetSecrets, approved: Approved, salt: str, where: tuple[str, str]
) -> Iterator[str]:
    for name in step.names:
        source = step.sources.get(name)
        if source is None or _secret_seal(name, source, salt, where) not in approved.secrets:
            yield f"secret/{name}: take it from {source or 'a source that is not known'}"


def _brings_nothing(step: Step) -> bool:
    """Whether a step only starts or proves what is there as approved before."""
    return isinstance(step, StartMachine | ProveRelease)


def _only_boots_with_secrets(step: Step) -> bool:
    """Whether a step is nothing but the boot that a secret's new value needs."""
    return isinstance(step, UpdateMachine) and {c.field for c in step.changes} == {FIELD}


def _secret_seal(name: str, source: str, salt: str, where: tuple[str, str]) -> str:
    text = canonical([salt, *where, "secret", name, source])
    return hashlib.sha256(text.encode()).hexdigest()[:SEAL_DIGITS]


def _seal(step: Json, salt: str, where: tuple[str, str]) -> str:
    judged = {key: value for key, value in step.items() if key not in _NOT_SEALED}
    judged["changes"] = [c for c in step["changes"] if c["field"] != FIELD]
    text = canonical([salt, *where, judged])
    return hashlib.sha256(text.encode()).hexdigest()[:SEAL_DIGITS]
