"""What is done to a server again and again, each time at another bad moment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from chaos.invariants import faults, not_gone
from chaos.testbed import APP, HOOK, Fields, Ground
from helpers.small_server import EXITS, ILL, OTHER, SMALL, TROUBLE, VERSION
from roost.environment.model import AUTH_SECRET

DONE, BAD_INPUT, ROLLED_BACK = 0, 3, 4
SLEEPLESS: dict[str, Any] = {"scaling": {"autostop": "off"}}
URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
DESTROY = ("destroy", "--confirm", APP)
DRILL = ("restore", "--drill")


@dataclass(frozen=True)
class Scenario:
    """One kind of change.

    Args:
        name: what people call it.
        before: the file that is live before the change.
        after: the file of the nth change, counted from 1, each unlike the one before.
        code: what the change ends with when nothing is in its way.
        fresh: each change begins without an app.
        back: the verb that goes back to `before` after every change, empty where nobody needs to.
        command: the verb that makes the change, with its options.
        again: the verb that goes on where it was ended.
        setup: what is done before the nth change.
        check: names what is wrong afterwards, beside what is looked for everywhere.
        stands: what is looked for everywhere: that all is there as the file asks.
        undoes: whether it goes back where Fly refuses, as a restore does.
        visited: whether somebody writes rows meanwhile, which must all be there afterwards.
        cut: whether Fly is lost to it for good, too: some that together make every kind of call.
    """

    name: str
    before: Fields
    after: Callable[[int], Fields]
    code: int = DONE
    fresh: bool = False
    back: tuple[str, ...] = ()
    command: tuple[str, ...] = ("apply",)
    again: tuple[str, ...] = ("apply",)
    setup: Callable[[Ground, int], None] = lambda _, __: None
    check: Callable[[Ground], Iterable[str]] = lambda _: ()
    stands: Callable[[Ground], Iterable[str]] = faults
    undoes: bool = False
    visited: bool = False
    cut: bool = False

    @property
    def kept(self) -> bool:
        """Whether the change is there afterwards; a bad one is not."""
        return self.code == DONE

    @property
    def next_ends(self) -> set[int]:
        """What the next command may end with, once trouble is over: it goes on, or tells the end.

        What was no good is refused by then, and what was being put back is back now.
        """
        return {self.code, *(() if self.kept else (BAD_INPUT,)), *((ROLLED_BACK,) * self.undoes)}


def settings(**values: str) -> Fields:
    """Return a file with these settings of the server."""
    return {**SLEEPLESS, "prefect": {"settings": values}}


def bad(how: str) -> Callable[[int], Fields]:
    """Return changes to a server that is no good, each another one: a failed one is refused."""
    return lambda n: settings(**{TROUBLE: f"{how}-{n}"})


def upgrade(n: int) -> Fields:
    """Return the nth of ever newer versions."""
    version = f"3.9.{n}"
    return {**SLEEPLESS, "prefect": {"version": version, "settings": {VERSION: version}}}


def elsewhere(count: int) -> Fields:
    """Return a file with one machine, or none, on a database elsewhere."""
    database = {"backend": "postgres", "url_secret": URL}
    scaling = {"autostop": "off", "count": count}
    return {"database": database, "secrets": [AUTH_SECRET, URL], "scaling": scaling}


def hook(n: int) -> Fields:
    """Return a file with one more secret, and without it, in turns."""
    names = [AUTH_SECRET, HOOK] if n % 2 else [AUTH_SECRET]
    return {**SLEEPLESS, "prune": True, "secrets": names}


def image(n: int) -> Fields:
    """Return a file with the one image and the other, in turns."""
    return {**SLEEPLESS, "prefect": {"image": OTHER if n % 2 else SMALL}}


def memory(n: int) -> Fields:
    """Return a file with more memory and with less, in turns."""
    return {**SLEEPLESS, "machine": {"memory_mb": 768 if n % 2 else 512}}


def volume(n: int) -> Fields:
    """Return a file with an ever larger volume."""
    return {**SLEEPLESS, "database": {"backend": "sqlite", "volume_gb": 1 + n}}


def rotated(_: int) -> Fields:
    """Return a file with a secret whose value is another one each time."""
    return {**SLEEPLESS, "secrets": [AUTH_SECRET, HOOK]}


def rotate(ground: Ground, n: int) -> None:
    """Have another value for it."""
    ground.environ = {HOOK: f"https://hook.test/{n}"}


def unseen(ground: Ground) -> Iterator[str]:
    """Return whether the server runs with another value than the newest."""
    wanted = hashlib.sha256(ground.environ[HOOK].encode()).hexdigest()
    if ground.ask("/seen") != wanted:
        yield "the server has an older value"


def release_two(ground: Ground, n: int) -> None:
    """Make one more good release, to go back from."""
    ground.write(settings(PREFECT_LOGGING_LEVEL=f"R{n}"))
    ground.expect(DONE, "apply")


def clear_override(ground: Ground, n: int) -> None:
    """End the override of the change before."""
    if n > 1:
        ground.expect(DONE, "scale", "--clear")


def back_up(ground: Ground, _: int) -> None:
    """Write a row, copy it, and write another one."""
    for when in ("before", "after"):
        ground.rows[when] = ground.write_row_surely()
        if when == "before":
            ground.expect(DONE, "backup")


def note_volume(ground: Ground, _: int) -> None:
    """Remember which volume has the data."""
    [ground.noted["volume"]] = (m.mounted_volume for m in ground.live().machines)


def note_row(ground: Ground, n: int) -> None:
    """Write a row, and remember which volume has it."""
    note_volume(ground, n)
    ground.rows["before"] = ground.write_row_surely()


def missing_row(ground: Ground) -> Iterator[str]:
    """Return whether the row is lost; where its volume was gone, a restore brings it."""
    if ground.noted["volume"] not in {volume.id for volume in ground.live().volumes}:
        ended = ground.run("restore")
        if ended.code != DONE:
            yield f"the last snapshot is not restored: {ended.last}"
            return
    if ground.rows["before"] not in ground.ask("/kept").split():
        yield "a row is lost"


def note_server(ground: Ground, n: int) -> None:
    """Remember what runs, and have a backup of it."""
    note_volume(ground, n)
    if not ground.snapshots(ground.noted["volume"]):
        ground.expect(DONE, "backup")
    ground.noted["server"] = standing_server(ground)


def standing_server(ground: Ground) -> list[tuple[object, ...]]:
    """Return the machines with all that happened to them."""
    machines = ground.live().machines
    return [(m.id, m.instance_id, m.state, m.cordoned, [e.id for e in m.events]) for m in machines]


def touched(ground: Ground) -> Iterator[str]:
    """Return whether anything happened to the server."""
    if standing_server(ground) != ground.noted["server"]:
        yield f"the server was touched: {ground.noted['server']} and now {standing_server(ground)}"


def missing_rows(ground: Ground) -> Iterator[str]:
    """Name what the copy had and is not there."""
    if ground.rows["before"] not in ground.ask("/kept").split():
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
    """Return the scenarios whose name begins with one of these; all of them when there is none."""
    return tuple(
        s for s in SCENARIOS if not names or any(s.name.startswith(name) for name in names)
    )
