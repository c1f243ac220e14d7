"""Hold a machine's lease while something is done to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import anyio

from roost.errors import FlyError, FlyRateLimitedError, FlyUnavailableError, LeaseLostError
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
        LeaseLostError: it was lost before the body was done.
    """
    lease = _Lease(fly, app, machine, ttl_s, description, nonce)
    if not nonce:
        lease = replace(lease, nonce=(await lease.take()))
    try:
        async with _kept(lease):
            yield lease.nonce
    finally:
        with anyio.move_on_after(ttl_s, shield=True):
            await _release(lease, notice)


@dataclass(frozen=True)
class _Lease:
    fly: FlyClient
    app: str
    machine: str
    ttl_s: int
    description: str
    nonce: str

    async def take(self) -> str:
        """Take the lease and give its nonce."""
        taken = await self.fly.acquire_lease(self.app, self.machine, self.ttl_s, self.description)
        return taken.nonce

    async def refresh(self) -> None:
        """Keep the lease for another `ttl_s`."""
        await self.fly.refresh_lease(
            self.app, self.machine, self.ttl_s, self.description, self.nonce
        )

    def lost(self, why: str) -> LeaseLostError:
        """Give the error that ends the body."""
        return LeaseLostError(
            f"The lease was lost: {why}",
            where=f"{self.app}/{self.machine}",
            advice="Somebody else may change it now. Plan again and look.",
        )


@asynccontextmanager
async def _kept(lease: _Lease) -> AsyncIterator[None]:
    """Refresh a lease beside the body; the body's own error comes out as it is, in no group."""
    ended: list[Exception] = []

    async def keep() -> None:
        try:
            await _refresh_for_ever(lease)
        except LeaseLostError as error:
            ended.insert(0, error)  # before what the body says about being stopped
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, outside of the group
            ended.append(error)
        tasks.cancel_scope.cancel()
    if ended:
        raise ended[0]


async def _refresh_for_ever(lease: _Lease) -> None:
    """Refresh at a third of the time; what Fly cannot answer is tried again until it has ended."""
    ends = anyio.current_time() + lease.ttl_s
    while True:
        await anyio.sleep(lease.ttl_s / 3)
        began = anyio.current_time()
        try:
            with anyio.fail_after(ends - began):
                await lease.refresh()
            ends = began + lease.ttl_s
        except TimeoutError:
            raise lease.lost("it could not be refreshed in time.") from None
        except (FlyUnavailableError, FlyRateLimitedError):
            continue
        except FlyError as error:
            raise lease.lost(error.what) from error


async def _release(lease: _Lease, notice: Notice) -> None:
    try:
        await lease.fly.release_lease(lease.app, lease.machine, lease.nonce)
    except FlyError as error:
        notice(f"The lease could not be released and ends by itself: {error}")
