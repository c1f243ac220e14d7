"""Hold a machine's lease while something is done to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from roost.errors import FlyError
from roost.fly.client import FlyClient

Notice = Callable[[str], None]


@asynccontextmanager
async def hold_lease(  # noqa: PLR0913 - what a lease is, and whom to tell
    fly: FlyClient,
    app: str,
    machine: str,
    *,
    ttl_s: int,
    description: str,
    nonce: str = "",
    notice: Notice = lambda _: None,
) -> AsyncIterator[str]:
    """Take the lease (or keep the one of `nonce`), refresh it at a third of its time, release it.

    The body is cancelled when the lease is lost: going on would mix two changes. A failure to
    release is only noticed, so that it never hides what went wrong before; the lease then ends by
    itself after `ttl_s`.

    Raises:
        FlyLeasedError: somebody else holds it.
    """
    held = nonce or (await fly.acquire_lease(app, machine, ttl_s, description)).nonce
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_refresh, fly, app, machine, ttl_s, description, held)
            yield held
            tasks.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(ttl_s, shield=True):
            await _release(fly, app, machine, held, notice)


async def _refresh(  # noqa: PLR0913, PLR0917 - see hold_lease
    fly: FlyClient, app: str, machine: str, ttl_s: int, description: str, nonce: str
) -> None:
    while True:
        await anyio.sleep(ttl_s / 3)
        await fly.refresh_lease(app, machine, ttl_s, description, nonce)


async def _release(fly: FlyClient, app: str, machine: str, nonce: str, notice: Notice) -> None:
    try:
        await fly.release_lease(app, machine, nonce)
    except FlyError as error:
        notice(f"The lease could not be released and ends by itself: {error}")
