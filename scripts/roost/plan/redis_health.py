"""Read what a Redis said to Fly's last check of its machine. Pure.

Written by deploy/managed_redis/roost_redis/health.py. It is text that a machine sent, so only the known
form of it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from roost.fly.models import Machine

PASSING = "passing"
_SAID = re.compile(r"Redis(?: [0-9.]{1,20})?: [A-Za-z0-9 ,;()._-]{1,200}", re.ASCII)


@dataclass(frozen=True)
class RedisHealth:
    """The health of a Redis that Roost deploys.

    Args:
        text: what it said, or what Fly knows, as a sentence without its point.
        good: whether Fly's check passes.
    """

    text: str
    good: bool


def redis_health(machines: Iterable[Machine]) -> RedisHealth | None:
    """Return the health of a Redis, by the last check of its machine; None where none runs."""
    for machine in machines:
        if machine.state == "started":
            return _health_of(machine)
    return None


def _health_of(machine: Machine) -> RedisHealth:
    if not machine.checks:
        return RedisHealth("Fly has not checked it yet", good=True)
    check = next((each for each in machine.checks if each.status != PASSING), machine.checks[0])
    said = _SAID.search(check.output)
    good = check.status == PASSING
    return RedisHealth(said[0] if said else f"Fly's check is {check.status}", good=good)
