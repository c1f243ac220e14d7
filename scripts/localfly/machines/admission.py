"""Check requests for machines as Fly does, and convert them into records."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from localfly.api_errors import ApiError, not_found, precondition
from localfly.config.machine_config import check_config, echo
from localfly.config.regions import check_region
from localfly.images.builder import Images
from localfly.machines.process_spec import find_image
from localfly.state.home import Delays
from localfly.state.ids import machine_id
from localfly.state.records import App, Machine, Volume
from localfly.state.world import World

Json = dict[str, Any]
MAX_NAME = 63


@dataclass(frozen=True)
class Admission:
    """Checks requests against the stored apps, machines and volumes."""

    world: World
    images: Images
    delays: Delays

    def new_machine(self, app: App, request: Json) -> Machine:
        """Return the record of a new machine; nothing is stored yet.

        Raises:
            ApiError: Fly would refuse the request, too.
        """
        config = request.get("config") or {}
        region = check_region(request.get("region"))
        check_config(config)
        self._check_secrets_version(app, request)
        key = machine_id()
        name = request.get("name") or f"machine-{key[:8]}"
        self._check_name(app, name)
        volume = self._free_volume(app, config, region)
        return Machine(
            id=key,
            app=app.name,
            name=name,
            region=region,
            config=echo(config, volume.size_gb if volume else None),
            user_config=config,
            image_digest=find_image(self.images, config["image"]).digest,
            # flyctl's blue-green deploy creates machines like this, and uncordons them later.
            cordoned=bool(request.get("skip_service_registration")),
            skip_secrets=bool(request.get("skip_secrets")),
            host=volume.host if volume else self.world.hosts.new(),
        )

    def change(self, app: App, machine: Machine, request: Json) -> None:
        """Set a record's new config and version; nothing is stored yet.

        Raises:
            ApiError: the machine changed meanwhile, or the config is refused; the record is
                unchanged.
        """
        _check_current(machine, request)
        _check_immutable(machine, request)
        config = request.get("config") or {}
        check_config(config)
        self._check_secrets_version(app, request)
        _check_same_volume(machine, config)
        digest = find_image(self.images, config["image"]).digest
        volume = self.world.volume_of(machine)
        machine.config = echo(config, volume.size_gb if volume else None)
        machine.user_config = config
        machine.image_digest = digest
        machine.skip_secrets = bool(request.get("skip_secrets"))
        machine.new_version()

    def _check_name(self, app: App, name: str) -> None:
        if len(name) > MAX_NAME or not name.isprintable():
            raise ApiError(400, f"invalid_argument: a name has at most {MAX_NAME} characters")
        if any(machine.name == name for machine in self.world.machines_of(app.name)):
            raise ApiError(409, f"already_exists: unique machine name constraint: {name} is taken")

    def _check_secrets_version(self, app: App, request: Json) -> None:
        wanted = request.get("min_secrets_version") or 0
        lags = time.time() < app.secrets_changed_at + self.delays.secrets_s
        known = app.secrets_version - 1 if lags else app.secrets_version
        if wanted > known:
            raise precondition(f"secrets are at version {known}, not {wanted}")

    def _free_volume(self, app: App, config: Json, region: str) -> Volume | None:
        mounts = config.get("mounts") or []
        if not mounts:
            return None
        volume = self.world.volumes.get(mounts[0]["volume"])
        if volume is None or volume.app != app.name or volume.state != "created":
            raise not_found(f"volume {mounts[0]['volume']}")
        if volume.attached_machine_id:
            raise ApiError(409, f"volume {volume.id} is attached to {volume.attached_machine_id}")
        if not self.world.hosts.answers(volume.host):
            what = "insufficient resources to create new machine with existing volume"
            raise precondition(what)
        if volume.region != region:
            raise ApiError(400, f"invalid_argument: volume {volume.id} is in {volume.region}")
        return volume


def _check_current(machine: Machine, request: Json) -> None:
    current = request.get("current_version")
    if current and current != machine.instance_id:
        raise precondition(
            f"machine version is {machine.instance_id}, current_version says {current}"
        )


def _check_immutable(machine: Machine, request: Json) -> None:
    for name in ("name", "region"):
        if request.get(name) not in (None, "", getattr(machine, name)):
            raise ApiError(400, f"invalid_argument: the {name} of a machine cannot change")


def _check_same_volume(machine: Machine, config: Json) -> None:
    have = [mount["volume"] for mount in machine.config.get("mounts") or []]
    want = [mount["volume"] for mount in config.get("mounts") or []]
    if have != want:
        raise ApiError(400, f"invalid_argument: the volume of a machine cannot change ({have})")
