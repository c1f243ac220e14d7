"""Whole applies against a fake Fly whose machines serve a fake Prefect according to their config."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import stamina

from helpers import virtual_time
from helpers.applying import EveryName, Run, only_kills
from helpers.fake_fly import FakeFly
from helpers.fake_prefect import LOGIN, FakePrefect, opens, say
from helpers.fly_trouble import KilledError, TroubledFly
from helpers.histories import desired_of
from roost.apply.release import Releaser
from roost.apply.verdict import Proof
from roost.apply.work import Work, lease_holder
from roost.errors import RoostError
from roost.fly.client import FlyClient
from roost.plan.desired import VERSION_KEY, Desired
from roost.plan.diff import diff, plan_from
from roost.plan.live import read_live
from roost.plan.releases import records_in
from roost.plan.rollback import roll_back
from roost.prefect.probe import Check, SelectChecks, select_checks
from roost.secret_text import SecretText

NOW = "2026-11-24T12:00:00+00:00"
GIT = "0123456789abcdef"
NO_PAGES = "PREFECT_SERVER_UI_ENABLED"


def setting(name: str = "", value: str = "", version: str = "3.8.8", **fields: Any) -> Desired:
    """Return the desired state of a file with one Prefect setting."""
    settings = {name: value} if name else {}
    return desired_of(prefect={"version": version, "settings": settings}, **fields)


def broken(version: str = "3.8.8", **fields: Any) -> Desired:
    """Return a desired state whose server fails the gate, because it has no UI."""
    return setting(NO_PAGES, "false", version, **fields)


def deadly(**fields: Any) -> Desired:
    """Return a desired state whose machine exits at once."""
    return setting("PREFECT_LOGGING_LEVEL", "DEADLY", **fields)


DECIDING = frozenset({"health", "ready", "version", "database", "ui"})


def few_checks(*, login: bool, stock: bool) -> tuple[Check, ...]:
    """Return the checks that decide in these tests; the others have tests of their own.

    An apply that is tried at each of its calls would spend two thirds of its time on them.
    """
    return tuple(each for each in select_checks(login=login, stock=stock) if each.name in DECIDING)


def run_to_its_end(run: Run, work: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Do some work; its failure is in the run's `error`, and one that is killed has none."""
    with stamina.set_testing(True, attempts=3, cap=True):
        try:
            virtual_time.run(work, *args)
        except RoostError as error:
            run.error = error
        except KilledError:  # nobody is left to be told
            pass
        except BaseExceptionGroup as group:
            only_kills(group)


@dataclass
class World:
    """A Fly, the server on its machines, and the applies to it.

    `on_health` is called at each health check: a moment in the middle of a gate.
    """

    fly: FakeFly = field(default_factory=FakeFly)
    prefect: FakePrefect = field(default_factory=FakePrefect)
    on_health: Callable[[], None] = lambda: None
    now: str = NOW
    answers: dict[tuple[str, str], httpx.Response] = field(default_factory=dict)
    """What the server says to a verb and a path instead."""
    checks_for: SelectChecks = few_checks

    async def serve(self, request: httpx.Request) -> httpx.Response:
        """Answer a request as the server of the machine's config does; it wakes the machine."""
        self.fly.wake()
        machine = next(iter(self.fly.machines.values()))
        env = machine["config"]["env"]
        if env.get("PREFECT_LOGGING_LEVEL") == "DEADLY":
            self._die(machine)
        if request.url.path == "/api/health":
            self.on_health()
        self.prefect.version = machine["config"]["metadata"][VERSION_KEY]
        pages = env.get(NO_PAGES) != "false"
        self.prefect.broken = dict(self.answers) if pages else {("GET", "/"): say(404)}
        return await self.prefect(request)

    def _die(self, machine: Any) -> None:
        exit_event = {"exit_code": 1, "requested_stop": False}
        event = {
            "id": machine["instance_id"],
            "type": "exit",
            "request": {"exit_event": exit_event},
        }
        machine["events"] = [event]
        raise httpx.ConnectError("refused")

    def apply(
        self,
        desired: Desired,
        trouble: TroubledFly | None = None,
        between: Callable[[], None] = lambda: None,
        to: int | None = None,
        by_hand: bool = False,  # noqa: FBT001, FBT002 - set by `roll_back` alone
    ) -> Run:
        """Plan and apply; a failure is in the run's `error`."""
        run = Run()
        self.fly.asked.clear()
        self.prefect.asked.clear()
        run_to_its_end(run, self._apply, run, desired, trouble, between, to, by_hand)
        return run

    def roll_back(self, desired: Desired, to: int | None = None) -> Run:
        """Roll back by hand, while the file stays as it is."""
        return self.apply(desired, to=to, by_hand=True)

    async def _apply(
        self,
        run: Run,
        desired: Desired,
        trouble: TroubledFly | None,
        between: Callable[[], None],
        to: int | None,
        by_hand: bool,  # noqa: FBT001 - see apply
    ) -> None:
        transport = httpx.MockTransport(trouble.answer if trouble else self.fly)
        with anyio.CancelScope() as scope:
            if trouble:
                trouble.scope = scope
            async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
                live = await read_live(client, desired.app)
                recovery = roll_back(desired, live, to) if by_hand else None
                run.plan = plan_from(recovery, live) if recovery else diff(desired, live)
                between()
                async with lease_holder(
                    client, desired.app, run.notices.append, "roost apply"
                ) as leases:
                    work = Work(client, leases, EveryName(), run.notices.append)
                    releaser = Releaser(work, self.proof(client), desired, GIT, lambda: self.now)
                    await releaser.apply(run.plan, live, recovery)

    def proof(self, client: FlyClient) -> Proof:
        """Return the gate of its server."""

        async def url() -> str:
            return "http://acme.test"

        return Proof(
            client,
            "acme-prefect",
            url,
            SecretText(LOGIN),
            stock=False,
            clock=anyio.current_time,
            on_check=lambda _: None,
            on_url=lambda _: None,
            open_server=opens(self.serve),
            checks_for=self.checks_for,
        )

    @property
    def records(self) -> list[tuple[int, str, int]]:
        """Number, verdict and restored release of every record; all machines have the same records."""
        per_machine = [
            sorted((r.number, r.verdict.value, r.back_to) for r in self.releases_of(key))
            for key in self.fly.machines
        ]
        assert all(records == per_machine[0] for records in per_machine)
        return per_machine[0]

    def releases_of(self, key: str) -> list[Any]:
        """Return the records on one machine."""
        return list(records_in(self.fly.machines[key]["config"]["metadata"]))

    def release(self, number: int) -> Any:
        """Return one record."""
        key = next(iter(self.fly.machines))
        return next(r for r in self.releases_of(key) if r.number == number)

    @property
    def env(self) -> Any:
        """The environment variables of the first machine."""
        return next(iter(self.fly.machines.values()))["config"]["env"]

    def restarts(self) -> int:
        """Count the restarts in the last apply."""
        return sum(change.endswith("/restart") for change in self.fly.changes)

    def opened(self) -> int:
        """Count how often the server was opened to all clients in the last apply."""
        return self.prefect.asked.count(("POST", "/roost/open"))
