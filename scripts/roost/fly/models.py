"""Fly's answers, typed; fields that Fly adds later are kept, not refused.

Shapes: the Machines API as published (https://docs.machines.dev) and as flyctl decodes it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

T = TypeVar("T")

# Destroyed volumes are listed for another day; no plan may use them.
DYING_VOLUMES = frozenset(
    {"scheduling_destroy", "fork_cleanup", "waiting_for_detach", "pending_destroy", "destroying"}
)

# Fly goes on listing destroyed machines for a while.
GONE_MACHINES = frozenset({"destroying", "destroyed"})

# Go writes an empty list as null.
Many = Annotated[tuple[T, ...], BeforeValidator(lambda found: () if found is None else found)]

# Costs are computed from these numbers, so only those that a float holds exactly are accepted.
Number = Annotated[int, Field(ge=-(2**53), le=2**53)]


class Answer(BaseModel):
    """An answer, or a part of one: frozen, with unknown fields kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class _Read(BaseModel):
    """A part of a machine's config that Roost reads; other fields are compared, not read."""

    model_config = ConfigDict(strict=True)


class _Guest(_Read):
    cpu_kind: str | None = None
    cpus: Number | None = None
    memory_mb: Number | None = None


class _Port(_Read):
    port: Number | None = None
    start_port: Number | None = None
    end_port: Number | None = None


class _Service(_Read):
    ports: list[_Port] | None = None
    autostop: bool | str | None = None
    min_machines_running: Number | None = None


class _Config(_Read):
    image: str | None = None
    guest: _Guest | None = None
    services: list[_Service] | None = None
    mounts: list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = None


def _readable(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config unchanged, after checking the types of the fields that are read.

    Raises:
        ValueError: a field has another type; names the field.
    """
    try:
        _Config.model_validate(config)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from None
    return config


MachineConfig = Annotated[dict[str, Any], AfterValidator(_readable)]


class Organization(Answer):
    """The owner of an app."""

    slug: str = ""
    name: str = ""


class App(Answer):
    """A Fly app."""

    name: str
    id: str = ""
    status: str = ""
    organization: Organization = Organization()


class MachineEvent(Answer):
    """An event of a machine; lists are newest first, `timestamp` is in milliseconds."""

    id: str = ""
    type: str = ""
    status: str = ""
    source: str = ""
    timestamp: Number = 0
    request: dict[str, Any] | None = None

    @property
    def exit_event(self) -> dict[str, Any] | None:
        """Exit code, signal, oom_killed and requested_stop of an event of type `exit`, else None."""
        ending = (self.request or {}).get("exit_event") if self.type == "exit" else None
        return ending if isinstance(ending, dict) else None


class Check(Answer):
    """The last result of one of Fly's own health checks."""

    name: str = ""
    status: str = ""
    output: str = ""


class Machine(Answer):
    """A machine; `config` is the requested one, and None while its host does not answer."""

    id: str
    name: str = ""
    state: str = ""
    region: str = ""
    instance_id: str = ""
    config: MachineConfig | None = None
    incomplete_config: MachineConfig | None = None
    image_ref: dict[str, Any] | None = None
    events: Many[MachineEvent] = ()
    checks: Many[Check] = ()
    host_status: str = "ok"
    nonce: str = ""
    cordoned: bool = False
    private_ip: str = ""
    created_at: str = ""
    updated_at: str = ""

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata in the machine's config."""
        return (self.config or self.incomplete_config or {}).get("metadata") or {}

    @property
    def mounted_volume(self) -> str:
        """The id of the mounted volume; empty when none is."""
        mounts = (self.config or self.incomplete_config or {}).get("mounts") or [{}]
        return str(mounts[0].get("volume") or "")


class Executed(Answer):
    """The end of a command that was run in a machine; Go leaves out empty texts and zeros."""

    exit_code: Number = 0
    exit_signal: Number = 0
    stdout: str = ""
    stderr: str = ""


class LogEntry(Answer):
    """One line of an app's log; `timestamp` is of RFC 3339."""

    timestamp: str = ""
    message: str = ""
    level: str = ""
    instance: str = ""
    region: str = ""


class Volume(Answer):
    """A volume."""

    id: str
    name: str = ""
    state: str = ""
    size_gb: Number = 0
    region: str = ""
    attached_machine_id: str | None = None
    snapshot_retention: Number | None = None
    encrypted: bool = True
    created_at: str = ""
    block_size: Number = 0
    blocks: Number = 0
    blocks_avail: Number = 0
    host_status: str = "ok"


class OrgVolume(Volume):
    """A volume in the list of a whole organization."""

    app_name: str = ""


class VolumeExtension(Answer):
    """The answer to the extension of a volume."""

    needs_restart: bool = False


class Snapshot(Answer):
    """A snapshot of a volume."""

    id: str
    status: str = ""
    created_at: str = ""
    size: Number = 0
    volume_size: Number = 0
    retention_days: int | None = None


class TokenInfo(Answer):
    """What a token gives access to: these apps of an organization, or all where it names none."""

    org_slug: str | None = None
    apps: Many[str] = ()


class SecretInfo(Answer):
    """A secret's name and digest; Fly never returns the value."""

    name: str
    digest: str = ""


class SecretsUpdate(Answer):
    """The secrets after a change; `version` is the app's, for `min_secrets_version`."""

    version: Number = 0
    secrets: Many[SecretInfo] = ()


class IpAssignment(Answer):
    """An address of the app."""

    ip: str
    type: str = ""
    shared: bool = False
    region: str = ""
    created_at: str = ""

    @property
    def kind(self) -> str:
        """The type to request for such an address: v4, shared_v4, v6 or private_v6."""
        if self.type:
            return self.type
        if ":" not in self.ip:
            return "shared_v4" if self.shared else "v4"
        return "private_v6" if self.ip.startswith("fdaa:") else "v6"


class Lease(Answer):
    """A lease on a machine; `expires_at` is in seconds since the epoch."""

    nonce: str = ""
    expires_at: Number = 0
    owner: str = ""
    description: str = ""
    version: str = ""
