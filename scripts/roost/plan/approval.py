"""Compare a plan with the plan that people approved by merging a pull request. Pure.

A pull request shows a plan, and the deploy after its merge makes a new one. Each approved step has a
seal: a hash of everything it does, salted with the address of the pull request, so that a seal of one
pull request is worthless in another. A later plan may have fewer steps; a step without a seal stops
the deploy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roost.plan.document import Json, canonical, step_document
from roost.plan.secrets import FIELD, gives_new_values
from roost.plan.steps import (
    BaseStep,
    Plan,
    ProveRelease,
    ReconcileObjects,
    SetSecrets,
    StartMachine,
    Step,
    UpdateMachine,
)

SEAL_DIGITS = 24
# Left out: wording, what depends only on sleep, and the version, which an apply compares itself.
_NOT_SEALED = frozenset({"summary", "risk", "skip_launch", "current_version"})


@dataclass(frozen=True)
class Approved:
    """What was approved of one environment.

    Args:
        digest: digest of the plan that was shown.
        seals: the seals of its steps.
        secrets: the seals of the secrets that may be set, each with the source that was shown:
            those that the plan sets, and those whose values were not available. A plan on a
            pull request has no values.
    """

    digest: str
    seals: frozenset[str]
    secrets: frozenset[str]

    def document(self) -> Json:
        """Return it as JSON."""
        return {
            "digest": self.digest,
            "seals": sorted(self.seals),
            "secrets": sorted(self.secrets),
        }


def approve(document: Json, salt: str) -> Approved:
    """Return what the merge of a pull request that shows this plan document approves."""
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
    """Return the fields of a step that its seal covers; the pull request must show them."""
    return {name: value for name, value in step.own.items() if name not in _NOT_SEALED}


def read_approved(document: Mapping[str, object]) -> Approved:
    """Read the result of `Approved.document`.

    Raises:
        ValueError: the document has another form.
    """
    digest = document.get("digest")
    seals, secrets = document.get("seals"), document.get("secrets")
    if not (isinstance(digest, str) and isinstance(seals, list) and isinstance(secrets, list)):
        raise ValueError("no approval")  # noqa: TRY004 - one kind of error for all that does not fit
    return Approved(digest, frozenset(map(str, seals)), frozenset(map(str, secrets)))


@dataclass(frozen=True)
class Need:
    """One thing that must be approved before a plan is carried out: a step, or one of its secrets.

    Args:
        text: the step or secret in words.
        step: the step.
        secret: name of a secret that the step sets; empty for the step as a whole.
    """

    text: str
    step: Step
    secret: str = ""

    @property
    def source(self) -> str:
        """The source of the secret's value; empty if it is unknown."""
        if not isinstance(self.step, SetSecrets | ReconcileObjects):
            return ""
        return self.step.sources.get(self.secret, "")


def needs(plan: Plan) -> Iterator[Need]:
    """List what must be approved, in the plan's order."""
    rotates = any(isinstance(step, SetSecrets) for step in plan.steps)
    for step in plan.steps:
        if isinstance(step, SetSecrets):
            yield from (_secret_need(step, name) for name in step.names)
        elif isinstance(step, ReconcileObjects) and gives_new_values(step):
            yield from (_secret_need(step, name) for name in step.sources)
        elif not (_only_starts(step) or (rotates and _only_boots_with_secrets(step))):
            yield Need(f"{step.key}: {step.summary}", step)


def is_sealed(need: Need, plan: Plan, approved: Approved, salt: str) -> bool:
    """Return whether an approval covers a need of a plan."""
    where = (plan.environment, plan.app)
    if not need.secret:
        return _seal(step_document(need.step), salt, where) in approved.seals
    sealed = _secret_seal(need.secret, need.source, salt, where)
    return bool(need.source) and sealed in approved.secrets


def unapproved(plan: Plan, approved: Approved, salt: str) -> tuple[str, ...]:
    """List the needs of a plan that an approval does not cover, in words, in the plan's order."""
    return tuple(n.text for n in needs(plan) if not is_sealed(n, plan, approved, salt))


def _secret_need(step: SetSecrets | ReconcileObjects, name: str) -> Need:
    source = step.sources.get(name) or "a source that is not known"
    return Need(f"secret/{name}: take it from {source}", step, name)


def _only_starts(step: Step) -> bool:
    """Return whether a step only starts or proves a machine that was approved before."""
    return isinstance(step, StartMachine | ProveRelease)


def _only_boots_with_secrets(step: Step) -> bool:
    """Return whether a step is only the restart that a secret's new value needs."""
    return isinstance(step, UpdateMachine) and {c.field for c in step.changes} == {FIELD}


def _secret_seal(name: str, source: str, salt: str, where: tuple[str, str]) -> str:
    text = canonical([salt, *where, "secret", name, source])
    return hashlib.sha256(text.encode()).hexdigest()[:SEAL_DIGITS]


def _seal(step: Json, salt: str, where: tuple[str, str]) -> str:
    sealed = {key: value for key, value in step.items() if key not in _NOT_SEALED}
    sealed["changes"] = [c for c in step["changes"] if c["field"] != FIELD]
    text = canonical([salt, *where, sealed])
    return hashlib.sha256(text.encode()).hexdigest()[:SEAL_DIGITS]
