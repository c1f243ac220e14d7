"""Change the machines of a replicated server one after the other, each proved before the next.

While one machine is changed, the others serve. The first one that fails ends the change, and the
rollback has only the machines to put back that were changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from roost.apply.replica_verdict import ReplicatedProof
from roost.apply.verdict import GateResult
from roost.apply.work import Work
from roost.fly.models import Machine
from roost.plan.desired import SLOT_KEY
from roost.plan.releases import Release, Verdict
from roost.plan.replicas import runs_services
from roost.plan.steps import CreateMachine, Plan, UpdateMachine


@dataclass
class Rollout:
    """The proofs of one change, machine by machine.

    Args:
        work: what to restart a machine with.
        proof: proves a machine.
        version: the Prefect version to prove.
        before: the machines before the change; what happened to them does not count.
        stopped: the result of the machine that failed; None while all are good.
    """

    work: Work
    proof: ReplicatedProof
    version: str
    before: tuple[Machine, ...]
    stopped: GateResult | None = None
    _served: bool = field(default=False)

    async def begins(self, left: Iterable[Machine]) -> bool:
        """Prove machines that an apply changed before it was killed; return whether all are good."""
        for machine in left:
            first = not self._served
            self.work.notice(f"prove the machine {machine.metadata[SLOT_KEY]}, which is changed")
            result = await self.proof.prove_serving(
                machine.id, machine.instance_id, self.version, self.before, first=first
            )
            self._served = self._served or result.good
            if not result.good:
                self.stopped = result
                return False
        return True

    async def goes_on(
        self, step: CreateMachine | UpdateMachine, touched: Mapping[str, str]
    ) -> bool:
        """Prove the machine that a step changed; return whether the next one may be changed.

        A machine that started badly is restarted once, as that cures some starts.

        Args:
            step: what was just done.
            touched: the machines changed so far, each with its config version; the last is the step's.
        """
        *_, machine = touched
        result = await self._prove(step, machine, touched[machine])
        if not result.good and not result.died:
            self.work.notice(f"restart the machine {machine} once")
            before = await self.work.fly.list_machines(self.proof.app)
            nonce = await self.work.leases.hold(machine)
            await self.work.fly.restart_machine(self.proof.app, machine, nonce)
            self.before = before
            result = await self._prove(step, machine, touched[machine])
        if not result.good:
            self.stopped = result
        return result.good

    async def _prove(
        self, step: CreateMachine | UpdateMachine, machine: str, config: str
    ) -> GateResult:
        self.work.notice(f"prove the machine {step.config['metadata'][SLOT_KEY]}")
        if runs_services(step.config):
            return await self.proof.prove_services(machine, config, self.before)
        first = not self._served
        result = await self.proof.prove_serving(
            machine, config, self.version, self.before, first=first
        )
        self._served = self._served or result.good
        return result


def half_changed(kept: Iterable[Machine], plan: Plan, release: Release | None) -> list[Machine]:
    """Return the machines for the API that a killed apply changed and did not prove.

    A plan that continues does not change them again, so no barrier would prove them before the
    others follow.

    Args:
        kept: the live machines that stay.
        plan: what is about to be done.
        release: the live release.
    """
    if release is None or release.verdict is not Verdict.PENDING:
        return []
    changes = {step.machine for step in plan.steps if isinstance(step, UpdateMachine)}
    if not changes:
        return []  # the gate that follows proves them
    return [
        machine
        for machine in kept
        if machine.id not in changes
        and release.key in machine.metadata
        and not runs_services(machine.config or {})
    ]
