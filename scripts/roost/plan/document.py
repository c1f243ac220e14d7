"""A plan as JSON: canonical, with a digest that says whether two plans are the same."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from roost.plan.cost import CostChange
from roost.plan.steps import BaseStep, Change, Plan

Json = dict[str, Any]
FORMAT = 2
"""Raised where a document of before would be misread: since 2 it has the sources of secrets."""
_NOT_JUDGED = frozenset({"summary", "risk", "skip_launch"})


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
    """Return one step: what all steps say, then what its kind adds."""
    return {
        "kind": step.kind,
        "key": step.key,
        "summary": step.summary,
        "risk": step.risk.word,
        "changes": [_change(change) for change in step.changes],
        **step.own,
    }


def plan_digest(plan: Plan) -> str:
    """Return the sha256 over environment, base state and steps.

    Neither wording is part of it nor what follows from sleep alone: a server that fell asleep since
    the plan was approved is changed as approved, only without being woken.
    """
    steps = [step_document(step) for step in plan.steps]
    judged = {
        "format": FORMAT,
        "environment": plan.environment,
        "app": plan.app,
        "base": plan.base,
        "steps": [{k: v for k, v in step.items() if k not in _NOT_JUDGED} for step in steps],
    }
    return hashlib.sha256(canonical(judged).encode()).hexdigest()


def canonical(value: Any) -> str:
    """Return JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _change(change: Change) -> Json:
    return {"field": change.field, "old": change.old, "new": change.new}
