"""A replicated server on a fake Fly: each machine answers by its own config, as Fly's proxy pins it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from helpers.fake_prefect import FakePrefect, Json, say
from helpers.releasing import NO_PAGES, World
from roost.apply.replica_verdict import PIN
from roost.plan.desired import SLOT_KEY, VERSION_KEY


@dataclass
class SharedPrefect(FakePrefect):
    """A Prefect in memory with leases, events and runs; each `alone` part is one machine's own."""

    alone: frozenset[str] = frozenset()
    """`leases`, `events` or `runs`: what the machines do not share."""
    twice: bool = False
    """Whether the scheduler makes each run twice."""
    machine: str = ""
    """The machine that answers."""
    leases: dict[str, str] = field(default_factory=dict)
    """The machine that gave each lease."""
    posted: dict[str, str] = field(default_factory=dict)
    """The machine that took each event."""

    def _api(  # noqa: C901, PLR0911 - one line a call of the API
        self, request: httpx.Request, path: str
    ) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        match (request.method, *path.removeprefix("/api/").rstrip("/").split("/")):
            case ("POST", "v2", "concurrency_limits"):
                return say(201, self.put("v2", **body))
            case ("DELETE", "v2", "concurrency_limits", key):
                return say(204 if self.things.pop(key, None) else 404)
            case ("POST", "v2", "concurrency_limits", "increment-with-lease"):
                lease = str(uuid.uuid4())
                self.leases[lease] = self.machine
                return say(200, {"lease_id": lease, "limits": []})
            case ("POST", "v2", "concurrency_limits", "leases", lease, "renew"):
                return say(410 if self._is_alone("leases", self.leases[lease]) else 204)
            case ("POST", "v2", "concurrency_limits", "decrement-with-lease"):
                return say(204)
            case ("POST", "events"):
                for event in body:
                    self.events[event["id"]] = event
                    self.posted[event["id"]] = self.machine
                return say(204)
            case ("POST", "events", "filter"):
                if self._is_alone("events", self.posted.get(body["filter"]["id"]["id"][0], "")):
                    return say(200, {"events": []})
            case ("POST", "flow_runs", "filter") if "deployments" in body:
                runs = [{"expected_start_time": str(hour)} for hour in range(3)]
                if "runs" in self.alone and self.machine != "app-1":
                    return say(200, [])
                return say(200, runs * (1 + self.twice))
        return super()._api(request, path)

    def _is_alone(self, part: str, machine: str) -> bool:
        return part in self.alone and machine not in ("", self.machine)


@dataclass
class Replicas(World):
    """A Fly with a replicated server; `served` notes the slots that answered, in their order."""

    prefect: SharedPrefect = field(default_factory=SharedPrefect)
    served: list[str] = field(default_factory=list)
    sick: str = ""
    """The slot whose pages are missing, whatever its config says."""

    async def serve(self, request: httpx.Request) -> httpx.Response:
        """Answer as the pinned machine does; without a pin, as the first one for the API."""
        pinned = request.headers.get(PIN)
        machine = self.fly.machines[pinned] if pinned else self._first()
        config = machine["config"]
        slot = config["metadata"][SLOT_KEY]
        if not self.served or self.served[-1] != slot:
            self.served.append(slot)
        self.prefect.machine = slot
        self.prefect.version = config["metadata"][VERSION_KEY]
        is_broken = slot == self.sick or config["env"].get(NO_PAGES) == "false"
        self.prefect.broken = (
            {("GET", "/"): say(404), ("GET", "/api/ready"): say(500)} if is_broken else {}
        )
        return await self.prefect(request)

    def _first(self) -> Json:
        found: list[Any] = list(self.fly.machines.values())
        return next(machine for machine in found if machine["config"].get("services"))

    def levels(self) -> dict[str, str]:
        """Return each machine's level of logs, by its slot."""
        machines = (machine["config"] for machine in self.fly.machines.values())
        return {
            config["metadata"][SLOT_KEY]: config["env"].get("PREFECT_LOGGING_LEVEL", "")
            for config in machines
        }
