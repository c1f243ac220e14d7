"""Run the gate for an app, and return its result as a value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from roost.apply.gate import Gate, GateRun, OnCheck
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.prefect.gate_pages import GATE_HEADERS, ask_report, quoted
from roost.prefect.probe import OPENING, Check, CheckResult, SelectChecks, Server, select_checks
from roost.prefect.transport import OpenServer, prefect_client
from roost.secret_text import SecretText

TIMEOUT_S = 90.0
LOOK_AT_APP_LOG = "Look at the log of its app."


@dataclass(frozen=True)
class GateResult:
    """The result of a gate.

    Args:
        results: of the checks that ended.
        why: why the gate failed, as sentences; empty if it passed.
        died: whether a machine exited instead of serving.
    """

    results: tuple[CheckResult, ...]
    why: str = ""
    died: bool = False
    opened: bool = False
    """Whether the server was asked to admit clients, who may have written since."""
    changed: str = ""
    """What the apply changed, as a sentence: the likely cause of a failure."""

    @property
    def reason(self) -> str:
        """Why the gate failed, after what the apply changed."""
        return f"{self.changed} {self.why}".strip()

    @property
    def good(self) -> bool:
        """Whether the gate passed."""
        return not self.why

    def after(self, first: GateResult) -> GateResult:
        """Return this result as the second one of a server; one that was opened before counts as open."""
        return replace(self, opened=self.opened or first.opened)


@dataclass(frozen=True)
class Proof:
    """How the server of one app is proved.

    Args:
        fly: the API, asked for the machines' events.
        app: name of the app.
        find_url: returns the server's address; the app must exist.
        auth: the login; None for a server without one.
        stock: whether the image is not Roost's, so that fewer checks apply.
        clock: returns seconds, for the duration of checks.
        on_check: called with each result.
        on_url: called with the address before the first check.
        database: the backend that the file asks for, `sqlite` or `postgres`; empty for any.
        open_server: opens a client of the server at its address.
        checks_for: returns the checks of a server with or without a login, of our image or stock.
    """

    fly: FlyClient
    app: str
    find_url: Callable[[], Awaitable[str]]
    auth: SecretText | None
    stock: bool
    clock: Callable[[], float]
    on_check: OnCheck
    on_url: Callable[[str], None]
    database: str = ""
    open_server: OpenServer = prefect_client
    checks_for: SelectChecks = select_checks

    @property
    def freezes(self) -> bool:
        """Whether a running server is asked to hold its writes while its volume is copied."""
        return True

    def gate(
        self,
        machines: Mapping[str, str],
        server: Server,
        checks: tuple[Check, ...],
        before: tuple[Machine, ...],
    ) -> Gate:
        """Return the gate of these machines; what happened to them `before` the change does not count."""
        seen = frozenset(event.id for machine in before for event in machine.events)
        return Gate(self.fly, self.app, machines, server, checks, seen, self.clock)

    async def run_gate(
        self, machines: Mapping[str, str], version: str, before: tuple[Machine, ...]
    ) -> GateResult:
        """Run the gate.

        Args:
            machines: the machines to prove, by id, each with its config version.
            version: the Prefect version that the server must report.
            before: the machines before the change; their events do not count.
        """
        url = await self.find_url()
        self.on_url(url)
        checks = self.checks_for(login=self.auth is not None, stock=self.stock)
        return await self.run_checks(url, machines, version, before, checks)

    async def run_at_fly(
        self, machines: Mapping[str, str], before: tuple[Machine, ...], checks: tuple[Check, ...]
    ) -> GateResult:
        """Run checks that ask Fly's API alone, and nothing at the address, which is only shown.

        So a computer outside of the private network can prove what only that network reaches.
        """
        url = await self.find_url()
        self.on_url(url)
        async with self.open_server(url, TIMEOUT_S) as http:
            gate = self.gate(machines, Server(http), checks, before)
            found = await replace(gate, started_after=checks[-1].name).run(self.on_check)
        return result_with_advice(found)

    async def run_checks(  # noqa: PLR0913, PLR0917 - those of `run_gate`, and which checks, and where
        self,
        url: str,
        machines: Mapping[str, str],
        version: str,
        before: tuple[Machine, ...],
        checks: tuple[Check, ...],
        headers: Mapping[str, str] = GATE_HEADERS,
    ) -> GateResult:
        """Run these checks of the server at an address; `headers` go with every request."""
        async with self.open_server(url, TIMEOUT_S, headers=headers) as http:
            server = Server(http, self.auth, version, database=self.database)
            gate = replace(
                self.gate(machines, server, checks, before),
                opening=None if self.stock else OPENING,
            )
            found = await gate.run(self.on_check)
            failed = [result for result in found.results if not result.ok]
            report = await ask_report(server) if failed and not found.died else None
        if found.died:
            return GateResult(found.results, found.died.message, died=True, opened=found.opened)
        reasons = "; ".join(f"{r.name}: {r.detail or r.advice}" for r in failed)
        why = f"Checks failed: {reasons}." if failed else ""
        if report:
            why += quoted(report.last_error)
        return GateResult(found.results, why, opened=found.opened)


def result_with_advice(found: GateRun) -> GateResult:
    """Return the result of a gate; each failed check has its advice, as a record shows nothing else of it."""
    if found.died:
        return GateResult(found.results, found.died.message, died=True)
    failed = [result for result in found.results if not result.ok]
    reasons = " ".join(f"{each.name}: {each.detail}. {each.advice}" for each in failed)
    return GateResult(found.results, f"Checks failed: {reasons}" if failed else "")
