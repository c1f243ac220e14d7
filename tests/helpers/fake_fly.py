"""A small Fly in memory: the Machines API of one app, and what its machines booted with.

It takes requests as httpx sends them, so that the real client stands in front of it. It is strict
where a duplicate or a mixed change would hide: names, leases and compare-and-set count as on Fly.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from helpers.fly_answers import says
from helpers.fly_calls import Ask, Boot, Held, RefusedError, spelt
from helpers.pretend_fly import address, echo

Json = dict[str, Any]
NONCE = "fly-machine-lease-nonce"
AWAKE = ("started", "suspended")
"""States in which a machine keeps what it saw when it booted."""
RESTING = ("stopped", "suspended", "created")


def secret_info(name: str, value: str) -> Json:
    """Return Fly's description of a secret: its digest, which only Fly can compute."""
    return {
        "name": name,
        "digest": hashlib.sha256(f"of this Fly {value}".encode()).hexdigest()[:16],
    }


@dataclass
class FakeFly:
    """One organization with at most one app."""

    name: str = "acme-prefect"
    organization: str = ""
    lists_apps: bool = True
    ips: list[Json] = field(default_factory=list)
    volumes: dict[str, Json] = field(default_factory=dict)
    snapshots: dict[str, list[Json]] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    """What a volume or a snapshot holds: named after the volume on which it was written."""
    secrets: Json = field(default_factory=dict)
    secrets_version: int = 0
    secrets_lag: int = 0
    """So many machines that ask for new secrets are refused yet."""
    trial_ending: Json = field(default_factory=lambda: {"exit_code": 0, "signal": -1})
    """How a machine ends that tries a database."""
    executed: Json = field(default_factory=lambda: {"exit_code": 0, "stdout": "", "stderr": ""})
    """How every command ends that is run in a machine."""
    trials: list[Json] = field(default_factory=list)
    """The secrets that each of these saw."""
    copy_result: Json = field(default_factory=lambda: {"tables": [["flow", 1, "ab"]], "seconds": 1})
    """What a machine finds that copies its database."""
    copies: list[Json] = field(default_factory=list)
    """The configs of the machines that did."""
    machines: dict[str, Json] = field(default_factory=dict)
    boots: dict[str, Boot] = field(default_factory=dict)
    leases: dict[str, Held] = field(default_factory=dict)
    asked: list[Ask] = field(default_factory=list)
    tokens: list[Json] = field(default_factory=list)
    """What it tells of the token that asks."""
    _count: int = 0
    _made: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path.removeprefix("/v1/")
        body = json.loads(request.content) if request.content else {}
        nonce = request.headers.get(NONCE, "")
        ask = Ask(request.method, tuple(path.split("/")), nonce, body, request.url.params)
        self.asked.append(ask)
        try:
            return self._answer(ask)
        except RefusedError as refused:
            return refused.answer

    @property
    def changes(self) -> list[str]:
        """Return every request that changes something, in order, as `VERB PATH` within the app."""
        return [f"{ask.verb} {spelt(ask)}" for ask in self.asked if ask.verb != "GET"]

    def sent(self, change: str) -> Json:
        """Return the body of the only request that `changes` lists in this form."""
        [ask] = [ask for ask in self.asked if f"{ask.verb} {spelt(ask)}" == change]
        return ask.body

    def leave_leases(self) -> None:
        """Let every lease expire."""
        for held in self.leases.values():
            held.looks = 3

    def settle(self, state: str) -> None:
        """Put every machine into a state."""
        for machine in self.machines.values():
            machine["state"] = state

    def wake(self) -> None:
        """Start every machine, as a request through the proxy does."""
        for key, machine in self.machines.items():
            if machine["state"] == "suspended":
                machine["state"] = "started"
            elif machine["state"] == "stopped":
                self._boot(key)

    def picture(self) -> Json:
        """Return the state for comparison, without ids and without the order of creation."""
        return {
            "app": self.organization,
            "ips": sorted(ip["type"] for ip in self.ips),
            "secrets": self.secrets,
            "volumes": sorted(
                (volume["name"], volume["size_gb"], volume["snapshot_retention"])
                for volume in self.volumes.values()
            ),
            "machines": {m["name"]: self._machine_picture(m) for m in self.machines.values()},
        }

    def _machine_picture(self, machine: Json) -> Json:
        mounts = [mount["path"] for mount in machine["config"].get("mounts", [])]
        return {
            "state": machine["state"],
            "region": machine["region"],
            "config": {**machine["config"], "mounts": mounts},
            "sees": self.boots[machine["id"]] if machine["state"] in AWAKE else None,
        }

    # Requests

    def _answer(  # noqa: C901, PLR0911, PLR0912 - one line a kind of call
        self, ask: Ask
    ) -> httpx.Response:
        there = self.organization and ask.path[1:2] == (self.name,)
        match (ask.verb, *ask.path):
            case ("GET", "apps") if not self.lists_apps:
                raise RefusedError(403, "unauthorized")
            case ("GET", "apps"):
                mine = self.organization == ask.params["org_slug"]
                app = {"name": self.name, "organization": {"slug": self.organization}}
                return says(200, {"apps": [app] if mine else []})
            case ("POST", "apps"):
                return self._create_app(ask.body)
            case ("GET", "tokens", "current"):
                return says(200, {"tokens": self.tokens})
            case _ if not there:
                raise RefusedError(404, "app not found")
            case ("GET", "apps", app):
                return says(200, {"name": app, "organization": {"slug": self.organization}})
            case (_, "apps", _, "machines", key, *_) if key not in self.machines:
                raise RefusedError(404, "machine not found")
            case (verb, "apps", _, "volumes", key, "snapshots"):
                return self._snapshots(verb, key)
            case ("DELETE", "apps", _):
                self.organization = ""
                return says(202)
            case ("PATCH", "apps", _, "machines", key, "metadata"):
                config = self.machines[key]["config"]
                merged = {**config["metadata"], **ask.body["metadata"]}
                config["metadata"] = {name: text for name, text in merged.items() if text}
                return says(204)
            case ("DELETE", "apps", _, "machines", key, "metadata", name):
                gone = self.machines[key]["config"]["metadata"].pop(name, None)
                return says(204 if gone else 404)
            case (_, "apps", _, "machines", key, "lease"):
                return self._lease(ask, key)
            case (_, "apps", _, "machines", key, *rest):
                return self._machine(ask, self.machines[key], rest)
            case (verb, "apps", _, kind, *_):
                answer: httpx.Response = getattr(self, f"_{verb.lower()}_{kind}")(ask)
                return answer
            case _:
                raise RefusedError(501, "not in this Fly")

    def _create_app(self, body: Json) -> httpx.Response:
        if self.organization or body["name"] != self.name:
            raise RefusedError(422, "Name has already been taken")
        self.organization = body["org_slug"]
        return says(201, {})

    # Addresses

    def _get_ip_assignments(self, _: Ask) -> httpx.Response:
        return says(200, {"ips": self.ips})

    def _post_ip_assignments(self, ask: Ask) -> httpx.Response:
        kind = ask.body["type"]
        taken = [ip["ip"] for ip in self.ips if ip["type"] == kind]
        if taken and kind == "shared_v4":
            raise RefusedError(409, "app already has a shared v4 address")
        ip = address(kind).model_dump() | {"created_at": self._now()}
        self.ips.append(ip | {"ip": f"{ip['ip']}{len(taken) or ''}"})
        return says(200, self.ips[-1])

    def _delete_ip_assignments(self, ask: Ask) -> httpx.Response:
        kept = [known for known in self.ips if known["ip"] != ask.path[-1]]
        status = 404 if kept == self.ips else 204
        self.ips = kept
        return says(status)

    # Volumes

    def _get_volumes(self, _: Ask) -> httpx.Response:
        return says(200, list(self.volumes.values()))

    def _post_volumes(self, ask: Ask) -> httpx.Response:
        source = ask.body.get("snapshot_id", "")
        if source and source not in self.data:
            raise RefusedError(404, f"snapshot {source} not found")
        kept = ("name", "region", "size_gb", "snapshot_retention")
        key = self._new("vol_")
        self.volumes[key] = {name: ask.body[name] for name in kept}
        self.volumes[key] |= {"id": key, "state": "created", "attached_machine_id": None}
        self.volumes[key] |= {"created_at": self._now()}
        self.data[key] = self.data.get(source, key)
        return says(200, self.volumes[key])

    def _delete_volumes(self, ask: Ask) -> httpx.Response:
        volume = self.volumes.get(ask.path[3])
        if volume is None:
            raise RefusedError(404, "volume not found")
        if volume["attached_machine_id"]:
            raise RefusedError(409, "volume is attached")
        return says(200, self.volumes.pop(ask.path[3]))

    def _put_volumes(self, ask: Ask) -> httpx.Response:
        volume = self.volumes[ask.path[3]]
        if ask.body.get("size_gb", volume["size_gb"]) < volume["size_gb"]:
            raise RefusedError(400, "volumes do not shrink")
        volume.update(ask.body)
        extended = ask.path[-1] == "extend"
        return says(200, {"volume": volume, "needs_restart": True} if extended else volume)

    def _snapshots(self, verb: str, key: str) -> httpx.Response:
        taken = self.snapshots.setdefault(key, [])
        if verb == "POST":
            taken.append({"id": self._new("vs_"), "status": "created"})
            self.data[taken[-1]["id"]] = self.data[key]
            return says(200)
        return says(200, taken)

    # Secrets

    def _get_secrets(self, _: Ask) -> httpx.Response:
        return says(200, {"secrets": [secret_info(*secret) for secret in self.secrets.items()]})

    def _post_secrets(self, ask: Ask) -> httpx.Response:
        merged = {**self.secrets, **ask.body["values"]}
        self.secrets = {name: value for name, value in merged.items() if value is not None}
        self.secrets_version += 1
        told = [secret_info(*secret) for secret in self.secrets.items()]
        return says(200, {"version": self.secrets_version, "secrets": told})

    # Machines

    def _get_machines(self, ask: Ask) -> httpx.Response:
        wanted = {key.removeprefix("metadata."): value for key, value in ask.params.items()}
        found = [
            machine
            for machine in self.machines.values()
            if wanted.items() <= machine["config"]["metadata"].items()
        ]
        return says(200, found)

    def _post_machines(self, ask: Ask) -> httpx.Response:
        body, key = ask.body, self._new("m")
        self._check_secrets_seen(body)
        if body["name"] in {machine["name"] for machine in self.machines.values()}:
            raise RefusedError(409, "already_exists: unique machine name violation")
        for mount in body["config"].get("mounts", []):
            volume = self.volumes[mount["volume"]]
            if volume["attached_machine_id"]:
                raise RefusedError(409, "volume is attached")
            volume["attached_machine_id"] = key
        self.machines[key] = {
            "id": key,
            "name": body["name"],
            "region": body["region"],
            "instance_id": self._new("v"),
            "config": echo(body["config"]),
            "events": [],
        }
        self._boot(key)
        if "try-database" in body["config"].get("init", {}).get("cmd", ()):
            self._try(self.machines[key])
        if "lease_ttl" in body:
            self.leases[key] = Held(self._new("n"))
            return says(200, {**self.machines[key], "nonce": self.leases[key].nonce})
        return says(200, self.machines[key])

    def _machine(  # noqa: C901, PLR0912 - one line a call of the API
        self, ask: Ask, machine: Json, rest: list[str]
    ) -> httpx.Response:
        key = machine["id"]
        if ask.verb == "GET" and rest == ["wait"]:
            return self._wait(machine, ask)
        if ask.verb == "GET":
            return says(200, machine["events"] if rest == ["events"] else machine)
        if key in self.leases and self.leases[key].nonce != ask.nonce:
            raise RefusedError(409, "lease currently held by somebody")
        match (ask.verb, *rest):
            case ("POST",):
                self._update(machine, ask.body)
            case ("POST", "start") if machine["state"] in AWAKE:
                machine["state"] = "started"
            case ("POST", "start" | "restart"):
                self._boot(key)
            case ("POST", "suspend") if machine["state"] not in AWAKE:
                raise RefusedError(412, f"unable to suspend machine from {machine['state']}")
            case ("POST", "stop" | "suspend" as what):
                machine["state"] = {"stop": "stopped", "suspend": "suspended"}[what]
            case ("POST", "exec") if machine["state"] != "started":
                raise RefusedError(412, f"machine is {machine['state']}")
            case ("POST", "exec"):
                return says(200, self.executed)
            case ("POST", "cordon" | "uncordon" as what):
                machine["cordoned"] = what == "cordon"
            case ("DELETE",):
                self._destroy(key)
            case _:
                raise RefusedError(501, "not in this Fly")
        return says(200, machine)

    def _wait(self, machine: Json, ask: Ask) -> httpx.Response:
        version = ask.params.get("version")
        if ask.params["state"] == "stopped" and not version:
            raise RefusedError(400, "instance_id required when waiting for stopped machine")
        there = machine["state"] == ask.params["state"]
        return says(200 if there and version in (None, machine["instance_id"]) else 408, {})

    def _update(self, machine: Json, body: Json) -> None:
        if body["current_version"] != machine["instance_id"]:
            raise RefusedError(412, "failed_precondition: machine version changed")
        self._check_secrets_seen(body)
        machine["config"] = echo(body["config"])
        machine["instance_id"] = self._new("v")
        # As flyctl has seen it: what rested is not started, whatever the documents say.
        if body.get("skip_launch") or machine["state"] in RESTING:
            machine["state"] = "stopped"
        else:
            self._boot(machine["id"])

    def _check_secrets_seen(self, body: Json) -> None:
        """Refuse a machine whose secrets have not reached the hosts yet."""
        if self.secrets_lag and body.get("min_secrets_version"):
            self.secrets_lag -= 1
            raise RefusedError(412, "failed_precondition: secrets are at another version")

    def _boot(self, key: str) -> None:
        sizes = [v["size_gb"] for v in self.volumes.values() if v["attached_machine_id"] == key]
        self.boots[key] = Boot(dict(self.secrets), sum(sizes))
        self.machines[key]["state"] = "started"
        checks = self.machines[key]["config"].get("checks") or {}
        self.machines[key]["checks"] = [{"name": name, "status": "passing"} for name in checks]
        command = self.machines[key]["config"].get("init", {}).get("cmd", ())
        if {"move-database", "move-to-volume"} & set(command):
            self._copy(self.machines[key])

    def _copy(self, machine: Json) -> None:
        """End a machine that copies its database, with its result in the metadata."""
        self.copies.append(copy.deepcopy(machine["config"]))
        result = {"version": machine["instance_id"], **self.copy_result}
        machine["config"]["metadata"]["roost_move"] = json.dumps(result)
        machine["state"] = "stopped"

    def _try(self, machine: Json) -> None:
        """End a machine that tests a database, with its result."""
        self.trials.append(dict(self.secrets))
        del self.boots[machine["id"]]
        machine["state"] = "stopped"
        ending = {"type": "exit", "request": {"exit_event": self.trial_ending}}
        machine["events"] = [{"id": self._new("e"), **ending}]

    def _destroy(self, key: str) -> None:
        del self.machines[key]
        self.leases.pop(key, None)
        for volume in self.volumes.values():
            if volume["attached_machine_id"] == key:
                volume["attached_machine_id"] = None

    # Leases

    def _lease(self, ask: Ask, key: str) -> httpx.Response:
        held = self.leases.get(key)
        if held is None and ask.verb != "POST":
            raise RefusedError(404, "lease not found")
        if ask.verb == "GET":
            return says(200, {"status": "success", "data": {"description": "roost apply"}})
        if held is not None and held.nonce != ask.nonce:
            held.looks -= 1
            if held.looks == 0:
                del self.leases[key]
            raise RefusedError(409, "lease currently held by somebody")
        if ask.verb == "DELETE":
            del self.leases[key]
            return says(200, {"status": "success"})
        held = self.leases.setdefault(key, Held(self._new("n")))
        return says(201, {"status": "success", "data": {"nonce": held.nonce}})

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count:04}"

    def _now(self) -> str:
        """Return a time as Fly writes it; each is a millisecond after the one before."""
        self._made += 1
        return f"2026-01-01T00:00:{self._made / 1000:06.3f}Z"
