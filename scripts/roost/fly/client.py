"""Fly's Machines API: one method a call, typed answers.

Paths and bodies: https://docs.machines.dev. Machine configs are plain JSON, as the API has them.
How calls are sent, repeated and refused is in transport.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any, TypeVar, Unpack
from urllib.parse import quote

import anyio
import httpx

from roost.errors import FlyNotFoundError, FlyWaitTimeoutError
from roost.fly.models import (
    DYING_VOLUMES,
    GONE_MACHINES,
    Answer,
    App,
    IpAssignment,
    Lease,
    Machine,
    MachineEvent,
    SecretInfo,
    SecretsUpdate,
    Snapshot,
    TokenInfo,
    Volume,
    VolumeExtension,
)
from roost.fly.transport import Call, Details, FlyReply, Transport
from roost.http.connection import Connection
from roost.http.exchange import DEADLINE_S
from roost.http.reply import Json
from roost.http.retry_rules import Repeat
from roost.secret_text import SecretText

A = TypeVar("A", bound=Answer)

WAIT_SLICE_S = 60
"""The longest the API blocks in one wait."""
LATE_S = 10.0
"""How much later than asked the last answer to a wait may come, with all that is sent again for it."""


class FlyClient(Connection):
    """A connection to the Machines API; use as an asynchronous context manager.

    Args:
        base_url: without `/v1`, such as https://api.machines.dev.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call goes on past this many seconds, its repeats included.
        now: the clock that Retry-After dates are read against.

    Raises:
        UsageError: the address or the token is none.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretText,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline_s: float = DEADLINE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._transport = Transport(
            base_url, token, transport=transport, deadline_s=deadline_s, now=now
        )
        super().__init__(self._transport.http)

    @property
    def calls(self) -> int:
        """Requests sent so far, repeats included."""
        return self._transport.calls

    def __repr__(self) -> str:
        return f"FlyClient({self.http.base_url!r})"

    # Apps

    async def get_app(self, app: str) -> App | None:
        """Return the app, or None when the name is free."""
        return await self._find(_path("apps", app), App)

    async def list_apps(self, organization: str) -> tuple[App, ...]:
        """Return the apps of an organization that the token can see."""
        reply = await self._send("GET", "/apps", params={"org_slug": organization})
        return reply.part("apps").read_all(App)

    async def create_app(self, app: str, organization: str) -> None:
        """Create an app; it has no address yet."""
        await self._send("POST", "/apps", {"name": app, "org_slug": organization})
        self._transport.made(_path("apps", app))

    async def delete_app(self, app: str) -> None:
        """Delete an app and all its machines; one that is gone is fine."""
        await self._remove(_path("apps", app), {"force": "true"})

    # Addresses

    async def list_ips(self, app: str) -> tuple[IpAssignment, ...]:
        """Return the app's addresses."""
        reply = await self._send("GET", _path("apps", app, "ip_assignments"))
        return reply.part("ips").read_all(IpAssignment)

    async def assign_ip(self, app: str, kind: str) -> IpAssignment:
        """Assign an address to the app: v6, shared_v4, v4 or private_v6."""
        reply = await self._send("POST", _path("apps", app, "ip_assignments"), {"type": kind})
        return reply.read(IpAssignment)

    async def release_ip(self, app: str, ip: str) -> None:
        """Take an address away; one that is gone is fine."""
        await self._remove(_path("apps", app, "ip_assignments", ip))

    # Volumes

    async def list_volumes(self, app: str, *, dying: bool = False) -> tuple[Volume, ...]:
        """Return the volumes, those on their way out only if asked for: their snapshots stay a while."""
        reply = await self._send("GET", _path("apps", app, "volumes"))
        found = reply.read_all(Volume)
        return tuple(volume for volume in found if dying or volume.state not in DYING_VOLUMES)

    async def create_volume(self, app: str, fields: Mapping[str, Any]) -> Volume:
        """Create a volume; `fields` as the API names them."""
        return (await self._send("POST", _path("apps", app, "volumes"), dict(fields))).read(Volume)

    async def update_volume(self, app: str, volume: str, *, snapshot_retention: int) -> None:
        """Change how many days snapshots are kept."""
        fields = {"snapshot_retention": snapshot_retention}
        await self._send("PUT", _path("apps", app, "volumes", volume), fields)

    async def extend_volume(self, app: str, volume: str, size_gb: int) -> bool:
        """Make a volume larger, never smaller; say whether its machine must boot to see that."""
        path = _path("apps", app, "volumes", volume, "extend")
        reply = await self._send("PUT", path, {"size_gb": size_gb})
        return reply.read(VolumeExtension).needs_restart

    async def delete_volume(self, app: str, volume: str) -> None:
        """Delete a volume, recoverable for a day; one that is gone is fine."""
        await self._remove(_path("apps", app, "volumes", volume))

    async def list_snapshots(self, app: str, volume: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of a volume."""
        path = _path("apps", app, "volumes", volume, "snapshots")
        return (await self._send("GET", path)).read_all(Snapshot)

    async def create_snapshot(self, app: str, volume: str) -> None:
        """Ask for a snapshot; it appears in the list when Fly begins it."""
        await self._send("POST", _path("apps", app, "volumes", volume, "snapshots"))

    # The token itself

    async def current_tokens(self) -> tuple[TokenInfo, ...]:
        """Return what each part of the token reaches."""
        return (await self._send("GET", "/tokens/current")).part("tokens").read_all(TokenInfo)

    # Secrets

    async def list_secrets(self, app: str, min_version: int = 0) -> tuple[SecretInfo, ...]:
        """Return names and digests, as of that version or a later one; values never leave Fly.

        Raises:
            FlyPreconditionError: what answers has not seen that version yet.
        """
        params = {"min_version": str(min_version)} if min_version else None
        reply = await self._send("GET", _path("apps", app, "secrets"), params=params)
        return reply.part("secrets").read_all(SecretInfo)

    async def set_secrets(self, app: str, values: Mapping[str, SecretText | None]) -> SecretsUpdate:
        """Set and unset (None) secrets in one atomic batch; twice is the same as once."""
        reply = await self._send(
            "POST",
            _path("apps", app, "secrets"),
            {"values": dict(values)},
            repeat=Repeat.SAFE,
            hidden=tuple(value for value in values.values() if value is not None),
        )
        return reply.read(SecretsUpdate)

    # Machines

    async def list_machines(
        self, app: str, metadata: Mapping[str, str] | None = None
    ) -> tuple[Machine, ...]:
        """Return the machines that still exist, all or those with this metadata."""
        params = {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        reply = await self._send("GET", _path("apps", app, "machines"), params=params)
        found = reply.read_all(Machine)
        return tuple(machine for machine in found if machine.state not in GONE_MACHINES)

    async def get_machine(self, app: str, machine: str) -> Machine | None:
        """Return one machine, or None when there is none."""
        return await self._find(_path("apps", app, "machines", machine), Machine)

    async def create_machine(  # noqa: PLR0913 - the fields of the API's request
        self,
        app: str,
        name: str,
        region: str,
        config: Json,
        *,
        skip_launch: bool = False,
        min_secrets_version: int | None = None,
        lease_ttl_s: int | None = None,
    ) -> Machine:
        """Create a machine; with a lease time its answer carries the lease's nonce."""
        wanted = {
            "name": name,
            "region": region,
            "config": config,
            "skip_launch": skip_launch or None,
            "min_secrets_version": min_secrets_version,
            "lease_ttl": lease_ttl_s,
        }
        reply = await self._send("POST", _path("apps", app, "machines"), _present(wanted))
        machine = reply.read(Machine)
        self._transport.made(_path("apps", app, "machines", machine.id))
        return machine

    async def update_machine(  # noqa: PLR0913 - the fields of the API's request
        self,
        app: str,
        machine: str,
        config: Json,
        *,
        current_version: str,
        nonce: str = "",
        skip_launch: bool = False,
        min_secrets_version: int | None = None,
    ) -> Machine:
        """Replace the whole config, if nothing changed it since `current_version`."""
        wanted = {
            "config": config,
            "current_version": current_version,
            "skip_launch": skip_launch or None,
            "min_secrets_version": min_secrets_version,
        }
        path = _path("apps", app, "machines", machine)
        return (await self._send("POST", path, _present(wanted), nonce=nonce)).read(Machine)

    async def start_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Start a machine, or resume it when it is suspended."""
        await self._act(app, machine, "start", nonce)

    async def stop_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Stop a machine; a suspended one loses its memory."""
        await self._act(app, machine, "stop", nonce)

    async def suspend_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Suspend a machine; its memory is kept."""
        await self._act(app, machine, "suspend", nonce)

    async def restart_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Restart a machine; never sent again on doubt, it would restart twice."""
        await self._act(app, machine, "restart", nonce, Repeat.UNSENT)

    async def cordon_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Let the proxy send a machine nothing, nor wake it."""
        await self._act(app, machine, "cordon", nonce)

    async def uncordon_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Let the proxy use a machine again."""
        await self._act(app, machine, "uncordon", nonce)

    async def destroy_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Stop and delete a machine; its volume stays, and one that is gone is fine."""
        await self._remove(_path("apps", app, "machines", machine), {"force": "true"}, nonce)

    async def wait_machine(
        self, app: str, machine: str, state: str, limit_s: float, *, version: str
    ) -> None:
        """Wait until a machine is in a state, in that version of it.

        Fly answers 400 to a wait for `stopped` that names no version
        (https://github.com/superfly/flyctl/issues/1751).

        Raises:
            FlyWaitTimeoutError: it was not, within the limit.
        """
        deadline = anyio.current_time() + limit_s
        with anyio.move_on_after(limit_s + LATE_S):
            while True:
                left = deadline - anyio.current_time()
                try:
                    return await self._wait(app, machine, state, min(WAIT_SLICE_S, left), version)
                except FlyWaitTimeoutError:
                    if left <= WAIT_SLICE_S:
                        raise
        raise FlyWaitTimeoutError(
            f"Fly did not say within {limit_s:.0f} s that the machine is {state}.",
            where=f"{app}/{machine}",
            advice="Look at status.flyio.net and run the same command again.",
        )

    async def list_events(self, app: str, machine: str) -> tuple[MachineEvent, ...]:
        """Return what happened to a machine, newest first."""
        path = _path("apps", app, "machines", machine, "events")
        return (await self._send("GET", path)).read_all(MachineEvent)

    async def patch_metadata(self, app: str, machine: str, values: Mapping[str, str]) -> None:
        """Add or change metadata; an empty value removes. Neither a restart nor a lease is needed."""
        path = _path("apps", app, "machines", machine, "metadata")
        await self._send("PATCH", path, {"metadata": dict(values)})

    async def delete_metadata(self, app: str, machine: str, key: str) -> None:
        """Remove one entry of the metadata; one that is gone is fine."""
        await self._remove(_path("apps", app, "machines", machine, "metadata", key))

    # Leases

    async def acquire_lease(self, app: str, machine: str, ttl_s: int, description: str) -> Lease:
        """Take the right to change a machine.

        Raises:
            FlyLeasedError: somebody else holds it.
        """
        return await self._lease(app, machine, ttl_s, description)

    async def refresh_lease(
        self, app: str, machine: str, ttl_s: int, description: str, nonce: str
    ) -> Lease:
        """Keep the right for another `ttl_s`."""
        return await self._lease(app, machine, ttl_s, description, nonce)

    async def get_lease(self, app: str, machine: str) -> Lease | None:
        """Return the lease that is held on a machine, if one is."""
        try:
            reply = await self._send("GET", _path("apps", app, "machines", machine, "lease"))
        except FlyNotFoundError:
            return None
        return _read_lease(reply)

    async def release_lease(self, app: str, machine: str, nonce: str) -> None:
        """Give the right back; a lease that ended, or went with its machine, is fine."""
        await self._remove(_path("apps", app, "machines", machine, "lease"), nonce=nonce)

    async def _lease(
        self, app: str, machine: str, ttl_s: int, description: str, nonce: str = ""
    ) -> Lease:
        reply = await self._send(
            "POST",
            _path("apps", app, "machines", machine, "lease"),
            {"ttl": ttl_s, "description": description},
            nonce=nonce,
            repeat=Repeat.SAFE if nonce else Repeat.UNSENT,
        )
        lease = _read_lease(reply)
        if not lease.nonce:
            raise reply.wrong("a lease without its nonce")
        return lease

    # Sending

    async def _find(self, path: str, kind: type[A]) -> A | None:
        try:
            return (await self._send("GET", path)).read(kind)
        except FlyNotFoundError:
            return None

    async def _remove(
        self, path: str, params: Mapping[str, str] | None = None, nonce: str = ""
    ) -> None:
        """Delete what may be gone already: that is what was asked, or what a lost answer did."""
        self._transport.removed(path)
        try:
            await self._send("DELETE", path, params=params, nonce=nonce)
        except FlyNotFoundError:
            return

    async def _act(
        self, app: str, machine: str, what: str, nonce: str, repeat: Repeat = Repeat.SAFE
    ) -> None:
        path = _path("apps", app, "machines", machine, what)
        await self._send("POST", path, {} if what == "stop" else None, nonce=nonce, repeat=repeat)

    async def _wait(self, app: str, machine: str, state: str, limit_s: float, version: str) -> None:
        seconds = max(1, ceil(limit_s))
        wanted = {"state": state, "timeout": str(seconds), "version": version or None}
        path = _path("apps", app, "machines", machine, "wait")
        await self._send("GET", path, params=_present(wanted), blocks_s=seconds)

    async def _send(
        self, verb: str, path: str, body: Json | None = None, **details: Unpack[Details]
    ) -> FlyReply:
        return await self._transport.send(Call(verb, path, body, **details))


def _read_lease(reply: FlyReply) -> Lease:
    """Leases come in an envelope that the published document does not show."""
    enveloped = isinstance(reply.body, dict) and "data" in reply.body
    return (reply.part("data") if enveloped else reply).read(Lease)


def _path(*parts: str) -> str:
    return "/" + "/".join(_segment(part) for part in parts)


def _segment(part: str) -> str:
    """Encode one part; `.` and `..` would be taken for steps in the tree."""
    return part.replace(".", "%2E") if part in {".", ".."} else quote(part, safe="")


def _present(fields: Mapping[str, Any]) -> Json:
    return {key: value for key, value in fields.items() if value is not None}
