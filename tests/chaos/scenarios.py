"""What is done to a server again and again, each time at another bad moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaos.ground import HOOK, Fields
from helpers.environments import POSTGRES
from helpers.small_server import EXITS, ILL, OTHER, SMALL, TROUBLE, VERSION
from roost.environment.model import AUTH_SECRET

DONE, BAD_INPUT, ROLLED_BACK = 0, 3, 4
SLEEPLESS: dict[str, Any] = {"scaling": {"autostop": "off"}}


@dataclass(frozen=True)
class Scenario:
    """One kind of change.

    Args:
        name: what people call it.
        before: the file that is live before the change.
        after: the file of the nth change, counted from 1, each unlike the one before.
        code: what the change ends with when nothing is in its way.
        fresh: each change begins without an app.
        back: whether every change is followed by going back to `before`.
    """

    name: str
    before: Fields
    after: Callable[[int], Fields]
    code: int = DONE
    fresh: bool = False
    back: bool = False

    @property
    def kept(self) -> bool:
        """Whether the change is there afterwards; a bad one is not."""
        return self.code == DONE


def settings(**values: str) -> Fields:
    """Give a file with these settings of the server."""
    return {**SLEEPLESS, "prefect": {"settings": values}}


def bad(how: str) -> Callable[[int], Fields]:
    """Give changes to a server that is no good, each another one: a failed one is refused."""
    return lambda n: settings(**{TROUBLE: f"{how}-{n}"})


def upgrade(n: int) -> Fields:
    """Give the nth of ever newer versions."""
    version = f"3.9.{n}"
    return {**SLEEPLESS, "prefect": {"version": version, "settings": {VERSION: version}}}


def several(count: int) -> Fields:
    """Give a file with some machines on a database elsewhere."""
    return {**POSTGRES, "scaling": {"autostop": "off", "count": count}}


def hook(n: int) -> Fields:
    """Give a file with one more secret, and without it, in turns."""
    names = [AUTH_SECRET, HOOK] if n % 2 else [AUTH_SECRET]
    return {**SLEEPLESS, "prune": True, "secrets": names}


def image(n: int) -> Fields:
    """Give a file with the one image and the other, in turns."""
    return {**SLEEPLESS, "prefect": {"image": OTHER if n % 2 else SMALL}}


def memory(n: int) -> Fields:
    """Give a file with more memory and with less, in turns."""
    return {**SLEEPLESS, "machine": {"memory_mb": 768 if n % 2 else 512}}


def volume(n: int) -> Fields:
    """Give a file with an ever larger volume."""
    return {**SLEEPLESS, "database": {"backend": "sqlite", "volume_gb": 1 + n}}


SCENARIOS = (
    Scenario("first deploy", SLEEPLESS, lambda _: SLEEPLESS, fresh=True),
    Scenario("settings", SLEEPLESS, lambda n: settings(PREFECT_LOGGING_LEVEL=f"L{n}")),
    Scenario("image", SLEEPLESS, image),
    Scenario("Prefect upgrade", SLEEPLESS, upgrade),
    Scenario("memory", SLEEPLESS, memory),
    Scenario("larger volume", SLEEPLESS, volume),
    Scenario("secrets", SLEEPLESS, hook),
    Scenario("scale up", several(1), lambda _: several(3), back=True),
    Scenario("scale down and prune", several(3), lambda _: several(1), back=True),
    Scenario("rollback, the server exits", SLEEPLESS, bad(EXITS), code=ROLLED_BACK, back=True),
    Scenario("rollback, the server is ill", SLEEPLESS, bad(ILL), code=ROLLED_BACK, back=True),
)


def find(names: list[str]) -> tuple[Scenario, ...]:
    """Give the scenarios whose name begins with one of these; all of them when there is none."""
    return tuple(
        s for s in SCENARIOS if not names or any(s.name.startswith(name) for name in names)
    )
