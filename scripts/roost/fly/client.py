"""Fly's Machines API: one method for each call, typed answers.

Paths and bodies: https://docs.machines.dev. Machine configs are plain JSON, as the API has them.
How calls are sent, repeated and refused is in transport.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roost.fly.machines import MachineCalls
from roost.fly.models import (
    DYING_VOLUMES,
    Answer,
    App,
    IpAssignment,
    Many,
    OrgVolume,
    SecretInfo,
    SecretsUpdate,
    Snapshot,
    TokenInfo,
    Volume,
    VolumeExtension,
)
from roost.http.connection import path_of, present
from roost.http.retry import Repeat
from roost.secret_text import SecretText

PAGE = 1000
"""The most that one page of an organization's list may have."""


class _VolumesPage(Answer):
    volumes: Many[OrgVolume] = ()
    next_cursor: str | None = None


class FlyClient(MachineCalls):
    """Every call of the Machines API that Roost makes; use as an asynchronous context manager."""

    # Apps

    async def get_app(self, app: str) -> App | None:
        """Return the app, or None when the name is free."""
        return await self._find(path_of("apps", app), App)

    async def list_apps(self, organization: str) -> tuple[App, ...]:
        """Return the apps of an organization that the token can see."""
        reply = await self._send("GET", "/apps", params={"org_slug": organization})
        return reply.part("apps").read_all(App)

    async def create_app(self, app: str, organization: str) -> None:
        """Create an app; it has no address yet."""
        await self._send("POST", "/apps", {"name": app, "org_slug": organization})
        self._transport.made(path_of("apps", app))

    async def delete_app(self, app: str) -> None:
        """Delete an app and all its machines; one that is gone is fine."""
        await self._remove(path_of("apps", app), {"force": "true"})

    # Addresses

    async def list_ips(self, app: str) -> tuple[IpAssignment, ...]:
        """Return the app's addresses."""
        reply = await self._send("GET", path_of("apps", app, "ip_assignments"))
        return reply.part("ips").read_all(IpAssignment)

    async def assign_ip(self, app: str, kind: str) -> IpAssignment:
        """Assign an address to the app: v6, shared_v4, v4 or private_v6."""
        reply = await self._send("POST", path_of("apps", app, "ip_assignments"), {"type": kind})
        return reply.read(IpAssignment)

    async def release_ip(self, app: str, ip: str) -> None:
        """Release an address; one that is gone is fine."""
        await self._remove(path_of("apps", app, "ip_assignments", ip))

    # Volumes

    async def list_volumes(self, app: str, *, dying: bool = False) -> tuple[Volume, ...]:
        """Return the volumes; with `dying` also those being destroyed, whose snapshots are kept."""
        reply = await self._send("GET", path_of("apps", app, "volumes"))
        found = reply.read_all(Volume)
        return tuple(volume for volume in found if dying or volume.state not in DYING_VOLUMES)

    async def list_org_volumes(self, organization: str) -> tuple[OrgVolume, ...]:
        """Return the volumes of all apps of an organization, those being destroyed left out."""
        found: list[OrgVolume] = []
        cursor = ""
        while True:
            path = path_of("orgs", organization, "volumes")
            params = present({"limit": str(PAGE), "cursor": cursor or None})
            reply = await self._send("GET", path, params=params)
            page = reply.read(_VolumesPage)
            found += page.volumes
            if not page.next_cursor or page.next_cursor == cursor:
                return tuple(volume for volume in found if volume.state not in DYING_VOLUMES)
            cursor = page.next_cursor

    async def create_volume(self, app: str, fields: Mapping[str, Any]) -> Volume:
        """Create a volume; `fields` as the API names them."""
        return (await self._send("POST", path_of("apps", app, "volumes"), dict(fields))).read(
            Volume
        )

    async def update_volume(self, app: str, volume: str, *, snapshot_retention: int) -> None:
        """Change for how many days snapshots are kept."""
        fields = {"snapshot_retention": snapshot_retention}
        await self._send("PUT", path_of("apps", app, "volumes", volume), fields)

    async def extend_volume(self, app: str, volume: str, size_gb: int) -> bool:
        """Make a volume larger; return whether its machine must restart to see the new size."""
        path = path_of("apps", app, "volumes", volume, "extend")
        reply = await self._send("PUT", path, {"size_gb": size_gb})
        return reply.read(VolumeExtension).needs_restart

    async def delete_volume(self, app: str, volume: str) -> None:
        """Delete a volume, recoverable for a day; one that is gone is fine."""
        await self._remove(path_of("apps", app, "volumes", volume))

    async def list_snapshots(self, app: str, volume: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of a volume."""
        path = path_of("apps", app, "volumes", volume, "snapshots")
        return (await self._send("GET", path)).read_all(Snapshot)

    async def create_snapshot(self, app: str, volume: str) -> None:
        """Request a snapshot; it appears in the list when Fly begins it."""
        await self._send("POST", path_of("apps", app, "volumes", volume, "snapshots"))

    # The token itself

    async def current_tokens(self) -> tuple[TokenInfo, ...]:
        """Return what each part of the token gives access to."""
        return (await self._send("GET", "/tokens/current")).part("tokens").read_all(TokenInfo)

    # Secrets

    async def list_secrets(self, app: str, min_version: int = 0) -> tuple[SecretInfo, ...]:
        """Return names and digests, of that version or a later one; Fly never returns values.

        Raises:
            FlyPreconditionError: the host that answers does not have that version yet.
        """
        params = {"min_version": str(min_version)} if min_version else None
        reply = await self._send("GET", path_of("apps", app, "secrets"), params=params)
        return reply.part("secrets").read_all(SecretInfo)

    async def set_secrets(self, app: str, values: Mapping[str, SecretText | None]) -> SecretsUpdate:
        """Set and unset (None) secrets in one atomic batch; repeating it has no further effect."""
        reply = await self._send(
            "POST",
            path_of("apps", app, "secrets"),
            {"values": dict(values)},
            repeat=Repeat.SAFE,
            hidden=tuple(value for value in values.values() if value is not None),
        )
        return reply.read(SecretsUpdate)
