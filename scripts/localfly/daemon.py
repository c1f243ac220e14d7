"""Run the local Fly in one process: the API, the proxy, the machine sockets and the machines."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket

from localfly.api.app import make_api
from localfly.api.requests import ApiState
from localfly.errors import PortTakenError
from localfly.images.builder import Images
from localfly.machines.lifecycle import Machines
from localfly.machines.recovery import recover
from localfly.machines.volume_extension import keep_extending
from localfly.proxy.addresses import Proxy
from localfly.runtime.machine_processes import Runtime
from localfly.runtime.machine_sockets import MachineSockets
from localfly.runtime.serving import Serving
from localfly.state.home import Settings, announce, discovery_file, last_port, lock_home, save_port
from localfly.state.records import App
from localfly.state.world import World

VERSION = "1"
HOST = "127.0.0.1"
OPEN_FILES = 65_536


async def serve(settings: Settings) -> None:
    """Run until a signal or the API stops the daemon.

    Raises:
        AlreadyRunningError: another daemon uses the home folder.
        PortTakenError: the requested port is in use.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = lock_home(settings.home)
    try:
        await _serve(settings)
    finally:
        discovery_file(settings.home).unlink(missing_ok=True)
        lock.close()


def _take_open_files() -> None:
    """Raise the limit of open files: the usual 1,024 is fewer than the proxy's clients may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def _serve(settings: Settings) -> None:
    _take_open_files()
    listening = _listen(settings)
    world = World(settings.home, settings.weather)
    runtime = Runtime()
    sockets = MachineSockets(settings.home)
    images = Images(settings.cache)
    machines = Machines(world, images, runtime, sockets, settings.delays)
    proxy = Proxy(machines)
    stop = asyncio.Event()
    api_url = f"http://{HOST}:{listening.getsockname()[1]}"

    async def open_app(app: App) -> None:
        await _open_app(proxy, world, app)

    state = ApiState(world, machines, images, VERSION, api_url, stop, open_app, proxy.close)
    api = make_api(state, settings.token, settings.delays.answers_s, settings.weather)
    sockets.app = api
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await recover(world, machines, runtime, sockets)
    for app in list(world.apps.values()):
        if world.machines_of(app.name):
            await open_app(app)
    serving = Serving(api, listening)
    announce(settings.home, api_url)
    extending = asyncio.create_task(keep_extending(world))
    await stop.wait()
    extending.cancel()
    await proxy.aclose()
    await machines.shut_down()
    await serving.close()
    await sockets.aclose()
    await runtime.aclose()
    world.store.close()


async def _open_app(proxy: Proxy, world: World, app: App) -> None:
    """Open an app's port: its last one if that is free, else another."""
    try:
        port = await proxy.open(app.name, app.port)
    except PortTakenError:
        port = await proxy.open(app.name)
    if port != app.port:
        app.port = port
        world.save(app)


def _listen(settings: Settings) -> socket.socket:
    """Listen on the requested port; without one, on the last port or a free one."""
    wanted = [settings.port] if settings.port else [last_port(settings.home), 0]
    for port in wanted:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen(256)
        except OSError:
            listening.close()
            continue
        save_port(settings.home, listening.getsockname()[1])
        return listening
    raise PortTakenError(
        f"Port {settings.port} is in use.",
        advice="Name another with --port, or leave it out.",
    )
