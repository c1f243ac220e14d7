"""Run the gate for a Redis that Roost deploys: Fly's own check of its machine, which asks it.

So a computer outside of the private network can deploy it. That servers reach it, they prove themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from roost.apply.machine_checks import check_passing
from roost.apply.verdict import LOOK_AT_APP_LOG, GateResult, Proof
from roost.fly.models import Machine
from roost.prefect.probe import Check

TAKES_WRITES, LIMIT_S = "takes writes", 120.0
"""Fly's first check comes after its interval, and Redis reads its file before."""


@dataclass(frozen=True, kw_only=True)
class RedisProof(Proof):
    """How a Redis is proved; its address is only shown, as only its network reaches it."""

    @property
    def freezes(self) -> bool:
        """It does not: Redis writes its file so that a copy of any moment can be read."""
        return False

    async def run_gate(
        self,
        machines: Mapping[str, str],
        version: str,  # noqa: ARG002 - it has no Prefect
        before: tuple[Machine, ...],
    ) -> GateResult:
        """Run the gate; see `Proof.run_gate`."""
        checks = tuple(
            Check(
                TAKES_WRITES,
                LIMIT_S,
                partial(check_passing, self.fly, self.app, machine, config),
                LOOK_AT_APP_LOG,
            )
            for machine, config in machines.items()
        )
        return await self.run_at_fly(machines, before, checks)
