"""Read the plan document of another job, for a report. Pure.

Somebody else may have written the file. So its form and sizes are checked, and its steps are shown
but never carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roost.errors import BadDocumentError
from roost.plan.awake_windows import HOURS_A_MONTH
from roost.plan.budget import HOURS_PER_DAY, BudgetCheck
from roost.plan.cost import Cost, CostChange
from roost.plan.steps import BaseStep, Change, Json, Plan, Refusal, Risk

Text = Annotated[str, Field(max_length=20_000)]
Name = Annotated[str, Field(max_length=300)]
_NAME = r"[a-z0-9][a-z0-9-]{0,62}"
Environment = Annotated[str, Field(pattern=rf"^{_NAME}([.]{_NAME})?$")]
"""The name of an environment, or of a flow server, `ENVIRONMENT.NAME`."""
_MOST = 5_000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Change(_Part):
    field: Text
    old: Any
    new: Any


class _Step(_Part):
    kind: Name
    key: Name
    summary: Text
    risk: Literal["none", "restart", "downtime", "migration", "data"]
    changes: Annotated[tuple[_Change, ...], Field(max_length=_MOST)]


class _Refusal(_Part):
    key: Name
    what: Text
    advice: Text


class _Cost(_Part):
    low: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    high: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    window_hours: Annotated[float, Field(ge=0, le=HOURS_A_MONTH, allow_inf_nan=False)] = 0.0


class _Budget(_Part):
    monthly_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    low: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    high: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    hours_per_day: Annotated[float, Field(ge=0, le=HOURS_PER_DAY, allow_inf_nan=False)]


class _CostChange(_Part):
    now: _Cost
    then: _Cost
    source: Text
    date: Name
    budget: _Budget | None = None


class _Document(_Part):
    format: Literal[2]
    environment: Environment
    app: Name
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    steps: Annotated[tuple[_Step, ...], Field(max_length=_MOST)]
    refusals: Annotated[tuple[_Refusal, ...], Field(max_length=_MOST)]
    warnings: Annotated[tuple[Text, ...], Field(max_length=_MOST)]
    unchecked_secrets: Annotated[tuple[Name, ...], Field(max_length=_MOST)]
    secret_sources: Annotated[dict[Name, Text], Field(max_length=_MOST)]
    cost: _CostChange | None = None


@dataclass(frozen=True, kw_only=True)
class ShownStep(BaseStep):
    """A step as it is shown; it cannot be carried out.

    Args:
        given: the fields that its kind adds.
    """

    kind = "shown"
    given: Json

    @property
    def own(self) -> Json:
        """The fields that its kind adds."""
        return self.given


def read_plan(document: Json, where: str) -> tuple[Plan, CostChange | None, str]:
    """Return the plan of a document as it is shown, its cost and its digest.

    Args:
        document: a result of `plan_document`, not yet checked.
        where: name of its file, for messages.

    Raises:
        BadDocumentError: the document has another form.
    """
    try:
        read = _Document.model_validate(document)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise BadDocumentError(
            f"The file is not a plan document: {place or 'the whole document'} has another form.",
            where=where,
        ) from error
    steps = tuple(map(_step, read.steps, document["steps"]))
    refusals = tuple(Refusal(r.key, r.what, r.advice) for r in read.refusals)
    plan = Plan(
        read.environment,
        read.app,
        steps,  # type: ignore[arg-type] # shown, and never carried out
        refusals,
        read.warnings,
        {},
        read.unchecked_secrets,
        read.secret_sources,
    )
    return plan, _cost(read.cost), read.digest


def _step(step: _Step, written: Json) -> ShownStep:
    return ShownStep(
        key=step.key,
        summary=step.summary,
        risk=Risk[step.risk.upper()],
        changes=tuple(Change(c.field, c.old, c.new) for c in step.changes),
        given={name: value for name, value in written.items() if name not in _Step.model_fields},
    )


def _cost(cost: _CostChange | None) -> CostChange | None:
    if cost is None:
        return None
    now, then = (Cost(**each.model_dump()) for each in (cost.now, cost.then))
    budget = BudgetCheck(**cost.budget.model_dump()) if cost.budget else None
    return CostChange(now, then, cost.source, cost.date, budget)
