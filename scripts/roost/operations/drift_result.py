"""What a comparison with Fly found: of one environment, and of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from roost.errors import ExitCode, InvalidFilesError, RoostError
from roost.fly.models import Machine
from roost.operations.orphaned_apps import Orphans
from roost.operations.planning import Planned
from roost.operations.server_state import last_death, our_machines_in
from roost.plan.awake_time import awake_time
from roost.plan.drift import Cause, Difference
from roost.plan.fleet import CRITICAL, State, state_of
from roost.plan.steps import Json
from roost.report.drift import BudgetFound

BOOT_S = 600.0
"""How long a server may take to boot: a new volume, a migration or a restore takes minutes."""

# The worst exit code of several environments counts; an error is worse than drift.
WORST_LAST = (
    ExitCode.DONE,
    ExitCode.CHANGES,
    ExitCode.BAD_INPUT,
    ExitCode.ERROR,
    ExitCode.ROLLED_BACK,
    ExitCode.NOT_ROLLED_BACK,
)


@dataclass(frozen=True)
class DriftFound:
    """The drift of one environment, and whether it was healed."""

    name: str
    planned: Planned | None = None
    differences: tuple[Difference, ...] = ()
    healed: bool = False
    error: RoostError | None = None
    new: bool = False
    """Whether it was never deployed, so that nothing can have drifted."""
    objects_note: str = ""
    """Why Prefect's objects were not compared; empty if they were, or if there are none."""

    @property
    def is_empty(self) -> bool:
        """Whether Fly has neither a machine nor a volume of it."""
        return self.planned is not None and not (
            self.planned.live.machines or self.planned.live.volumes
        )

    def down(self, now: datetime) -> str:
        """Return why the server is down; empty if it runs, sleeps, changes, or is not known.

        A server has BOOT_S seconds to boot before a failed health check of Fly's counts.
        """
        if self.planned is None:
            return ""
        ours = our_machines_in(self.planned.file, self.planned.live)
        deaths = [death for machine in ours if (death := last_death(machine))]
        state = state_of(self.planned.live, ours, has_failed=bool(deaths))
        if state is State.FAILED:
            return f"no machine runs, and one ended unasked: {deaths[0].what}"
        if state is not State.ILL or not all(_has_booted(machine, now) for machine in ours):
            return ""
        checks = (check for machine in ours for check in machine.checks)
        failing = sorted({check.name for check in checks if check.status == CRITICAL})
        return f"it is awake, and Fly's health check fails: {', '.join(failing)}."

    @property
    def objects_notes(self) -> tuple[str, ...]:
        """A sentence about Prefect's objects, if they were not compared."""
        note = f"Prefect's objects were not compared: {self.objects_note}."
        return (note,) if self.objects_note else ()

    @property
    def code(self) -> ExitCode:
        """The exit code for this environment alone."""
        if self.error:
            return ExitCode(self.error.exit_code)
        return ExitCode.CHANGES if self.differences and not self.healed else ExitCode.DONE

    @property
    def code_in_job(self) -> ExitCode:
        """The same for a job that heals: a change that waits for its apply does not fail it."""
        waits = all(each.cause is Cause.NOT_APPLIED for each in self.differences)
        return ExitCode.DONE if waits and not self.error else self.code

    @property
    def state(self) -> str:
        """The state in a word."""
        if self.error:
            return "error"
        if self.healed:
            return "healed"
        if self.new:
            return "new"
        return "drift" if self.differences else "clean"

    def document(self) -> Json:
        """Return it as JSON."""
        override = self.planned and self.planned.effective.override
        return {
            "environment": self.name,
            "app": self.planned.desired.app if self.planned else None,
            "state": self.state,
            "override": override.document() if override else None,
            "differences": [difference.document() for difference in self.differences],
            "ignored": [left.document() for left in self.planned.left] if self.planned else [],
            "unchecked_secrets": list(self.planned.plan.unchecked) if self.planned else [],
            "notes": [*(self.planned.plan.warnings if self.planned else ()), *self.objects_notes],
            "error": error_document(self.error) if self.error else None,
        }


def _has_booted(machine: Machine, now: datetime) -> bool:
    since = awake_time(machine, now.timestamp()).since
    return since is None or now.timestamp() - since > BOOT_S


def error_document(error: RoostError) -> Json:
    """Return an error, with every fault of a file, as JSON."""
    faults = error.faults if isinstance(error, InvalidFilesError) else ()
    return {"word": error.word, "message": str(error), "faults": [vars(fault) for fault in faults]}


@dataclass
class Totals:
    """The drift of all environments, and the orphaned apps."""

    found: list[DriftFound] = field(default_factory=list)
    orphans: Orphans = field(default_factory=Orphans)
    budgets: tuple[BudgetFound, ...] = ()

    @property
    def code(self) -> ExitCode:
        """The worst exit code of all; an orphaned app counts as drift."""
        codes = [found.code for found in self.found]
        codes += [ExitCode.CHANGES] if self.orphans.apps else []
        return max(codes, key=WORST_LAST.index, default=ExitCode.DONE)

    def document(self) -> Json:
        """Return it as JSON."""
        return {
            "environments": [found.document() for found in self.found],
            "orphans": [vars(orphan) for orphan in self.orphans.apps],
            "notes": list(self.orphans.notes),
            "budgets": [budget.model_dump(mode="json") for budget in self.budgets],
        }
