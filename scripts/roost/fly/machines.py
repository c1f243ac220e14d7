"""Machines and their leases in Fly's Machines API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import anyio

from roost.errors import FlyNotFoundError, FlyWaitTimeoutError
from roost.fly.calls import FlyCalls
from roost.fly.models import GONE_MACHINES, Executed, Lease, Machine, MachineEvent
from roost.fly.transport import FlyReply
from roost.http.connection import path_of, present
from roost.http.reply import Json
from roost.http.retry import Repeat

WAIT_SLICE_S = 60
"""The longest that the API blocks in one wait."""
MOST_EVENTS = 50
LATE_S = 10.0
"""The longest that the last answer to a wait may be late, its repeats included."""


class MachineCalls(FlyCalls):
    """Read and change machines; most changes need the nonce of the machine's lease."""

    async def list_machines(
        self, app: str, metadata: Mapping[str, str] | None = None
    ) -> tuple[Machine, ...]:
        """Return the machines that exist, all or those with this metadata."""
        params = {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        reply = await self._send("GET", path_of("apps", app, "machines"), params=params)
        found = reply.read_all(Machine)
        return tuple(machine for machine in found if machine.state not in GONE_MACHINES)

    async def get_machine(self, app: str, machine: str) -> Machine | None:
        """Return one machine, or None when there is none."""
        return await self._find(path_of("apps", app, "machines", machine), Machine)

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
        """Create a machine; with `lease_ttl_s` it is leased, and the answer has the nonce."""
        wanted = {
            "name": name,
            "region": region,
            "config": config,
            "skip_launch": skip_launch or None,
            "min_secrets_version": min_secrets_version,
            "lease_ttl": lease_ttl_s,
        }
        reply = await self._send("POST", path_of("apps", app, "machines"), present(wanted))
        machine = reply.read(Machine)
        self._transport.made(path_of("apps", app, "machines", machine.id))
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
        """Replace the whole config; refused if it changed since `current_version`."""
        wanted = {
            "config": config,
            "current_version": current_version,
            "skip_launch": skip_launch or None,
            "min_secrets_version": min_secrets_version,
        }
        path = path_of("apps", app, "machines", machine)
        return (await self._send("POST", path, present(wanted), nonce=nonce)).read(Machine)

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
        """Restart a machine; not sent again when its answer is lost, as it would restart twice."""
        await self._act(app, machine, "restart", nonce, Repeat.UNSENT)

    async def cordon_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Stop the proxy from sending a machine requests and from starting it."""
        await self._act(app, machine, "cordon", nonce)

    async def uncordon_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Let the proxy send a machine requests and start it again."""
        await self._act(app, machine, "uncordon", nonce)

    async def destroy_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Stop and delete a machine, but not its volume; a machine that is gone is fine."""
        await self._remove(path_of("apps", app, "machines", machine), {"force": "true"}, nonce)

    async def wait_machine(
        self, app: str, machine: str, state: str, limit_s: float, *, version: str
    ) -> None:
        """Wait until that version of a machine is in a state.

        Fly answers 400 to a wait for `stopped` that names no version
        (https://github.com/superfly/flyctl/issues/1751).

        Raises:
            FlyWaitTimeoutError: it did not reach the state within `limit_s` seconds.
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
            f"Fly did not report within {limit_s:.0f} s that the machine is {state}.",
            where=f"{app}/{machine}",
            advice="Look at status.flyio.net and run the same command again.",
        )

    async def exec_machine(
        self, app: str, machine: str, command: Sequence[str], limit_s: int
    ) -> Executed:
        """Run a command in a running machine; sent once, because it would run twice.

        Raises:
            FlyWaitTimeoutError: it did not end within `limit_s` seconds.
            FlyPreconditionError: the machine does not run.
        """
        path = path_of("apps", app, "machines", machine, "exec")
        wanted = {"command": list(command), "timeout": limit_s}
        reply = await self._send("POST", path, wanted, repeat=Repeat.UNSENT, blocks_s=limit_s)
        return reply.read(Executed)

    async def list_events(self, app: str, machine: str) -> tuple[MachineEvent, ...]:
        """Return the events of a machine, newest first; the API has the newest 50."""
        path = path_of("apps", app, "machines", machine, "events")
        params = {"limit": str(MOST_EVENTS)}
        return (await self._send("GET", path, params=params)).read_all(MachineEvent)

    async def patch_metadata(self, app: str, machine: str, values: Mapping[str, str]) -> None:
        """Set entries of the metadata; an empty value removes one. Needs no lease, restarts nothing."""
        path = path_of("apps", app, "machines", machine, "metadata")
        await self._send("PATCH", path, {"metadata": dict(values)})

    async def delete_metadata(self, app: str, machine: str, key: str) -> None:
        """Remove one entry of the metadata; one that is gone is fine."""
        await self._remove(path_of("apps", app, "machines", machine, "metadata", key))

    # Leases

    async def acquire_lease(self, app: str, machine: str, ttl_s: int, description: str) -> Lease:
        """Take the lease of a machine.

        Raises:
            FlyLeasedError: somebody else holds it.
        """
        return await self._lease(app, machine, ttl_s, description)

    async def refresh_lease(
        self, app: str, machine: str, ttl_s: int, description: str, nonce: str
    ) -> Lease:
        """Extend a lease by another `ttl_s` seconds."""
        return await self._lease(app, machine, ttl_s, description, nonce)

    async def get_lease(self, app: str, machine: str) -> Lease | None:
        """Return the lease on a machine, or None when nobody holds one."""
        try:
            reply = await self._send("GET", path_of("apps", app, "machines", machine, "lease"))
        except FlyNotFoundError:
            return None
        return _read_lease(reply)

    async def release_lease(self, app: str, machine: str, nonce: str) -> None:
        """Release a lease; one that ended, or whose machine is gone, is fine."""
        await self._remove(path_of("apps", app, "machines", machine, "lease"), nonce=nonce)

    async def _lease(
        self, app: str, machine: str, ttl_s: int, description: str, nonce: str = ""
    ) -> Lease:
        reply = await self._send(
            "POST",
            path_of("apps", app, "machines", machine, "lease"),
            {"ttl": ttl_s, "description": description},
            nonce=nonce,
            repeat=Repeat.SAFE if nonce else Repeat.UNSENT,
        )
        lease = _read_lease(reply)
        if not lease.nonce:
            raise reply.wrong("a lease without its nonce")
        return lease

    async def _act(
        self, app: str, machine: str, what: str, nonce: str, repeat: Repeat = Repeat.SAFE
    ) -> None:
        path = path_of("apps", app, "machines", machine, what)
        await self._send("POST", path, {} if what == "stop" else None, nonce=nonce, repeat=repeat)

    async def _wait(self, app: str, machine: str, state: str, limit_s: float, version: str) -> None:
        seconds = max(1, ceil(limit_s))
        wanted = {"state": state, "timeout": str(seconds), "version": version or None}
        path = path_of("apps", app, "machines", machine, "wait")
        await self._send("GET", path, params=present(wanted), blocks_s=seconds)


def _read_lease(reply: FlyReply) -> Lease:
    """Read a lease; the API sends it in an envelope that its published document does not show."""
    enveloped = isinstance(reply.body, dict) and "data" in reply.body
    return (reply.part("data") if enveloped else reply).read(Lease)
