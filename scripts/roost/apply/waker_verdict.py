"""Run the gate for the waker: it proves itself, and Fly's API has the result.

So a computer outside of the private network can deploy it, and no Prefect server is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import anyio

from roost.apply.verdict import LOOK_AT_APP_LOG, GateResult, Proof
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.plan.waker_proof import proof_of_start
from roost.prefect.probe import Check, Server

WOKE_ITSELF, LIMIT_S = "woke itself", 120.0
POLL_S = 1.0


@dataclass(frozen=True, kw_only=True)
class WakerProof(Proof):
    """How the waker is proved; its address is only shown, as only its network reaches it."""

    async def run_gate(
        self,
        machines: Mapping[str, str],
        version: str,  # noqa: ARG002 - it has no Prefect
        before: tuple[Machine, ...],
    ) -> GateResult:
        """Run the gate; see `Proof.run_gate`."""
        proof = partial(_check_proof, self.fly, self.app, machines)
        return await self.run_at_fly(
            machines, before, (Check(WOKE_ITSELF, LIMIT_S, proof, LOOK_AT_APP_LOG),)
        )


async def _check_proof(
    fly: FlyClient, app: str, machines: Mapping[str, str], server: Server
) -> str:
    """Wait until each machine, with the config to prove, announced itself and was woken by that."""
    seconds = []
    for machine, version in machines.items():
        server.waiting.last = "it did not announce itself"
        seconds.append(await _proved_s(fly, app, machine, version, server))
    return f"announced itself, and was requested after {max(seconds, default=0.0):.1f} s"


async def _proved_s(fly: FlyClient, app: str, machine: str, version: str, server: Server) -> float:
    while True:
        found = await fly.get_machine(app, machine)
        proof = found and proof_of_start(found, version)
        if proof and not proof.error:
            return proof.seconds
        if proof:
            server.waiting.last = server.quote(proof.error)
        await anyio.sleep(POLL_S)
