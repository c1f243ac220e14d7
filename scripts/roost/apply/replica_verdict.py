"""Run the gate for a replicated server: each machine by itself, and what they share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from roost.apply.machine_checks import check_passing
from roost.apply.verdict import TIMEOUT_S, GateResult, Proof, result_with_advice
from roost.fly.models import Machine
from roost.plan.replicas import runs_services
from roost.prefect.gate_pages import GATE_HEADERS
from roost.prefect.probe import Check, Server
from roost.prefect.replica_checks import (
    check_answers,
    check_events_shared,
    check_lease_shared,
    check_runs_once,
)
from roost.prefect.server import with_csrf

PIN = "fly-force-instance-id"
"""The header with which Fly's proxy sends a request to one machine, or refuses it."""
SERVICES = "services"
SHORT = frozenset({"health", "ready", "auth closed", "version"})
"""The checks of a machine after the first one passed them all."""
LIMIT_S = 180.0
"""Time for a start of the services, which migrate the database."""
LOOK = "Look at the log of its app."
SharedAction = Callable[[Sequence[Server], Server], Awaitable[str]]
SHARED: tuple[tuple[str, float, SharedAction], ...] = (
    ("every machine", 60, check_answers),
    ("leases shared", 60, check_lease_shared),
    ("events shared", 60, check_events_shared),
    ("runs once", 60, check_runs_once),
)


@dataclass(frozen=True, kw_only=True)
class ReplicatedProof(Proof):
    """How a replicated server is proved."""

    @classmethod
    def of(cls, proof: Proof) -> Self:
        """Return a proof of the same server with all its machines."""
        return cls(**vars(proof))

    async def run_gate(
        self, machines: Mapping[str, str], version: str, before: tuple[Machine, ...]
    ) -> GateResult:
        """Run the gate through the proxy, and then the checks of what the machines share."""
        whole = await super().run_gate(machines, version, before)
        if not whole.good:
            return whole
        now = [each for each in await self.fly.list_machines(self.app) if each.id in machines]
        serving = {each.id: each.region for each in now if not runs_services(each.config or {})}
        if not serving:
            return replace(whole, why="No machine for the API is there any more.")
        shared = await self._run_shared(serving, machines, version, before)
        return replace(shared, results=(*whole.results, *shared.results), opened=whole.opened)

    async def prove_serving(
        self, machine: str, config: str, version: str, before: tuple[Machine, ...], *, first: bool
    ) -> GateResult:
        """Prove one machine of the API by itself, before the next one is changed.

        Args:
            machine: its id.
            config: its config version.
            version: the Prefect version that it must report.
            before: the machines before the change.
            first: whether it is the first one, which has to pass every check.
        """
        checks = self.checks_for(login=self.auth is not None, stock=self.stock)
        if not first:
            checks = tuple(check for check in checks if check.name in SHORT)
        headers = {**GATE_HEADERS, PIN: machine}
        url = await self.find_url()
        return await self.run_checks(url, {machine: config}, version, before, checks, headers)

    async def prove_services(
        self, machine: str, config: str, before: tuple[Machine, ...]
    ) -> GateResult:
        """Wait until Fly's check of the services' machine passes; the proxy does not reach it."""
        action = partial(check_passing, self.fly, self.app, machine, config)
        check = Check(SERVICES, LIMIT_S, action, LOOK)
        async with self.open_server(await self.find_url(), TIMEOUT_S) as http:
            gate = self.gate({machine: config}, Server(http), (check,), before)
            found = await replace(gate, started_after=SERVICES).run(self.on_check)
        return result_with_advice(found)

    async def _run_shared(
        self,
        serving: Mapping[str, str],
        machines: Mapping[str, str],
        version: str,
        before: tuple[Machine, ...],
    ) -> GateResult:
        url = await self.find_url()
        async with AsyncExitStack() as stack:
            servers = []
            for machine, region in serving.items():
                http = self.open_server(url, TIMEOUT_S, headers={**GATE_HEADERS, PIN: machine})
                server = Server(
                    await stack.enter_async_context(http), self.auth, version, region=region
                )
                servers.append(await with_csrf(server))
            checks = tuple(
                Check(name, limit_s, partial(action, servers), LOOK)
                for name, limit_s, action in SHARED
            )
            gate = self.gate(machines, servers[0], checks, before)
            found = await replace(gate, started_after="").run(self.on_check)
        return result_with_advice(found)
