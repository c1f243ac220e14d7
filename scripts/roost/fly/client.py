"""Fly's Machines API: one method a call, typed answers, retries by rule.

Paths and bodies: https://docs.machines.dev. Machine configs are plain JSON, as the API has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import anyio
import httpx
import stamina
from pydantic import TypeAdapter, ValidationError

from roost.errors import FlyNotFoundError, FlyUnavailableError, FlyWaitTimeoutError
from roost.fly.models import (
    DYING_VOLUMES,
    Answer,
    App,
    IpAssignment,
    Lease,
    Machine,
    MachineEvent,
    SecretInfo,
    SecretsUpdate,
    Snapshot,
    Volume,
)
from roost.fly.refusals import refusal, unreadable
from roost.fly.retries import (
    AgainError,
    Repeat,
    may_repeat_failure,
    may_repeat_status,
    retry_after_s,
)
from roost.secret_text import SecretText

Json = dict[str, Any]
T = TypeVar("T")
A = TypeVar("A", bound=Answer)

TIMEOUT_S = 30.0
DEADLINE_S = 120.0
ATTEMPTS = 6
WAIT_SLICE_S = 60  # the longest the API blocks in one wait
NONCE = "fly-machine-lease-nonce"
_MACAROON = re.compile(r"^(?:(?:FlyV1|Bearer)\s+)?(?=fm\d)")


def authorization(token: SecretText) -> str:
    """Give the header's value: `FlyV1` for macaroons, `Bearer` for anything else, as flyctl does."""
    value = token.reveal().strip()
    if _MACAROON.match(value):
        return f"FlyV1 {_MACAROON.sub('', value)}"
    return f"Bearer {value.removeprefix('Bearer ')}"


class FlyClient:
    """A connection to the Machines API; use as an asynchronous context manager.

    Args:
        base_url: without `/v1`, such as https://api.machines.dev.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call is repeated past this many seconds.
        now: the clock that Retry-After dates are read against.
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
        self.calls = 0
        """Requests sent so far, repeats included."""
        self._token = token
        self._deadline_s = deadline_s
        self._now = now
        self._http = httpx.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/v1",
            headers={"authorization": authorization(token), "user-agent": "roost"},
            timeout=TIMEOUT_S,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"FlyClient({self._http.base_url})"

    # Apps

    async def get_app(self, app: str) -> App | None:
        """Give the app, or None when the name is free."""
        return await self._find("GET", _path("apps", app), App)

    async def create_app(self, app: str, organization: str) -> None:
        """Create an app; it has no address yet."""
        body = {"name": app, "org_slug": organization}
        await self._send("POST", "/apps", body, repeat=Repeat.UNSENT)

    async def delete_app(self, app: str) -> None:
        """Delete an app and all its machines."""
        await self._send("DELETE", _path("apps", app), params={"force": "true"})

    # Addresses

    async def list_ips(self, app: str) -> tuple[IpAssignment, ...]:
        """Give the app's addresses."""
        body = await self._send("GET", _path("apps", app, "ip_assignments"))
        found = body.get("ips") or [] if isinstance(body, dict) else body
        return self._parse(tuple[IpAssignment, ...], found, app)

    async def assign_ip(self, app: str, kind: str) -> IpAssignment:
        """Give the app an address: v6, shared_v4, v4 or private_v6."""
        path = _path("apps", app, "ip_assignments")
        body = await self._send("POST", path, {"type": kind}, repeat=Repeat.UNSENT)
        return self._parse(IpAssignment, body, app)

    async def release_ip(self, app: str, ip: str) -> None:
        """Take an address away."""
        await self._send("DELETE", _path("apps", app, "ip_assignments", ip))

    # Volumes

    async def list_volumes(self, app: str) -> tuple[Volume, ...]:
        """Give the volumes, without those on their way out."""
        body = await self._send("GET", _path("apps", app, "volumes"))
        found = self._parse(tuple[Volume, ...], body, app)
        return tuple(volume for volume in found if volume.state not in DYING_VOLUMES)

    async def create_volume(self, app: str, fields: Mapping[str, Any]) -> Volume:
        """Create a volume; `fields` as the API names them."""
        path = _path("apps", app, "volumes")
        body = await self._send("POST", path, dict(fields), repeat=Repeat.UNSENT)
        return self._parse(Volume, body, app)

    async def update_volume(self, app: str, volume: str, *, snapshot_retention: int) -> None:
        """Change how many days snapshots are kept."""
        fields = {"snapshot_retention": snapshot_retention}
        await self._send("PUT", _path("apps", app, "volumes", volume), fields)

    async def extend_volume(self, app: str, volume: str, size_gb: int) -> None:
        """Make a volume larger; it never gets smaller again."""
        path = _path("apps", app, "volumes", volume, "extend")
        await self._send("PUT", path, {"size_gb": size_gb})

    async def delete_volume(self, app: str, volume: str) -> None:
        """Delete a volume; Fly keeps it recoverable for a day."""
        await self._send("DELETE", _path("apps", app, "volumes", volume))

    async def list_snapshots(self, app: str, volume: str) -> tuple[Snapshot, ...]:
        """Give the snapshots of a volume."""
        body = await self._send("GET", _path("apps", app, "volumes", volume, "snapshots"))
        return self._parse(tuple[Snapshot, ...], body or [], app)

    async def create_snapshot(self, app: str, volume: str) -> None:
        """Ask for a snapshot; it appears in the list when Fly begins it."""
        path = _path("apps", app, "volumes", volume, "snapshots")
        await self._send("POST", path, repeat=Repeat.UNSENT)

    # Secrets

    async def list_secrets(self, app: str) -> tuple[SecretInfo, ...]:
        """Give names and digests; values never leave Fly."""
        body = await self._send("GET", _path("apps", app, "secrets"))
        found = body.get("secrets") or [] if isinstance(body, dict) else body
        return self._parse(tuple[SecretInfo, ...], found, app)

    async def set_secrets(self, app: str, values: Mapping[str, SecretText | None]) -> SecretsUpdate:
        """Set and unset (None) secrets in one atomic batch."""
        plain = {name: value and value.reveal() for name, value in values.items()}
        hidden = tuple(value for value in values.values() if value)
        path = _path("apps", app, "secrets")
        body = await self._send("POST", path, {"values": plain}, hidden=hidden)
        return self._parse(SecretsUpdate, body, app)

    # Machines

    async def list_machines(
        self, app: str, metadata: Mapping[str, str] | None = None
    ) -> tuple[Machine, ...]:
        """Give the machines that still exist, all or those with this metadata."""
        params = {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        body = await self._send("GET", _path("apps", app, "machines"), params=params)
        found = self._parse(tuple[Machine, ...], body or [], app)
        return tuple(
            machine for machine in found if machine.state not in ("destroyed", "destroying")
        )

    async def get_machine(self, app: str, machine: str) -> Machine | None:
        """Give one machine, or None when there is none."""
        return await self._find("GET", _path("apps", app, "machines", machine), Machine)

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
        path = _path("apps", app, "machines")
        body = await self._send("POST", path, _present(wanted), repeat=Repeat.UNSENT)
        return self._parse(Machine, body, f"{app}/{name}")

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
        body = await self._send("POST", path, _present(wanted), nonce=nonce, repeat=Repeat.UNSENT)
        return self._parse(Machine, body, f"{app}/{machine}")

    async def start_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Start a machine, or resume it when it is suspended."""
        await self._send("POST", _path("apps", app, "machines", machine, "start"), nonce=nonce)

    async def stop_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Stop a machine; a suspended one loses its memory."""
        await self._send("POST", _path("apps", app, "machines", machine, "stop"), {}, nonce=nonce)

    async def suspend_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Suspend a machine; its memory is kept."""
        await self._send("POST", _path("apps", app, "machines", machine, "suspend"), nonce=nonce)

    async def restart_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Restart a machine."""
        await self._send("POST", _path("apps", app, "machines", machine, "restart"), nonce=nonce)

    async def destroy_machine(self, app: str, machine: str, nonce: str = "") -> None:
        """Stop and delete a machine; its volume stays."""
        path = _path("apps", app, "machines", machine)
        try:
            await self._send("DELETE", path, params={"force": "true"}, nonce=nonce)
        except FlyNotFoundError:
            return  # gone already, which is what was asked

    async def wait_machine(
        self, app: str, machine: str, state: str, limit_s: float, *, version: str = ""
    ) -> None:
        """Wait until a machine is in a state.

        Raises:
            FlyWaitTimeoutError: it was not, within the limit.
        """
        deadline = anyio.current_time() + limit_s
        path = _path("apps", app, "machines", machine, "wait")
        while True:
            left = deadline - anyio.current_time()
            params = {"state": state, "timeout": str(max(1, min(WAIT_SLICE_S, int(left))))}
            try:
                await self._send(
                    "GET", path, params=_present({**params, "version": version or None})
                )
            except FlyWaitTimeoutError:
                if left <= WAIT_SLICE_S:
                    raise
            else:
                return

    async def list_events(self, app: str, machine: str) -> tuple[MachineEvent, ...]:
        """Give what happened to a machine, newest first."""
        body = await self._send("GET", _path("apps", app, "machines", machine, "events"))
        return self._parse(tuple[MachineEvent, ...], body or [], f"{app}/{machine}")

    async def patch_metadata(self, app: str, machine: str, values: Mapping[str, str]) -> None:
        """Add or change metadata; neither a restart nor a lease is needed."""
        path = _path("apps", app, "machines", machine, "metadata")
        await self._send("PATCH", path, {"metadata": dict(values)})

    # Leases

    async def acquire_lease(self, app: str, machine: str, ttl_s: int, description: str) -> Lease:
        """Take the right to change a machine.

        Raises:
            FlyLeasedError: somebody else holds it.
        """
        return await self._lease("POST", app, machine, ttl_s, description)

    async def refresh_lease(
        self, app: str, machine: str, ttl_s: int, description: str, nonce: str
    ) -> Lease:
        """Keep the right for another `ttl_s`."""
        return await self._lease("POST", app, machine, ttl_s, description, nonce)

    async def get_lease(self, app: str, machine: str) -> Lease | None:
        """Give the lease that is held on a machine, if one is."""
        try:
            body = await self._send("GET", _path("apps", app, "machines", machine, "lease"))
        except FlyNotFoundError:
            return None
        return self._parse(Lease, _unwrap(body), f"{app}/{machine}")

    async def release_lease(self, app: str, machine: str, nonce: str) -> None:
        """Give the right back."""
        await self._send("DELETE", _path("apps", app, "machines", machine, "lease"), nonce=nonce)

    async def _lease(  # noqa: PLR0913, PLR0917 - what a lease is
        self, verb: str, app: str, machine: str, ttl_s: int, description: str, nonce: str = ""
    ) -> Lease:
        path = _path("apps", app, "machines", machine, "lease")
        body = await self._send(
            verb,
            path,
            {"ttl": ttl_s, "description": description},
            nonce=nonce,
            repeat=Repeat.SAFE if nonce else Repeat.UNSENT,
        )
        return self._parse(Lease, _unwrap(body), f"{app}/{machine}")

    # Sending

    async def _find(self, verb: str, path: str, kind: type[A]) -> A | None:
        try:
            return self._parse(kind, await self._send(verb, path), path)
        except FlyNotFoundError:
            return None

    async def _send(  # noqa: PLR0913 - one place for every call
        self,
        verb: str,
        path: str,
        body: Json | None = None,
        *,
        params: Mapping[str, str] | None = None,
        nonce: str = "",
        repeat: Repeat = Repeat.SAFE,
        hidden: tuple[SecretText, ...] = (),
    ) -> Any:
        """Send a call, again where its rule allows, and give the decoded answer."""
        request = self._http.build_request(
            verb, path, json=body, params=params, headers={NONCE: nonce} if nonce else None
        )
        where = f"{verb} {path}"
        try:
            async for attempt in stamina.retry_context(
                on=_wait_of, attempts=ATTEMPTS, timeout=self._deadline_s
            ):
                with attempt:
                    return await self._send_once(request, where, repeat, (self._token, *hidden))
        except AgainError as again:
            raise again.cause from None
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _send_once(
        self, request: httpx.Request, where: str, repeat: Repeat, hidden: tuple[SecretText, ...]
    ) -> Any:
        self.calls += 1
        try:
            response = await self._http.send(request)
        except httpx.TransportError as failure:
            lost = _no_answer(failure, where)
            raise (AgainError(lost) if may_repeat_failure(failure, repeat) else lost) from None
        if response.is_success:
            return _decode(response, where)
        error = refusal(response, where, hidden)
        if may_repeat_status(response.status_code, repeat):
            raise AgainError(error, retry_after_s(response, self._now))
        raise error

    def _parse(self, kind: type[T], body: Any, where: str) -> T:
        try:
            return TypeAdapter(kind).validate_python(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the body"
            response = httpx.Response(200)
            raise unreadable(response, where, f"{place}: {first['msg']}") from None


def _wait_of(error: Exception) -> bool | float:
    """Tell stamina whether to go on, and how long to wait where Fly said so."""
    if not isinstance(error, AgainError):
        return False
    return True if error.wait_s is None else error.wait_s


def _no_answer(failure: httpx.TransportError, where: str) -> FlyUnavailableError:
    return FlyUnavailableError(
        f"Fly did not answer ({type(failure).__name__}).",
        where=where,
        advice="Whether the call was carried out is unknown. Run the same command again: it looks first.",
    )


def _decode(response: httpx.Response, where: str) -> Any:
    if not response.content:
        return None
    try:
        return json.loads(response.content)
    except ValueError:
        raise unreadable(response, where, "not JSON") from None


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _present(fields: Mapping[str, Any]) -> Json:
    return {key: value for key, value in fields.items() if value is not None}


def _unwrap(body: Any) -> Any:
    """Leases come in an envelope that the published document does not show."""
    return body.get("data", body) if isinstance(body, dict) else body
