"""Carry out the step for Prefect's objects, and keep the record of it on the machines."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roost.apply.objects import ObjectsServer, Outcome, reconcile
from roost.apply.work import Work
from roost.errors import ChangedMeanwhileError, ObjectsError
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.objects_record import OBJECTS_KEY, ObjectsRecord, base_records, record_on
from roost.plan.prefect_objects import KEY
from roost.plan.steps import Plan, ReconcileObjects


def objects_step(plan: Plan) -> ReconcileObjects | None:
    """Return the step for Prefect's objects; None if the plan has none."""
    return next((step for step in plan.steps if isinstance(step, ReconcileObjects)), None)


def only_objects(plan: Plan) -> bool:
    """Return whether a plan changes nothing of the server itself, so that no gate is needed."""
    return bool(plan.steps) and all(isinstance(step, ReconcileObjects) for step in plan.steps)


@dataclass(frozen=True)
class ObjectsKeeper:
    """Sets the objects of one environment's server.

    Args:
        work: what to change things with.
        server: the Prefect server.
        app: its app.
        environment: name of the environment.
    """

    work: Work
    server: ObjectsServer
    app: str
    environment: str

    async def carry_out(self, step: ReconcileObjects, plan: Plan) -> None:
        """Make the objects as a plan's step says.

        The record is written twice: before, with the objects that are created next, so that one is known
        to be Roost's even if this apply is killed right after it was created; and after, with what was
        done. An object of the same name that exists already is not claimed before it was adopted.

        Raises:
            ChangedMeanwhileError: another apply set objects since the plan was made.
            ObjectsError: some objects are not as the step says; the others are.
        """
        self.work.notice(step.summary)
        machines = await self._held_machines()
        self._check_unchanged(machines, plan)
        record = record_on(machines) or ObjectsRecord()

        kept = {machine.id: machine.metadata.get(OBJECTS_KEY, "") for machine in machines}

        async def claim(keys: frozenset[str]) -> None:
            if keys:
                await self._keep(kept, _with_claims(record, keys))

        outcome = await reconcile(
            self.server, step, record, lambda line: self.work.notice(f"  {line}"), claim
        )
        await self._keep(kept, outcome.record)
        if outcome.failed:
            raise self._error(step, outcome)

    async def _held_machines(self) -> tuple[Machine, ...]:
        """Take the leases of the environment's machines, and return them as they are then."""
        chosen = {ENVIRONMENT_KEY: self.environment}
        for machine in await self.work.fly.list_machines(self.app, chosen):
            await self.work.leases.hold(machine.id)
        return await self.work.fly.list_machines(self.app, chosen)

    def _check_unchanged(self, machines: tuple[Machine, ...], plan: Plan) -> None:
        """Check that no other apply wrote a record; a machine that was created since has none."""
        planned = plan.base.get("objects", {})
        for machine, found in base_records(machines).items():
            if found != planned.get(machine):
                raise ChangedMeanwhileError(
                    "Another apply set Prefect's objects after the plan was made.",
                    where=KEY,
                    advice=f"Make a new plan and review it: {Command('plan', self.environment)}",
                )

    async def _keep(self, kept: dict[str, str], record: ObjectsRecord) -> None:
        """Write a record on each machine that has another text; `kept` has the texts, by machine."""
        text = record.encoded()
        for machine, found in kept.items():
            if found != text:
                await self.work.fly.patch_metadata(self.app, machine, {OBJECTS_KEY: text})
                kept[machine] = text

    def _error(self, step: ReconcileObjects, outcome: Outcome) -> ObjectsError:
        reasons = "; ".join(f"{key}: {why}" for key, why in outcome.failed.items())
        count = len(outcome.failed)
        are = "1 of Prefect's objects is" if count == 1 else f"{count} of Prefect's objects are"
        return ObjectsError(
            f"{are} not as {step.path or 'the environment'} says: {reasons}. "
            f"{_others(outcome.done)}; the server itself is as planned.",
            where=self.environment,
            advice=f"Correct that, then go on with what is left: {Command('apply', self.environment)}",
        )


def _others(done: int) -> str:
    return "1 other was written" if done == 1 else f"{done or 'No'} others were written"


def _with_claims(record: ObjectsRecord, keys: frozenset[str]) -> ObjectsRecord:
    """Return the record with the keys of the objects that are created next."""
    return replace(record, others=tuple(sorted({*record.others, *keys})))
