"""Write a plan as JSON, with a digest that is equal for equal plans."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from roost.plan.cost import CostChange
from roost.plan.steps import BaseStep, Change, Plan

Json = dict[str, Any]
FORMAT = 2
"""Increased when an older document would be misread. Format 2 added the sources of secrets."""
_NOT_IN_DIGEST = frozenset({"summary", "risk", "skip_launch"})


def plan_document(plan: Plan, cost: CostChange | None = None) -> Json:
    """Return the whole plan as one JSON object."""
    document: Json = {
        "format": FORMAT,
        "environment": plan.environment,
        "app": plan.app,
        "digest": plan_digest(plan),
        "risk": plan.risk.word,
        "steps": [step_document(step) for step in plan.steps],
        "refusals": [vars(refusal) for refusal in plan.refusals],
        "warnings": list(plan.warnings),
        "unchecked_secrets": list(plan.unchecked),
        "secret_sources": dict(plan.sources),
        "base": plan.base,
    }
    if cost is not None:
        document["cost"] = cost.document()
    return document


def step_document(step: BaseStep) -> Json:
    """Return one step: the common fields, then those of its kind."""
    return {
        "kind": step.kind,
        "key": step.key,
        "summary": step.summary,
        "risk": step.risk.word,
        "changes": [_change(change) for change in step.changes],
        **step.own,
    }


def plan_digest(plan: Plan) -> str:
    """Return the sha256 of environment, base state and steps.

    It leaves out wording and what depends only on sleep: a server that fell asleep after the plan
    was approved is changed as approved, only without being woken.
    """
    steps = [step_document(step) for step in plan.steps]
    content = {
        "format": FORMAT,
        "environment": plan.environment,
        "app": plan.app,
        "base": plan.base,
        "steps": [{k: v for k, v in step.items() if k not in _NOT_IN_DIGEST} for step in steps],
    }
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def canonical(value: Any) -> str:
    """Return JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _change(change: Change) -> Json:
    return {"field": change.field, "old": change.old, "new": change.new}
