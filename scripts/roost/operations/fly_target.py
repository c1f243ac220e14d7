"""Which Fly a command talks to: Fly.io or the local Fly. The API is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

from roost.environment.load import EnvironmentFile
from roost.errors import MissingTokenError
from roost.errors.command import Command
from roost.fly.client import FlyClient
from roost.operations import server_address
from roost.operations.context import Context
from roost.operations.local_fly import LocalFly, local_fly_at, start_local_fly
from roost.secret_text import SecretText

FLY_API = "https://api.machines.dev"
LOCAL_TOKEN = "local"  # noqa: S105 - the local Fly takes any token


class Generates(Enum):
    """Which secrets get a generated value if nobody set one."""

    NOTHING = "nothing"
    LOGIN = "login"
    """On the local Fly: the login. Any other secret is missing, as on Fly.io."""
    ALL = "all"
    """In a rehearsal: its private local Fly has no secrets and is removed afterwards."""


@dataclass(frozen=True)
class Target:
    """A Fly, and how to reach its apps."""

    fly: FlyClient
    local: LocalFly | None = None
    generates: Generates = Generates.NOTHING
    """Which secrets get a generated value; none unless the local Fly was asked for."""

    async def app_url(self, app: str, *, public: bool) -> str:
        """Return the address of the app's server; a private one has a Flycast address."""
        return await server_address.app_url(self.local, app, public=public)

    async def check_reach(self, file: EnvironmentFile) -> None:
        """Check that this computer can reach a server, before anything is changed.

        Raises:
            PrivateNetworkError: the server is private, and this computer is outside its network.
        """
        await server_address.check_reach(file, self.local)


@asynccontextmanager
async def connect(context: Context, *, local: bool) -> AsyncIterator[Target]:
    """Open the Machines API that the command line asks for; start the local Fly if it does not run.

    A FLY_FLAPS_BASE_URL on this computer is that of a local Fly: its apps are reached as with
    `--local`, and everything else is as on Fly.io.

    Raises:
        MissingTokenError: Fly.io is asked for, and no token is set.
        LocalFlyError: the local Fly could not be started.
    """
    if local:
        running, started = await ensure_local_fly(context)
        if started:
            context.progress.print(
                f"Started the local Fly. Stop it with: {Command('local', 'stop')}"
            )
        async with context.clients.fly(running.api_url, SecretText(LOCAL_TOKEN)) as fly:
            yield Target(fly, running, Generates.LOGIN)
        return
    base_url = context.environ.get("FLY_FLAPS_BASE_URL") or FLY_API
    async with context.clients.fly(base_url, fly_token(context.environ)) as fly:
        yield Target(fly, local_fly_at(base_url))


async def ensure_local_fly(context: Context, port: int | None = None) -> tuple[LocalFly, bool]:
    """Return the running local Fly, or start one; the flag is True if it was started now.

    Raises:
        LocalFlyError: it could not be started.
    """
    running = await context.clients.find_local_fly(context.local_home)
    if running:
        return running, False
    started = await start_local_fly(context.local_home, context.environ, port)
    return started, True


def fly_token(environ: Mapping[str, str], *, has_local: bool = True) -> SecretText:
    """Return the token that flyctl would use.

    Args:
        environ: the process environment.
        has_local: whether the command takes `--local`, which needs no token.

    Raises:
        MissingTokenError: FLY_API_TOKEN is not set.
    """
    token = environ.get("FLY_API_TOKEN")
    if not token:
        instead = ", or add --local to use the local Fly" if has_local else ""
        raise MissingTokenError(
            "FLY_API_TOKEN is not set.",
            advice=f"Make one with `fly tokens create deploy -a APP -x 720h`{instead}.",
        )
    return SecretText(token)
