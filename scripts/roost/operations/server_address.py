"""Where an environment's server answers, and whether it can be reached from here. Needs no Fly token."""

from __future__ import annotations

from roost.environment.load import EnvironmentFile
from roost.errors import PrivateNetworkError, UsageError
from roost.errors.command import Command
from roost.http.connection import resolves
from roost.operations.context import Context
from roost.operations.local_fly import LocalFly, find_local_fly, local_fly_at
from roost.plan.app_address import app_address

PRIVATE_API = "_api.internal"
"""A name that only Fly's private network knows (https://fly.io/docs/networking/private-networking/)."""


async def app_url(local: LocalFly | None, app: str, *, public: bool) -> str:
    """Return the address of an app's server; a private one has none on the internet."""
    if local:
        return await local.app_url(app)
    return app_address(app, public=public)


async def check_reach(file: EnvironmentFile, local: LocalFly | None) -> None:
    """Check that the server that proves an app can be reached from here.

    A flow server is proved at its Prefect server. The waker and a Redis are proved by
    Fly's API.

    Raises:
        PrivateNetworkError: it is private, and this computer is not in Fly's private network.
    """
    if (
        file.waker
        or file.redis
        or file.server.access.public
        or local
        or await resolves(PRIVATE_API)
    ):
        return
    raise PrivateNetworkError(
        "The server is private, and this computer is not in the organization's private network "
        f"({PRIVATE_API} has no address).",
        where=file.name,
        advice=(
            "Nothing was changed. Join it with WireGuard (`fly wireguard create`), and see "
            "docs/github.md, A private server, for a runner of GitHub that is in it."
        ),
    )


async def server_url(context: Context, file: EnvironmentFile, *, local: bool) -> str:
    """Return the address of an environment's server: on Fly.io, or on the local Fly that runs.

    FLY_FLAPS_BASE_URL on this computer names a local Fly, as for every other command.

    Raises:
        UsageError: the local Fly does not run, or has no such app.
    """
    found = await _local_fly(context, local=local)
    if local and found is None:
        raise UsageError(
            "The local Fly does not run.", advice=f"Bring the server up: {Command('up', file.name)}"
        )
    environment = file.environment
    await check_reach(file, found)
    url = await app_url(found, environment.app, public=environment.access.public)
    if not url:
        raise UsageError(
            f"{environment.app} is not on the local Fly.",
            advice=f"Apply it: {Command('apply', file.name, '--local')}",
        )
    return url


async def _local_fly(context: Context, *, local: bool) -> LocalFly | None:
    if local:
        return await find_local_fly(context.local_home)
    return local_fly_at(context.environ.get("FLY_FLAPS_BASE_URL", ""))
