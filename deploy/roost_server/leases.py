"""Prefect's file storage for concurrency leases, adapted to one server on a volume.

PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE names this module (see `settings`), and Prefect imports it.
The files are Prefect's own, in PREFECT_HOME/concurrency_leases, and Prefect's own storage can read
them.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from roost_server.lease_keeping import GRACE
from roost_server.prefect_internals import CURRENT_SETTINGS, LEASE_FILES

# Prefect 3.7 loses one of two concurrent updates of its index; later releases lock a file and poll.
_ALONE = asyncio.Lock()


class ConcurrencyLeaseStorage(LEASE_FILES.load()):  # type: ignore[misc] # Prefect has no types here
    """Leases in files, changed one at a time and revoked only after a grace period."""

    async def create_lease(
        self, resource_ids: list[UUID], ttl: timedelta, metadata: Any = None
    ) -> Any:
        """Store a new lease."""
        async with _ALONE:
            return await super().create_lease(resource_ids, ttl, metadata)

    async def renew_lease(self, lease_id: UUID, ttl: timedelta) -> Any:
        """Extend a lease, even an expired one that was not revoked; return False if it is gone."""
        async with _ALONE:
            return await super().renew_lease(lease_id, ttl)

    async def revoke_lease(self, lease_id: UUID) -> None:
        """Remove a lease."""
        async with _ALONE:
            await super().revoke_lease(lease_id)

    async def read_expired_lease_ids(self, limit: int = 100) -> list[UUID]:
        """Return the leases to revoke; none before their holders have had time to renew them."""
        every_s = CURRENT_SETTINGS.load()().server.services.repossessor.loop_seconds
        if not GRACE.is_over(every_s):
            return []
        async with _ALONE:
            found = await super().read_expired_lease_ids(limit)
            return [lease_id for lease_id in found if await self._is_expired(lease_id)]

    async def _is_expired(self, lease_id: UUID) -> bool:
        """Return whether a lease expired; remove one from the index whose file is gone."""
        lease = await self.read_lease(lease_id)
        if lease is None:
            await super().revoke_lease(lease_id)
            return False
        return bool(lease.expiration < datetime.now(UTC))
