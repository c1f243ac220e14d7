"""The changes of a server that are repeated, each time with another fault."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from chaos.invariants import faults, not_gone
from chaos.testbed import APP, HOOK, Fields, Testbed
from helpers.small_server import EXITS, ILL, OTHER, SMALL, TROUBLE, VERSION
from roost.environment.model import AUTH_SECRET

DONE, BAD_INPUT, ROLLED_BACK = 0, 3, 4
SLEEPLESS: dict[str, Any] = {"scaling": {"autostop": "off"}}
URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
DESTROY = ("destroy", "--confirm", APP)
DRILL = ("restore", "--drill")


@dataclass(frozen=True)
class Scenario:
    """One kind of change of a server.

    Args:
        name: the name for reports.
        before: the environment file before the change.
        after: returns the file of the n-th change, from 1 on, each different from the last.
        code: the exit code of the change without a fault.
        fresh: whether each change starts without an app.
        back: the command that restores `before` after each change; empty for none.
        command: the command that makes the change, with its options.
        again: the command that resumes an interrupted change.
        setup: called before the n-th change.
        check: returns faults after the change, in addition to the invariants.
        stands: returns violated invariants: differences from the file.
        undoes: whether it rolls back when Fly refuses a call, as a restore does.
        visited: whether rows are written meanwhile, which must all exist afterwards.
        cut: whether it is also run with outages; these scenarios make every kind of call.
    """

    name: str
    before: Fields
    after: Callable[[int], Fields]
    code: int = DONE
    fresh: bool = False
    back: tuple[str, ...] = ()
    command: tuple[str, ...] = ("apply",)
    again: tuple[str, ...] = ("apply",)
    setup: Callable[[Testbed, int], None] = lambda _, __: None
    check: Callable[[Testbed], Iterable[str]] = lambda _: ()
    stands: Callable[[Testbed], Iterable[str]] = faults
    undoes: bool = False
    visited: bool = False
    cut: bool = False

    @property
    def kept(self) -> bool:
        """Whether the change is live afterwards; a broken one is not."""
        return self.code == DONE

    @property
    def next_ends(self) -> set[int]:
        """The allowed exit codes of the next command after the fault.

        A broken release is refused by then, and a rollback in progress is complete.
        """
        return {self.code, *(() if self.kept else (BAD_INPUT,)), *((ROLLED_BACK,) * self.undoes)}


def settings(**values: str) -> Fields:
    """Return an environment file with these server settings."""
    return {**SLEEPLESS, "prefect": {"settings": values}}


def bad(how: str) -> Callable[[int], Fields]:
    """Return changes to a broken server, each different: a failed release is refused."""
    return lambda n: settings(**{TROUBLE: f"{how}-{n}"})


def upgrade(n: int) -> Fields:
    """Return the n-th version, each newer than the last."""
    version = f"3.9.{n}"
    return {**SLEEPLESS, "prefect": {"version": version, "settings": {VERSION: version}}}


def elsewhere(count: int) -> Fields:
    """Return a file with one machine or none, and a database elsewhere."""
    database = {"backend": "postgres", "url_secret": URL}
    scaling = {"autostop": "off", "count": count}
    return {"database": database, "secrets": [AUTH_SECRET, URL], "scaling": scaling}


def hook(n: int) -> Fields:
    """Return a file with an additional secret and without it, alternately."""
    names = [AUTH_SECRET, HOOK] if n % 2 else [AUTH_SECRET]
    return {**SLEEPLESS, "prune": True, "secrets": names}


def image(n: int) -> Fields:
    """Return a file with one image and another, alternately."""
    return {**SLEEPLESS, "prefect": {"image": OTHER if n % 2 else SMALL}}


def memory(n: int) -> Fields:
    """Return a file with more memory and with less, alternately."""
    return {**SLEEPLESS, "machine": {"memory_mb": 768 if n % 2 else 512}}


def volume(n: int) -> Fields:
    """Return a file with a larger volume each time."""
    return {**SLEEPLESS, "database": {"backend": "sqlite", "volume_gb": 1 + n}}


def rotated(_: int) -> Fields:
    """Return a file with a secret that has another value each time."""
    return {**SLEEPLESS, "secrets": [AUTH_SECRET, HOOK]}


def rotate(testbed: Testbed, n: int) -> None:
    """Change the value of the secret."""
    testbed.environ = {HOOK: f"https://hook.test/{n}"}


def unseen(testbed: Testbed) -> Iterator[str]:
    """Return a fault if the server does not run with the newest value."""
    wanted = hashlib.sha256(testbed.environ[HOOK].encode()).hexdigest()
    if testbed.ask("/seen") != wanted:
        yield "the server has an older value"


def release_two(testbed: Testbed, n: int) -> None:
    """Make another good release, to roll back from."""
    testbed.write(settings(PREFECT_LOGGING_LEVEL=f"R{n}"))
    testbed.expect(DONE, "apply")


def clear_override(testbed: Testbed, n: int) -> None:
    """End the override of the previous change."""
    if n > 1:
        testbed.expect(DONE, "scale", "--clear")


def back_up(testbed: Testbed, _: int) -> None:
    """Write a row, take a backup, and write another row."""
    for when in ("before", "after"):
        testbed.rows[when] = testbed.write_row_surely()
        if when == "before":
            testbed.expect(DONE, "backup")


def note_volume(testbed: Testbed, _: int) -> None:
    """Record which volume has the data."""
    [testbed.noted["volume"]] = (m.mounted_volume for m in testbed.live().machines)


def note_row(testbed: Testbed, n: int) -> None:
    """Write a row, and record which volume has it."""
    note_volume(testbed, n)
    testbed.rows["before"] = testbed.write_row_surely()


def missing_row(testbed: Testbed) -> Iterator[str]:
    """Return a fault if the row is lost; after the loss of its volume, a restore brings it back."""
    if testbed.noted["volume"] not in {volume.id for volume in testbed.live().volumes}:
        ended = testbed.run("restore")
        if ended.code != DONE:
            yield f"the last snapshot is not restored: {ended.last}"
            return
    if testbed.rows["before"] not in testbed.ask("/kept").split():
        yield "a row is lost"


def note_server(testbed: Testbed, n: int) -> None:
    """Record the running server, and take a backup of it."""
    note_volume(testbed, n)
    if not testbed.snapshots(testbed.noted["volume"]):
        testbed.expect(DONE, "backup")
    testbed.noted["server"] = standing_server(testbed)


def standing_server(testbed: Testbed) -> list[tuple[object, ...]]:
    """Return the machines with their events."""
    machines = testbed.live().machines
    return [(m.id, m.instance_id, m.state, m.cordoned, [e.id for e in m.events]) for m in machines]


def touched(testbed: Testbed) -> Iterator[str]:
    """Return a fault if anything happened to the server."""
    if standing_server(testbed) != testbed.noted["server"]:
        yield f"the server was touched: {testbed.noted['server']} and now {standing_server(testbed)}"


def missing_rows(testbed: Testbed) -> Iterator[str]:
    """Return the rows of the backup that are missing."""
    if testbed.rows["before"] not in testbed.ask("/kept").split():
        yield "a row of the backup is lost"


SCENARIOS = (
    Scenario("first deploy", SLEEPLESS, lambda _: SLEEPLESS, fresh=True, cut=True),
    Scenario(
        "settings", SLEEPLESS, lambda n: settings(PREFECT_LOGGING_LEVEL=f"L{n}"), visited=True
    ),
    Scenario("image", SLEEPLESS, image, visited=True),
    Scenario("Prefect upgrade", SLEEPLESS, upgrade, visited=True, cut=True),
    Scenario("memory", SLEEPLESS, memory, visited=True),
    Scenario("larger volume", SLEEPLESS, volume, visited=True),
    Scenario("secrets, more and fewer", SLEEPLESS, hook, visited=True),
    Scenario(
        "secret with a new value", rotated(0), rotated, setup=rotate, check=unseen, visited=True
    ),
    Scenario("scale up", elsewhere(0), lambda _: elsewhere(1), back=("apply",)),
    Scenario("scale down and prune", elsewhere(1), lambda _: elsewhere(0), back=("apply",)),
    Scenario(
        "scale for a time",
        SLEEPLESS,
        lambda _: SLEEPLESS,
        command=(*("scale", "--memory-mb", "768"), *("--until", "1h", "--reason", "chaos")),
        again=(*("scale", "--memory-mb", "768"), *("--until", "1h", "--reason", "chaos")),
        setup=clear_override,
        visited=True,
    ),
    Scenario(
        "bad change, the server exits",
        SLEEPLESS,
        bad(EXITS),
        code=ROLLED_BACK,
        back=("apply",),
        visited=True,
    ),
    Scenario(
        "bad change, the server is ill",
        SLEEPLESS,
        bad(ILL),
        code=ROLLED_BACK,
        back=("apply",),
        visited=True,
    ),
    Scenario(
        "rollback by hand",
        SLEEPLESS,
        lambda n: settings(PREFECT_LOGGING_LEVEL=f"R{n}"),
        command=("rollback",),
        setup=release_two,
        visited=True,
    ),
    Scenario(
        "restore",
        SLEEPLESS,
        lambda _: SLEEPLESS,
        command=("restore",),
        setup=back_up,
        check=missing_rows,
        undoes=True,
        cut=True,
    ),
    Scenario(
        "destroy",
        SLEEPLESS,
        lambda _: SLEEPLESS,
        back=("restore",),
        command=DESTROY,
        again=DESTROY,
        setup=note_volume,
        stands=not_gone,
        visited=True,
        cut=True,
    ),
    Scenario(
        "destroy, given up",
        SLEEPLESS,
        lambda _: SLEEPLESS,
        command=DESTROY,
        setup=note_row,
        check=missing_row,
    ),
    Scenario(
        "restore drill",
        SLEEPLESS,
        lambda _: SLEEPLESS,
        command=DRILL,
        again=DRILL,
        setup=note_server,
        check=touched,
        visited=True,
    ),
)


def find(names: list[str]) -> tuple[Scenario, ...]:
    """Return the scenarios whose name starts with one of these; all without any."""
    return tuple(
        s for s in SCENARIOS if not names or any(s.name.startswith(name) for name in names)
    )
