"""What a rehearsal is about, and what it measured: a failure reports that, too."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from roost.environment.load import EnvironmentFile
from roost.errors import ExitCode
from roost.operations.context import Context
from roost.plan.steps import Plan
from roost.prefect.probe import CheckResult
from roost.report.rehearsal import (
    MAX_CHECKS,
    MAX_STEPS,
    CheckFound,
    Memory,
    Rehearsal,
    StepDone,
    Wake,
    clipped,
)
from roost.report.wording import one_line


@dataclass(frozen=True)
class Revision:
    """One revision of an environment: the base or the head."""

    context: Context
    file: EnvironmentFile


@dataclass(frozen=True)
class Base:
    """What the change is applied to; `note` says what is unusual about it."""

    kind: Literal["created", "none", "same"]
    side: Revision | None = None
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """The result of one rehearsal, and its exit code."""

    rehearsal: Rehearsal
    code: ExitCode = ExitCode.DONE


class BaseFailedError(Exception):
    """The base could not be deployed."""


@dataclass
class Measurements:
    """The measurements so far; a failure reports them, too."""

    found: dict[str, Any] = field(default_factory=dict)
    wake: dict[str, float] = field(default_factory=dict)
    peaks: list[int] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)

    def rehearsal(self, head: Revision, base: Base, outcome: str, **more: Any) -> Rehearsal:
        """Return the measurements as a report."""
        peak = {"peak": max(self.peaks)} if self.peaks else {}
        wake = {name: round(seconds, 3) for name, seconds in self.wake.items()}
        return Rehearsal.model_validate(
            {
                "environment": head.file.name,
                "outcome": outcome,
                "base": base.kind,
                "prefect": head.file.environment.prefect.version,
                "wake": Wake(**wake),
                "memory_mb": Memory(**self.memory, **peak),
                **self.found,
                **more,
            }
        )

    def add_gate(self, results: tuple[CheckResult, ...]) -> None:
        """Add the checks of one gate."""
        self.found["gate"] = (*self.found.get("gate", ()), *checks_found(results))

    def seconds(self, name: str, began: float) -> None:
        """Record how long a part took, in seconds."""
        self.found[f"{name}_seconds"] = round(time.monotonic() - began, 3)


def checks_found(checks: tuple[CheckResult, ...]) -> tuple[CheckFound, ...]:
    """Return the checks of a gate as a report has them."""
    return tuple(
        CheckFound(
            name=clipped(check.name),
            ok=check.ok,
            seconds=round(check.seconds, 3),
            detail=clipped(one_line(check.detail or ("" if check.ok else check.advice))),
        )
        for check in checks[:MAX_CHECKS]
    )


def steps_done(plan: Plan) -> tuple[StepDone, ...]:
    """Return the steps of a plan as a report has them."""
    return tuple(
        StepDone(key=clipped(one_line(step.key)), summary=clipped(one_line(step.summary)))
        for step in plan.steps[:MAX_STEPS]
    )
