"""Describe a machine's process: its image, volume, environment and address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from localfly.api_errors import ApiError
from localfly.images.builder import Image, Images
from localfly.runtime.machine_processes import ProcessSpec, free_address
from localfly.runtime.machine_sockets import MachineSockets
from localfly.state.records import App, Machine, timestamp
from localfly.state.world import World

Json = dict[str, Any]


def find_image(images: Images, ref: str) -> Image:
    """Return a built image.

    Raises:
        ApiError: 400 for an image that was not built; there is no registry here.
    """
    image = images.lookup(ref)
    if image is None:
        raise ApiError(
            400, f"invalid_argument: image {ref} is not known here; build it first (image build)"
        )
    return image


async def make_spec(
    world: World, images: Images, sockets: MachineSockets, machine: Machine
) -> ProcessSpec:
    """Return the description of a machine's new process, which gets an address of its own.

    A machine without a service keeps the one that it has, as on Fly: others connect to it by that.

    Raises:
        ApiError: its image does not exist any more.
        NoAddressError: no loopback address has its ports free.
    """
    ports = [service["internal_port"] for service in machine.config.get("services") or []]
    if ports or not machine.address:
        machine.address = await asyncio.to_thread(free_address, ports)
    return await spec_of(world, images, sockets, machine)


async def spec_of(
    world: World, images: Images, sockets: MachineSockets, machine: Machine
) -> ProcessSpec:
    """Return the description of a process at the address that the machine has.

    Raises:
        ApiError: its image does not exist any more.
    """
    config = machine.config
    image = find_image(images, config["image"])
    mounts = config.get("mounts") or []
    return ProcessSpec(
        machine_id=machine.id,
        image=image,
        argv=_argv(config),
        env=_environment(world.app(machine.app), machine),
        address=machine.address,
        mounts={m["path"]: world.volume_folder(m["volume"]) for m in mounts},
        log=log_path(world.home, machine.id),
        memory_mb=config["guest"]["memory_mb"],
        scratch=root_folder(world.home, machine.id),
        socket=await sockets.open(machine.app, machine.id),
        ports=_ports(world),
        machines=_machines(world),
    )


def _ports(world: World) -> dict[str, int]:
    """Return the port of each app that the proxy serves, which are those with a machine."""
    apps = world.apps.values()
    return {app.name: app.port for app in apps if app.port and world.machines_of(app.name)}


def _machines(world: World) -> dict[str, str]:
    """Return the address of the first machine of each app that has one."""
    found: dict[str, str] = {}
    for app in world.apps:
        addresses = [machine.address for machine in world.machines_of(app) if machine.address]
        if addresses:
            found[app] = addresses[0]
    return found


def log_path(home: Path, machine: str) -> Path:
    """Return the file with a machine's output."""
    return home / "logs" / f"{machine}.log"


def write_log(home: Path, name: str, line: str) -> None:
    """Add a line to the log of a machine or an app."""
    path = log_path(home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{timestamp()} {line}\n")


def root_folder(home: Path, machine: str) -> Path:
    """Return the folder of a machine's root file system."""
    return home / "roots" / machine


def _environment(app: App, machine: Machine) -> dict[str, str]:
    """Return the environment of a process: the config's variables, secrets, and Fly's own."""
    process = main_process(machine.config)
    skip = machine.skip_secrets or process.get("ignore_app_secrets")
    secrets = {} if skip else app.secrets
    return {
        **(machine.config.get("env") or {}),
        **(process.get("env") or {}),
        **{name: secret["value"] for name, secret in secrets.items()},
        "FLY_APP_NAME": machine.app,
        "FLY_MACHINE_ID": machine.id,
        "FLY_ALLOC_ID": machine.id,
        "FLY_REGION": machine.region,
        "FLY_PRIVATE_IP": machine.address,
        "FLY_IMAGE_REF": str(machine.config["image"]),
        "FLY_MACHINE_VERSION": machine.instance_id,
        "FLY_VM_MEMORY_MB": str(machine.config["guest"]["memory_mb"]),
    }


def main_process(config: Json) -> Json:
    """Return the only entry of `processes`; an empty one without."""
    entries: list[Json] = config.get("processes") or [{}]
    return entries[0]


def _argv(config: Json) -> list[str] | None:
    """Return the command of a config; None for the image's own."""
    # The only entry of `processes` is the process itself, with the fields of `init`.
    for source in (main_process(config), config.get("init") or {}):
        if source.get("exec"):
            return list(source["exec"])
        parts = [*(source.get("entrypoint") or []), *(source.get("cmd") or [])]
        if parts:
            return parts
    return None
