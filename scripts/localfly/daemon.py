"""The local Fly as one process: API, proxy, machine sockets and machines, wired together."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localfly.api.app import make_api
from localfly.api.requests import Services
from localfly.errors import LocalFlyError, PortTakenError
from localfly.images import Images
from localfly.machines import Machines
from localfly.proxy import Proxy
from localfly.records import App
from localfly.recovery import recover
from localfly.runtime import Runtime
from localfly.serving import Serving
from localfly.sockets import MachineSockets
from localfly.world import World

VERSION = "1"
HOST = "127.0.0.1"


class AlreadyRunningError(LocalFlyError):
    """Another daemon holds this home folder."""


@dataclass(frozen=True)
class Settings:
    """What the command line may choose."""

    home: Path
    cache: Path
    port: int = 0
    """0 for a free one; the last one is tried first."""
    token: str | None = None


def discovery_file(home: Path) -> Path:
    """Give the file that says where the daemon of a home folder answers."""
    return home / "daemon.json"


async def serve(settings: Settings) -> None:
    """Run until told to stop by a signal or over the API.

    Raises:
        AlreadyRunningError: the home folder is held by another daemon.
        PortTakenError: the port that was asked for is in use.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = hold(settings.home)
    try:
        await _serve(settings)
    finally:
        discovery_file(settings.home).unlink(missing_ok=True)
        lock.close()


def hold(home: Path) -> IO[str]:
    """Hold a home folder for as long as the file is open; the kernel lets go when we die."""
    lock = (home / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise AlreadyRunningError(
            f"A local Fly{_who(home)} already runs with {home}.",
            advice="Stop it first: localfly stop.",
        ) from None
    return lock


def _who(home: Path) -> str:
    try:
        record = json.loads(discovery_file(home).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return f" (process {record['pid']}, {record['api_url']})"


async def _serve(settings: Settings) -> None:
    listening = _listen(settings)
    world = World(settings.home)
    runtime = Runtime()
    sockets = MachineSockets(settings.home)
    images = Images(settings.cache)
    machines = Machines(world, images, runtime, sockets)
    proxy = Proxy(machines)
    api = make_api(Services(world, machines, images), settings.token)
    sockets.app = api
    stop = asyncio.Event()
    port = listening.getsockname()[1]
    api.state.version, api.state.stop = VERSION, stop
    api.state.api_url = f"http://{HOST}:{port}"

    async def open_app(app: App) -> None:
        await _open_app(proxy, world, app)

    api.state.proxy_open, api.state.proxy_close = open_app, proxy.close
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await recover(world, machines, runtime, sockets)
    for app in list(world.apps.values()):
        if world.machines_of(app.name):
            await open_app(app)
    serving = Serving(api, listening)
    _announce(settings.home, api.state.api_url)
    await stop.wait()
    await proxy.aclose()
    await machines.shut_down()
    await serving.close()
    await sockets.aclose()
    await runtime.aclose()
    world.store.close()


async def _open_app(proxy: Proxy, world: World, app: App) -> None:
    """Open an app's port, the one it had if that is still free."""
    try:
        port = await proxy.open(app.name, app.port)
    except PortTakenError:
        port = await proxy.open(app.name)
    if port != app.port:
        app.port = port
        world.save(app)


def _listen(settings: Settings) -> socket.socket:
    """Listen on the port asked for, else on the last one, else on a free one."""
    wanted = [settings.port] if settings.port else [_last_port(settings.home), 0]
    for port in wanted:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen(256)
        except OSError:
            listening.close()
            continue
        (settings.home / "port").write_text(str(listening.getsockname()[1]), encoding="utf-8")
        return listening
    raise PortTakenError(
        f"Port {settings.port} is in use.", advice="Name another with --port, or leave it out."
    )


def _last_port(home: Path) -> int:
    try:
        return int((home / "port").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _announce(home: Path, api_url: str) -> None:
    record = {"pid": os.getpid(), "api_url": api_url, "started_at": int(time.time())}
    aside = home / "daemon.json.new"
    aside.write_text(json.dumps(record), encoding="utf-8")
    aside.replace(discovery_file(home))
