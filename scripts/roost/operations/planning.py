"""Plan one environment: read what is live, compare it with the file, and compute the cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from roost.apply.secret_values import Values, database_note
from roost.environment.load import EnvironmentFile
from roost.environment.rehearsal import rehearsed
from roost.environment.units import beside
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.image_parts import image_for
from roost.operations.secret_sources import known_values, object_values
from roost.plan.budget import BudgetCheck
from roost.plan.cost import CostChange, Prices, cost_change, read_prices
from roost.plan.cost_table import budget_check
from roost.plan.database_move import with_kept_volume
from roost.plan.desired import Desired
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.document import Json, plan_document
from roost.plan.effective import Choose, Effective, effective
from roost.plan.ignored import Left, adopt
from roost.plan.live import Live, read_live
from roost.plan.objects_record import check_object_values, record_on
from roost.plan.override import marked
from roost.plan.ownership import our_machines
from roost.plan.resume import Recovery
from roost.plan.secrets import check_values
from roost.plan.steps import Plan


@dataclass(frozen=True)
class Planned:
    """A plan and its inputs."""

    file: EnvironmentFile
    image: str
    desired: Desired
    live: Live
    plan: Plan
    cost: CostChange
    values: Values
    effective: Effective
    left: tuple[Left, ...] = ()
    """Differences that the file tells Roost to ignore."""
    recovery: Recovery | None = None
    """The target of a rollback, if it differs from the file."""
    object_values: Values = field(default_factory=Values)
    """The values of the secrets of Prefect's blocks."""

    def document(self) -> Json:
        """Return the public part as one JSON object."""
        override = self.effective.override
        document = plan_document(self.plan, self.cost)
        ignored = [left.document() for left in self.left]
        return {**document, "override": override and override.document(), "ignored": ignored}


async def make_plan(
    context: Context,
    file: EnvironmentFile,
    target: Target,
    choose: Choose = effective,
    *,
    keep_volume: bool = True,
) -> Planned:
    """Read what is live and compare it with the file and its override.

    Args:
        context: the folders, the consoles and the clients.
        file: what the environment asks for.
        target: the Fly to read.
        choose: returns the effective file and override.
        keep_volume: whether a server that moved to PostgreSQL keeps its earlier volume.
    """
    if target.local is not None:
        file = rehearsed(file)
    image = image_for(context, file)
    live = await read_live(target.fly, file.environment.app)
    chosen = choose(file, live, datetime.now(UTC))
    desired = marked(desired_state(chosen.file, image), chosen.override)
    adopted = adopt(with_kept_volume(desired, live) if keep_volume else desired, live)
    desired = adopted.desired
    values = known_values(context, file, target, desired, live)
    ours = our_machines(desired, live)
    of_objects = object_values(context, file, target)
    desired = replace(
        desired,
        values=check_values(desired, live, ours, values.found),
        object_values=check_object_values(record_on(ours.values()), of_objects.found),
    )
    prices = read_prices(context.prices)
    budget = _budget(chosen.file, desired, prices)
    cost = replace(cost_change(prices, desired, live), budget=budget)
    plan = chosen.annotate(adopted.annotate(diff(desired, live)))
    if budget and budget.is_passed:
        plan = replace(plan, warnings=(*plan.warnings, budget.warning(file.name)))
    return Planned(
        chosen.file,
        image,
        desired,
        live,
        plan,
        cost,
        values,
        chosen,
        adopted.left,
        object_values=of_objects,
    )


def _budget(file: EnvironmentFile, desired: Desired, prices: Prices) -> BudgetCheck | None:
    """Return the budget of an environment; None if its file has none."""
    budget = file.environment.budget
    if budget is None:
        return None
    others = {unit.name: desired_state(unit, "") for unit in beside(file)}  # no image costs more
    return budget_check(budget.monthly_usd, desired, prices, others)


def plans_document(plans: Sequence[Planned]) -> Json:
    """Return the plan of an environment as one JSON object, with those of its flow servers."""
    return joined([planned.document() for planned in plans])


def joined(documents: Sequence[Json]) -> Json:
    """Return the document of a server, with those of its flow servers under `flows`."""
    first, *flows = documents
    return {**first, "flows": flows} if flows else first


def print_database_note(context: Context, planned: Planned) -> None:
    """Print a note if another address of the database would serve better."""
    if note := database_note(planned.file.environment, planned.values):
        context.progress.print(f"note: {note}", markup=False, soft_wrap=True)
