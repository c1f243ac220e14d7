"""What is known of a server after the gate: a verdict, never an exception."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from roost.apply.gate import Gate, OnCheck
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.prefect.gate_pages import GATE_HEADERS, ask_report, quoted
from roost.prefect.probe import OPENING, CheckResult, Server, select_checks
from roost.prefect.transport import prefect_client
from roost.secret_text import SecretText

TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Judgement:
    """How the gate went; `died` where a machine ended instead of serving."""

    results: tuple[CheckResult, ...]
    why: str = ""
    died: bool = False
    opened: bool = False
    """Whether the server was asked to let everybody in: somebody may have written since."""
    changed: str = ""
    """What the apply changed that is judged, as a sentence: the first suspect."""

    @property
    def told(self) -> str:
        """Why it is no good, after what was changed."""
        return f"{self.changed} {self.why}".strip()

    @property
    def good(self) -> bool:
        """Whether everything is proved."""
        return not self.why

    def after(self, first: Judgement) -> Judgement:
        """Return it as the second one of the same server: what was opened once stays so."""
        return replace(self, opened=self.opened or first.opened)


@dataclass(frozen=True)
class Proof:
    """How the server of one app is proved.

    Args:
        fly: tells of machines that die.
        app: whose machines.
        find_url: gives where the server answers, once there is an app.
        auth: who logs in, None where nobody has to.
        stock: the image is not ours, and promises less.
        clock: seconds, for the checks' times.
        on_check: told of each check as it comes.
        on_url: told of the address before the first of them.
        database: the backend that the file names, `sqlite` or `postgres`; empty for any.
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

    async def judge(
        self, machines: Mapping[str, str], version: str, before: tuple[Machine, ...]
    ) -> Judgement:
        """Run the gate.

        Args:
            machines: those to be proved, each with its version.
            version: the Prefect they are to run.
            before: what the machines were, whose events are old news.
        """
        url = await self.find_url()
        self.on_url(url)
        async with prefect_client(url, TIMEOUT_S, headers=GATE_HEADERS) as http:
            server = Server(http, self.auth, version, database=self.database)
            gate = Gate(
                self.fly,
                self.app,
                machines,
                server,
                select_checks(login=self.auth is not None, stock=self.stock),
                frozenset(event.id for machine in before for event in machine.events),
                self.clock,
                None if self.stock else OPENING,
            )
            found = await gate.run(self.on_check)
            failed = [result for result in found.results if not result.ok]
            report = await ask_report(server) if failed and not found.died else None
        if found.died:
            return Judgement(found.results, str(found.died), died=True, opened=found.opened)
        reasons = "; ".join(f"{r.name}: {r.detail or r.advice}" for r in failed)
        why = f"Checks failed: {reasons}." if failed else ""
        if report:
            why += quoted(report.last_error)
        return Judgement(found.results, why, opened=found.opened)
