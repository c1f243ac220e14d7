"""Take, refresh and release the leases of machines that are being changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import anyio

from roost.errors import (
    FlyError,
    FlyLeasedError,
    FlyRateLimitedError,
    FlyUnavailableError,
    LeaseLostError,
)
from roost.fly.client import FlyClient

POLL_S = 1.0

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Lease:
    """The lease of one machine, held where there is a `nonce`, else to be taken."""

    fly: FlyClient
    app: str
    machine: str
    ttl_s: int
    description: str
    nonce: str = ""
    over: Callable[[], bool] = lambda: False
    """Returns whether the machine is being removed, and its lease with it."""

    async def take(self) -> str:
        """Take the lease and return its nonce."""
        taken = await self.fly.acquire_lease(self.app, self.machine, self.ttl_s, self.description)
        return taken.nonce

    async def refresh(self) -> None:
        """Extend the lease by another `ttl_s` seconds.

        Raises:
            LeaseLostError: it had expired, and Fly granted a new one.
        """
        kept = await self.fly.refresh_lease(
            self.app, self.machine, self.ttl_s, self.description, self.nonce
        )
        if kept.nonce != self.nonce:
            raise self.lost("it expired, and somebody else may have held it since.")

    def lost(self, why: str) -> LeaseLostError:
        """Return the error for a lost lease."""
        return LeaseLostError(
            f"The lease was lost: {why}",
            where=f"{self.app}/{self.machine}",
            advice="Somebody else may change it now. Plan again and look.",
        )


@asynccontextmanager
async def hold_lease(
    lease: Lease, *, patience_s: float = 0.0, notice: Notice = lambda _: None
) -> AsyncIterator[str]:
    """Take a lease unless it is held, refresh it every third of its time, and release it at the end.

    While somebody else holds it, this waits up to `patience_s`: the lease of a process that was
    killed expires by itself. The wait is reported once.

    The body is cancelled when the lease is lost, because two changes would mix. A failed release is
    only reported, so that it does not hide an earlier error; the lease then expires by itself.

    Raises:
        FlyLeasedError: somebody else holds it.
        LeaseLostError: it was lost before the body ended.
    """
    if lease.nonce:
        await _introduce(lease)
    else:
        lease = replace(lease, nonce=(await take_lease(lease, patience_s, notice)))
    try:
        async with _kept(lease):
            yield lease.nonce
    finally:
        with anyio.move_on_after(lease.ttl_s, shield=True):
            await _release(lease, notice)


@dataclass
class HeldLeases:
    """The leases that one change holds until it is done, each taken once.

    Args:
        fly: the API.
        app: the app of the machines.
        ttl_s: how long a lease lasts when nobody refreshes it.
        description: the holder, as others read it.
        patience_s: how long to wait for somebody else's lease.
        notice: prints that it waits, and which leases could not be released.
    """

    fly: FlyClient
    app: str
    ttl_s: int
    description: str
    patience_s: float
    notice: Notice
    _nonces: dict[str, str] = field(default_factory=dict)
    _removed: set[str] = field(default_factory=set)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self._nonces.clear()
        return await self._stack.__aexit__(kind, error, trace)

    async def hold(self, machine: str, nonce: str = "") -> str:
        """Return the nonce of a machine's lease, taking it first where it is not held.

        Raises:
            FlyLeasedError: somebody else still holds it.
        """
        if machine not in self._nonces:
            held = hold_lease(
                self._lease(machine, nonce), patience_s=self.patience_s, notice=self.notice
            )
            self._nonces[machine] = await self._stack.enter_async_context(held)
        return self._nonces[machine]

    async def take(self, machine: str) -> str:
        """Return the nonce for removing a machine, taking its lease first where it is not held.

        The lease is not refreshed any more: it goes with its machine, and is then not lost.
        """
        self._removed.add(machine)
        if machine in self._nonces:
            return self._nonces[machine]
        return await take_lease(self._lease(machine), self.patience_s, self.notice)

    def _lease(self, machine: str, nonce: str = "") -> Lease:
        return Lease(
            *(self.fly, self.app, machine, self.ttl_s, self.description, nonce),
            over=lambda: machine in self._removed,
        )


async def _introduce(lease: Lease) -> None:
    """Add the description to a lease that was created with its machine, which has none.

    The description is only for others to read, so an error is left to the next refresh.
    """
    with anyio.move_on_after(lease.ttl_s / 3), suppress(FlyError):
        await lease.refresh()


async def take_lease(lease: Lease, patience_s: float, notice: Notice) -> str:
    """Take a lease, without refreshing it; wait up to `patience_s` while somebody else holds it.

    Raises:
        FlyLeasedError: somebody else still holds it.
    """
    ends = anyio.current_time() + patience_s
    noticed = False
    while True:
        try:
            return await lease.take()
        except FlyLeasedError as refusal:
            left = ends - anyio.current_time()
            if left <= 0:
                raise await _held_still(lease, refusal, patience_s) from None
        if not noticed:
            notice(f"{await _holder(lease)}; waiting for up to {patience_s:.0f} s.")
            noticed = True
        await anyio.sleep(min(POLL_S, left))


async def _held_still(lease: Lease, refusal: FlyLeasedError, patience_s: float) -> FlyLeasedError:
    """Return the error that names the holder after the wait is over."""
    waited = f" After {patience_s:.0f} s of waiting it still is." if patience_s else ""
    return FlyLeasedError(
        f"{await _holder(lease)}.{waited}",
        where=refusal.where,
        advice="Wait until they are done and run the same command again.",
        status=refusal.status,
        request_id=refusal.request_id,
        body=refusal.body,
    )


async def _holder(lease: Lease) -> str:
    """Return a sentence with the holder of a machine's lease, as far as Fly names one."""
    try:
        held = await lease.fly.get_lease(lease.app, lease.machine)
    except FlyError:
        held = None
    names = ", ".join(filter(None, (held.description, held.owner))) if held else ""
    return f"{lease.app}/{lease.machine} is being changed by {names or 'somebody else'}"


@asynccontextmanager
async def _kept(lease: Lease) -> AsyncIterator[None]:
    """Refresh a lease while the body runs; an error of the body is raised without an ExceptionGroup."""
    ended: list[Exception] = []

    async def keep() -> None:
        try:
            await _refresh_for_ever(lease)
        except LeaseLostError as error:
            ended.insert(0, error)  # before the error that the body raises when it is cancelled
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group
            ended.append(error)
        tasks.cancel_scope.cancel()
    if ended:
        raise ended[0]


async def _refresh_for_ever(lease: Lease) -> None:
    """Refresh a lease every third of its time; repeat what Fly cannot answer until it expires.

    Returns when the machine is being removed.
    """
    ends = anyio.current_time() + lease.ttl_s
    while True:
        await anyio.sleep(lease.ttl_s / 3)
        if lease.over():
            return
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
            if lease.over():
                return
            raise lease.lost(error.what) from error


async def _release(lease: Lease, notice: Notice) -> None:
    try:
        await lease.fly.release_lease(lease.app, lease.machine, lease.nonce)
    except FlyError as error:
        notice(f"The lease could not be released and expires by itself: {error}")
