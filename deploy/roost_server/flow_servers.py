"""Records of flow servers: what is known about each, and how that changes. Pure.

A flow server is a Fly app that runs a user's flows. Each start of its launcher is a *boot* with a
random id, which every request of that boot carries in a header. When a newer boot is online, the
older ones are fenced: their requests are refused, so that no run is executed twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from typing import Any, NamedTuple

from roost_server.asgi import Scope

HEADER = b"x-roost-flow-server"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
BOOT = re.compile(r"[A-Za-z0-9_-]{1,64}")
ADDRESS = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]{1,200}/?")
DRAIN_S = 600.0
"""After this many seconds a flow server that did not say that it works again gets work again."""
KEPT_BOOTS = 1000
"""So many earlier boots are refused by name, and all those that still have runs."""
KEPT_VERSIONS = 16
MOST_FORMER = 100
LONGEST = 200


class Missed(Enum):
    """What happens to automatic runs that were missed while everything slept."""

    RUN_LATEST = "run_latest"
    RUN_ALL = "run_all"
    SKIP = "skip"


class BadOnlineError(ValueError):
    """A request of a flow server is not valid; the message names the field."""


class Caller(NamedTuple):
    """The flow server and the boot that a request comes from."""

    name: str
    boot: str


@dataclass(frozen=True)
class Online:
    """What a flow server sends when it starts."""

    boot: str
    version: str
    address: str
    prefect: str
    missed: Missed


@dataclass(frozen=True)
class Served:
    """What a flow server polls for.

    Args:
        deployments: the ids of deployments.
        pools: the names of work pools.
        queues: the names of the queues of a pool that it polls, by the pool's name; a pool that is
            not in it is polled as a whole.
    """

    deployments: frozenset[str] = frozenset()
    pools: frozenset[str] = frozenset()
    queues: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.deployments or self.pools)

    def takes(self, deployment: str | None, pool: str | None, queue: str | None) -> bool:
        """Return whether a run of this deployment, pool and queue is handed out to it."""
        if deployment in self.deployments:
            return True
        return pool in self.pools and (pool not in self.queues or queue in self.queues[pool])

    def __or__(self, other: Served) -> Served:
        """Return what either polls for."""
        pools = self.pools | other.pools
        whole = {pool for each in (self, other) for pool in each.pools if pool not in each.queues}
        nothing: frozenset[str] = frozenset()
        return Served(
            self.deployments | other.deployments,
            pools,
            {
                pool: self.queues.get(pool, nothing) | other.queues.get(pool, nothing)
                for pool in pools - whole
            },
        )


@dataclass(frozen=True)
class FlowServer:
    """What is known about one flow server, as it is kept in the database.

    Args:
        name: the name in the environment file.
        address: the private address that starts its machine.
        boot: the id of its newest start.
        version: the version of its machine's config.
        prefect: the version of its Prefect client.
        missed: what happens to missed runs.
        online_at: when the boot came online, RFC 3339 in UTC.
        fenced: the ids of earlier boots, oldest first; their requests are refused.
        canaries: the versions that ran the canary flow.
        deployments: the ids of the deployments that it polls for.
        pools: the names of the work pools that it polls for.
        queues: the queues of a pool that it polls for, if not all, by the pool's name.
        learned_from: the boot whose polls named the deployments and pools.
        draining_until: until when it gets no work, in seconds since 1970; 0 if it gets work.
        polled: when it last asked for work and got what there was, in seconds since 1970.
        runs: the boot that executes a flow run, by the run's id.
        untaken: the runs that it did not take while it asked for work (`untaken_runs`), each with the
            time when it was due, in seconds since 1970.
        former: the ids of deployments that earlier starts polled for, and none since.
        gave_up_at: when it was last given up, or tried again since, because it starts and asks for
            no work, in seconds since 1970; 0 once it asks (`silent_flow_servers`).
        gave_up_why: the likely cause.
    """

    name: str
    address: str
    boot: str
    version: str
    prefect: str
    missed: Missed
    online_at: str
    fenced: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    queues: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    learned_from: str = ""
    draining_until: float = 0.0
    polled: float = 0.0
    runs: Mapping[str, str] = field(default_factory=dict)
    untaken: Mapping[str, float] = field(default_factory=dict)
    former: tuple[str, ...] = ()
    gave_up_at: float = 0.0
    gave_up_why: str = ""

    @property
    def served(self) -> Served:
        """What it polls for."""
        return Served(
            frozenset(self.deployments),
            frozenset(self.pools),
            {pool: frozenset(queues) for pool, queues in self.queues.items()},
        )

    def is_draining(self, now: float) -> bool:
        """Return whether it gets no work now; `now` is in seconds since 1970."""
        return now < self.draining_until <= now + DRAIN_S

    def dead_runs(self) -> list[str]:
        """Return the runs of all fenced boots."""
        return [run for run, boot in self.runs.items() if boot in self.fenced]

    def fence(self, boots: Iterable[str]) -> FlowServer:
        """Refuse the requests of these boots from now on."""
        new = [boot for boot in dict.fromkeys(boots) if boot and boot not in self.fenced]
        every = (*self.fenced, *new)
        oldest, busy = every[:-KEPT_BOOTS], frozenset(self.runs.values())
        kept = (boot for boot in oldest if boot in busy)
        return replace(self, fenced=(*kept, *every[-KEPT_BOOTS:]))

    def come_online(self, online: Online, at: str) -> FlowServer:
        """Take over a new boot; every other known boot is fenced. Repeated, it changes nothing."""
        others = {self.boot, *self.runs.values()} - {online.boot}
        return replace(
            self.fence(sorted(others)),
            address=online.address,
            boot=online.boot,
            version=online.version,
            prefect=online.prefect,
            missed=online.missed,
            online_at=self.online_at if online.boot == self.boot else at,
            draining_until=0.0,
        )

    def got_work(self, now: float) -> FlowServer:
        """Record that it asked for work and got what there was; `now` is in seconds since 1970."""
        return replace(self, polled=now, gave_up_at=0.0, gave_up_why="")

    def ran_canary(self, version: str) -> FlowServer:
        """Record that this version ran the canary flow."""
        others = [known for known in self.canaries if known != version]
        return replace(self, canaries=(*others, version)[-KEPT_VERSIONS:])

    def learn(self, boot: str, polled: Served) -> FlowServer:
        """Record what a boot polls for; the first poll of a new boot replaces the older lists."""
        known = self.served if self.learned_from == boot else Served()
        served = known | polled
        former = {*self.former, *self.deployments} - served.deployments
        learned = replace(
            self,
            deployments=tuple(sorted(served.deployments)),
            pools=tuple(sorted(served.pools)),
            queues={pool: tuple(sorted(each)) for pool, each in sorted(served.queues.items())},
            learned_from=boot,
            former=tuple(sorted(former))[:MOST_FORMER],
        )
        return self if learned == self else learned

    def claim(self, run: str, boot: str) -> FlowServer:
        """Record that a boot executes a run."""
        return replace(self, runs={**self.runs, run: boot})

    def release(self, runs: Collection[str]) -> FlowServer:
        """Forget who executes these runs, because they ended."""
        return replace(self, runs={run: boot for run, boot in self.runs.items() if run not in runs})

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON document."""
        return {**asdict(self), "missed": self.missed.value}


def first_online(name: str, online: Online, at: str) -> FlowServer:
    """Return the record of a flow server that was never online before."""
    return FlowServer(
        name=name,
        address=online.address,
        boot=online.boot,
        version=online.version,
        prefect=online.prefect,
        missed=online.missed,
        online_at=at,
    )


def from_json(document: Mapping[str, Any]) -> FlowServer:
    """Return the record that a JSON document holds; keys of a newer Roost are ignored.

    Raises:
        KeyError, TypeError, ValueError: it holds no record.
    """
    known = {each.name for each in fields(FlowServer)}
    values = {key: value for key, value in document.items() if key in known}
    for key in ("fenced", "canaries", "deployments", "pools", "former"):
        values[key] = tuple(values.get(key, ()))
    values["queues"] = {pool: tuple(each) for pool, each in (values.get("queues") or {}).items()}
    return FlowServer(**{**values, "missed": Missed(values["missed"])})


def read_online(body: Any) -> Online:
    """Return what a flow server sent when it started.

    Raises:
        BadOnlineError: names the field that is missing or not valid.
    """
    if not isinstance(body, Mapping):
        raise BadOnlineError("the body must be a JSON object")
    boot, address = _text(body, "boot"), _text(body, "address")
    if not BOOT.fullmatch(boot):
        raise BadOnlineError("boot must be 1 to 64 letters, digits, - or _")
    if not ADDRESS.fullmatch(address):
        raise BadOnlineError("address must be http:// and a host, without a path")
    try:
        missed = Missed(body.get("missed") or Missed.RUN_LATEST.value)
    except ValueError:
        allowed = ", ".join(each.value for each in Missed)
        raise BadOnlineError(f"missed must be one of {allowed}") from None
    return Online(boot, _text(body, "version"), address, _text(body, "prefect"), missed)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or len(value) > LONGEST:
        raise BadOnlineError(f"{key} must be a text of at most {LONGEST} characters")
    return value


def read_caller(scope: Scope) -> Caller | None:
    """Return the flow server that a request's header names; None without a valid header."""
    for name, value in scope.get("headers", ()):
        if name == HEADER:
            server, _, boot = value.decode("latin-1").partition("/")
            if NAME.fullmatch(server) and BOOT.fullmatch(boot):
                return Caller(server, boot)
    return None
