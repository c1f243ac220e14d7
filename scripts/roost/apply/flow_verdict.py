"""Run the gate for a flow server: its checks are made at the Prefect server that it works for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from roost.apply.verdict import TIMEOUT_S, GateResult, Proof, result_with_advice
from roost.fly.models import Machine
from roost.prefect.flow_server_checks import ONLINE, FlowServerSubject, flow_server_checks
from roost.prefect.gate_pages import GATE_HEADERS
from roost.prefect.probe import Server


@dataclass(frozen=True, kw_only=True)
class FlowProof(Proof):
    """How a flow server is proved; `find_url` returns the address of its Prefect server.

    Args:
        subject: the flow server.
    """

    subject: FlowServerSubject

    async def run_gate(
        self,
        machines: Mapping[str, str],
        version: str,  # noqa: ARG002 - a flow server's Prefect is that of its lock
        before: tuple[Machine, ...],
    ) -> GateResult:
        """Run the gate; see `Proof.run_gate`."""
        url = await self.find_url()
        self.on_url(url)
        subject = replace(self.subject, versions=frozenset(machines.values()))
        async with self.open_server(url, TIMEOUT_S, headers=GATE_HEADERS) as http:
            gate = self.gate(machines, Server(http, self.auth), flow_server_checks(subject), before)
            found = await replace(gate, started_after=ONLINE).run(self.on_check)
        return result_with_advice(found)
