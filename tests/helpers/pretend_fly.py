"""What Fly returns for a config, and the effect of each kind of step.

Pure and small: it has the part of Fly that a plan depends on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from roost.fly.models import App, IpAssignment, Machine, Organization, SecretInfo, Volume
from roost.plan.desired import Desired
from roost.plan.diff import diff
from roost.plan.live import Live
from roost.plan.merged_config import merged_config
from roost.plan.objects_record import OBJECTS_KEY, ObjectsRecord, record_on
from roost.plan.ownership import with_volume
from roost.plan.prefect_objects import entries_of
from roost.plan.secret_fingerprints import Mark, with_marks
from roost.plan.steps import (
    AssignIp,
    CopyDatabase,
    CreateApp,
    CreateMachine,
    CreateVolume,
    DestroyMachine,
    ExtendVolume,
    ProveRelease,
    ReconcileObjects,
    ReleaseIp,
    SetSecrets,
    StartMachine,
    Step,
    UncordonMachine,
    UnsetSecrets,
    UpdateMachine,
    UpdateMetadata,
    UpdateVolume,
)

Json = dict[str, Any]

_ADDRESSES = {
    "v4": "203.0.113.7",
    "shared_v4": "66.241.1.1",
    "v6": "2a09::1",
    "private_v6": "fdaa::1",
}
_AUTOSTOP = {"off": False, "stop": True, "suspend": "suspend"}


def echo(config: Json) -> Json:
    """Return a config as Fly returns it: normalized, and with defaults filled in."""
    given = copy.deepcopy(config)
    for service in given.get("services", []):
        # One that was given back may be sent again.
        service["autostop"] = _AUTOSTOP.get(service["autostop"], service["autostop"])
        service["force_instance_key"] = None
        for check in service.get("checks", []):
            check["grace_period"] = "1m0s"
            check["interval"] = 15_000_000_000
            check["headers"] = []
        if not service.get("min_machines_running"):
            service.pop("min_machines_running", None)
    for mount in given.get("mounts", []):
        mount.update({"encrypted": True, "size_gb": 1})
    given["metadata"]["fly_release_id"] = "somebody-elses"
    given["dns"] = {}
    given.setdefault("init", {})
    return given


@dataclass
class PretendFly:
    """Carries out steps on a live state, and records what each machine booted with."""

    live: Live
    booted_with: dict[str, frozenset[str]] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self._count = 1000 if self.live.app else 0  # no id twice, whoever made the live state

    def carry_out(self, steps: Iterable[Step]) -> None:
        """Do all steps in order."""
        for step in steps:
            self.do(step)

    def do(self, step: Step) -> None:  # noqa: C901, PLR0912 - one line a kind of step
        """Do one step as Fly would."""
        match step:
            case CreateApp():
                owner = Organization(slug=step.organization)
                self.live = replace(self.live, app=App(name=step.app, organization=owner))
            case AssignIp():
                self._set_ips((*self.live.ips, address(step.ip_type)))
            case ReleaseIp():
                self._set_ips(tuple(ip for ip in self.live.ips if ip.ip != step.ip))
            case CreateVolume():
                fields = {k: v for k, v in step.fields.items() if not k.startswith("compute")}
                self._put_volume(Volume(id=self._id("vol_"), state="created", **fields))
            case ExtendVolume():
                self._change_volume(step.volume, size_gb=step.size_gb)
            case UpdateVolume():
                self._change_volume(step.volume, snapshot_retention=step.snapshot_retention)
            case SetSecrets():
                self._set_secrets(step.names)
            case UnsetSecrets():
                kept = tuple(s for s in self.live.secrets if s.name not in step.names)
                self.live = replace(self.live, secrets=kept)
            case CreateMachine():
                self._create_machine(step)
            case UpdateMachine():
                self._update_machine(step)
            case UpdateMetadata():
                self._update_metadata(step)
            case StartMachine():
                self._boot(self._machine(step.machine).model_copy(update={"state": "started"}))
            case UncordonMachine():
                self._boot(self._machine(step.machine).model_copy(update={"cordoned": False}))
            case DestroyMachine():
                self._remove_machine(step.machine)
            case ReconcileObjects():
                self._keep_objects(step)
            case ProveRelease() | CopyDatabase():
                pass  # only looks, or changes no more than what is in a database

    def _create_machine(self, step: CreateMachine) -> None:
        assert step.name not in {machine.name for machine in self.live.machines}, "name taken"
        volume = next((v.id for v in self.live.volumes if not v.attached_machine_id), "")
        machine = Machine(
            id=self._id("m"),
            name=step.name,
            region=step.region,
            state="started",
            instance_id=self._id("v"),
            config=echo(self._marked(with_volume(step.config, volume))),
        )
        if "mounts" in step.config:
            assert volume, "a machine needs its volume first"
            self._change_volume(volume, attached_machine_id=machine.id)
        self._boot(machine)

    def _update_machine(self, step: UpdateMachine) -> None:
        machine = self._machine(step.machine)
        assert machine.instance_id == step.current_version, "changed meanwhile"
        mounts = [m.get("volume") for m in (machine.config or {}).get("mounts", [])]
        asked = [m.get("volume") for m in step.config.get("mounts", [])]
        assert asked == mounts, "a machine keeps its volume"
        config = echo(self._marked(merged_config(step.config, machine.config or {})))
        updated = machine.model_copy(update={"config": config, "instance_id": self._id("v")})
        if step.skip_launch:
            stopped = machine.state if machine.state == "created" else "stopped"
            self._put_machine(updated.model_copy(update={"state": stopped}))
        else:
            self._boot(updated.model_copy(update={"state": "started"}))

    def _update_metadata(self, step: UpdateMetadata) -> None:
        machine = self._machine(step.machine)
        config = machine.config or {}
        merged = {**config["metadata"], **step.values}
        config = {**config, "metadata": {name: text for name, text in merged.items() if text}}
        self._put_machine(machine.model_copy(update={"config": config}))

    def _keep_objects(self, step: ReconcileObjects) -> None:
        for machine in self.live.machines:
            known = record_on([machine]) or ObjectsRecord()
            entries = entries_of(step)
            others = known.keys - {entry.key for entry in entries} - {*step.removed}
            record = ObjectsRecord(entries, tuple(sorted(others)))
            config = machine.config or {}
            metadata = {**config["metadata"], OBJECTS_KEY: record.encoded()}
            self._put_machine(
                machine.model_copy(update={"config": {**config, "metadata": metadata}})
            )

    def _boot(self, machine: Machine) -> None:
        self.booted_with[machine.id] = frozenset(self._secret_names())
        self._put_machine(machine)

    def _machine(self, machine_id: str) -> Machine:
        return next(machine for machine in self.live.machines if machine.id == machine_id)

    def _put_machine(self, machine: Machine) -> None:
        others = tuple(m for m in self.live.machines if m.id != machine.id)
        self.live = replace(self.live, machines=(*others, machine))

    def _remove_machine(self, machine_id: str) -> None:
        kept = tuple(m for m in self.live.machines if m.id != machine_id)
        assert len(kept) < len(self.live.machines), "no such machine"
        self.live = replace(self.live, machines=kept)

    def _change_volume(self, volume_id: str, **fields: Any) -> None:
        volume = next(v for v in self.live.volumes if v.id == volume_id)
        self._put_volume(volume.model_copy(update=fields))

    def _put_volume(self, volume: Volume) -> None:
        others = tuple(v for v in self.live.volumes if v.id != volume.id)
        self.live = replace(self.live, volumes=(*others, volume))

    def _set_ips(self, ips: tuple[IpAssignment, ...]) -> None:
        self.live = replace(self.live, ips=ips)

    def _secret_names(self) -> set[str]:
        return {secret.name for secret in self.live.secrets}

    def _set_secrets(self, names: Iterable[str]) -> None:
        found = {secret.name: secret for secret in self.live.secrets}
        found |= {name: SecretInfo(name=name, digest=f"of {name}") for name in names}
        self.live = replace(self.live, secrets=tuple(found[name] for name in sorted(found)))

    def _marked(self, config: Json) -> Json:
        """Return a config with the fingerprints of the secrets that it boots with."""
        marks = {secret.name: Mark(secret.digest, "unknown") for secret in self.live.secrets}
        return with_marks(config, marks)

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count:04}"


def address(kind: str) -> IpAssignment:
    """Return an address of a kind, as Fly lists it."""
    return IpAssignment(ip=_ADDRESSES[kind], type=kind, shared=kind == "shared_v4")


def applied(desired: Desired, state: str = "started") -> Live:
    """Return what Fly has after the first apply, with the machines in a state."""
    fly = PretendFly(Live())
    fly.carry_out(diff(desired, fly.live).steps)
    machines = tuple(m.model_copy(update={"state": state}) for m in fly.live.machines)
    return replace(fly.live, machines=machines)


def with_machine(live: Live, **fields: Any) -> Live:
    """Return the live state with fields of its first machine changed."""
    first, *others = live.machines
    return replace(live, machines=(first.model_copy(update=fields), *others))


def with_volume_fields(live: Live, **fields: Any) -> Live:
    """Return the live state with fields of its first volume changed."""
    first, *others = live.volumes
    return replace(live, volumes=(first.model_copy(update=fields), *others))
