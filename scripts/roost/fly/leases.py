"""Hold a machine's lease while something is done to it."""

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
    """One machine's lease, as one who holds it or wants it knows it; `nonce` proves holding it."""

    fly: FlyClient
    app: str
    machine: str
    ttl_s: int
    description: str
    nonce: str = ""
    over: Callable[[], bool] = lambda: False
    """Says whether its machine is being removed, and the lease with it."""

    async def take(self) -> str:
        """Take the lease and return its nonce."""
        taken = await self.fly.acquire_lease(self.app, self.machine, self.ttl_s, self.description)
        return taken.nonce

    async def refresh(self) -> None:
        """Keep the lease for another `ttl_s`.

        Raises:
            LeaseLostError: it had ended, and what was taken is another one.
        """
        kept = await self.fly.refresh_lease(
            self.app, self.machine, self.ttl_s, self.description, self.nonce
        )
        if kept.nonce != self.nonce:
            raise self.lost("it ended unnoticed, and somebody else may have held it since.")

    def lost(self, why: str) -> LeaseLostError:
        """Return the error that ends the body."""
        return LeaseLostError(
            f"The lease was lost: {why}",
            where=f"{self.app}/{self.machine}",
            advice="Somebody else may change it now. Plan again and look.",
        )


@asynccontextmanager
async def hold_lease(
    lease: Lease, *, patience_s: float = 0.0, notice: Notice = lambda _: None
) -> AsyncIterator[str]:
    """Take the lease (or keep it if it has a nonce), refresh it at a third of its time, release it.

    Somebody else's lease is waited for, up to `patience_s`: one whose holder was killed ends by
    itself. The wait is noticed once.

    The body is cancelled when the lease is lost: going on would mix two changes. A failure to
    release is only noticed, so that it never hides what went wrong before; the lease then ends by
    itself.

    Raises:
        FlyLeasedError: somebody else holds it.
        LeaseLostError: it was lost before the body was done.
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
        app: whose machines.
        ttl_s: how long a lease lives when nobody refreshes it.
        description: who holds them, for others to read.
        patience_s: how long somebody else's lease is waited for.
        notice: told of waiting, and of leases that could not be released.
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
        """Return the nonce of a machine's lease, which is held from now on if it was not yet.

        Raises:
            FlyLeasedError: somebody else holds it still.
        """
        if machine not in self._nonces:
            held = hold_lease(
                self._lease(machine, nonce), patience_s=self.patience_s, notice=self.notice
            )
            self._nonces[machine] = await self._stack.enter_async_context(held)
        return self._nonces[machine]

    async def take(self, machine: str) -> str:
        """Take the lease of a machine that is to be removed at once, and the lease with it.

        One that was held is not refreshed any more: that it is gone then is no loss.
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
    """Report who holds a lease that came with its machine: whoever creates one cannot say it there.

    It is only for others to read: what goes wrong with it is left to the next refresh.
    """
    with anyio.move_on_after(lease.ttl_s / 3), suppress(FlyError):
        await lease.refresh()


async def take_lease(lease: Lease, patience_s: float, notice: Notice) -> str:
    """Take a lease that nobody refreshes; while somebody else holds it, wait up to `patience_s`.

    Raises:
        FlyLeasedError: somebody else holds it still.
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
    """Return the error that says for whom one did not wait any longer."""
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
    """Return who holds a machine's lease, as far as Fly tells."""
    try:
        held = await lease.fly.get_lease(lease.app, lease.machine)
    except FlyError:
        held = None
    names = ", ".join(filter(None, (held.description, held.owner))) if held else ""
    return f"{lease.app}/{lease.machine} is being changed by {names or 'somebody else'}"


@asynccontextmanager
async def _kept(lease: Lease) -> AsyncIterator[None]:
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


async def _refresh_for_ever(lease: Lease) -> None:
    """Refresh at a third of the time; what Fly cannot answer is tried again until it has ended.

    Returns once its machine is being removed.
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
        notice(f"The lease could not be released and ends by itself: {error}")
