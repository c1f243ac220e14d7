"""Prefect's own file storage for concurrency leases, as one server on a volume needs it.

Named by PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE (see `settings`), imported by Prefect. The files are
Prefect's, in PREFECT_HOME/concurrency_leases, and its own storage goes on with them.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from roost_server.lease_keeping import GRACE
from roost_server.prefect_internals import CURRENT_SETTINGS, LEASE_FILES

# Prefect 3.7 loses an update of its index where two meet; later ones lock a file, and poll for it.
_ALONE = asyncio.Lock()


class ConcurrencyLeaseStorage(LEASE_FILES.load()):  # type: ignore[misc] # Prefect has no types here
    """Leases in files: changed one at a time, and taken away only after a grace."""

    async def create_lease(
        self, resource_ids: list[UUID], ttl: timedelta, metadata: Any = None
    ) -> Any:
        """Write a new lease."""
        async with _ALONE:
            return await super().create_lease(resource_ids, ttl, metadata)

    async def renew_lease(self, lease_id: UUID, ttl: timedelta) -> Any:
        """Let a lease last longer, also one that ran out and was not taken away; False if it is gone."""
        async with _ALONE:
            return await super().renew_lease(lease_id, ttl)

    async def revoke_lease(self, lease_id: UUID) -> None:
        """Remove a lease."""
        async with _ALONE:
            await super().revoke_lease(lease_id)

    async def read_expired_lease_ids(self, limit: int = 100) -> list[UUID]:
        """List the leases to take away: none before their holders had the time to renew them."""
        every_s = CURRENT_SETTINGS.load()().server.services.repossessor.loop_seconds
        if not GRACE.is_over(every_s):
            return []
        async with _ALONE:
            found = await super().read_expired_lease_ids(limit)
            return [lease_id for lease_id in found if await self._is_expired(lease_id)]

    async def _is_expired(self, lease_id: UUID) -> bool:
        """Ask the lease itself; of one that is gone, clear what the index has."""
        lease = await self.read_lease(lease_id)
        if lease is None:
            await super().revoke_lease(lease_id)
            return False
        return bool(lease.expiration < datetime.now(UTC))
