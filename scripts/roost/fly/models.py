"""Fly's answers, typed. What Fly adds tomorrow is kept, not refused.

Shapes: the Machines API as published (https://docs.machines.dev) and as flyctl decodes it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

T = TypeVar("T")

# Volumes on their way out are listed for a day; nothing should be planned on them.
DYING_VOLUMES = frozenset(
    {"scheduling_destroy", "fork_cleanup", "waiting_for_detach", "pending_destroy", "destroying"}
)

# Machines on their way out, and those that are listed after they are gone.
GONE_MACHINES = frozenset({"destroying", "destroyed"})

# Go writes an empty list as null.
Many = Annotated[tuple[T, ...], BeforeValidator(lambda found: () if found is None else found)]


def _readable(config: dict[str, Any]) -> dict[str, Any]:
    """Hold what is read of a machine's config to its form; the rest is only compared."""
    metadata, mounts = config.get("metadata") or {}, config.get("mounts") or []
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("metadata is not a map of texts")
    if not isinstance(mounts, list) or not all(isinstance(mount, dict) for mount in mounts):
        raise ValueError("mounts is not a list of mappings")
    return config


MachineConfig = Annotated[dict[str, Any], AfterValidator(_readable)]


class Answer(BaseModel):
    """Frozen, and open to fields that are not known yet."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Organization(Answer):
    """Who owns an app."""

    slug: str = ""
    name: str = ""


class App(Answer):
    """A Fly app."""

    name: str
    id: str = ""
    status: str = ""
    organization: Organization = Organization()


class MachineEvent(Answer):
    """Something that happened to a machine; newest first in lists, `timestamp` in ms."""

    id: str = ""
    type: str = ""
    status: str = ""
    source: str = ""
    timestamp: int = 0
    request: dict[str, Any] | None = None

    @property
    def exit_event(self) -> dict[str, Any] | None:
        """Exit code, signal, oom_killed and requested_stop, for events of type `exit`."""
        ending = (self.request or {}).get("exit_event") if self.type == "exit" else None
        return ending if isinstance(ending, dict) else None


class Check(Answer):
    """The last result of one of Fly's own health checks."""

    name: str = ""
    status: str = ""
    output: str = ""


class Machine(Answer):
    """A machine; `config` is what it was asked to be, and None while its host does not answer."""

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


class Volume(Answer):
    """A volume."""

    id: str
    name: str = ""
    state: str = ""
    size_gb: int = 0
    region: str = ""
    attached_machine_id: str | None = None
    snapshot_retention: int | None = None
    encrypted: bool = True
    created_at: str = ""


class VolumeExtension(Answer):
    """What Fly says when a volume was made larger."""

    needs_restart: bool = False


class Snapshot(Answer):
    """A snapshot of a volume."""

    id: str
    status: str = ""
    created_at: str = ""
    size: int = 0
    volume_size: int = 0
    retention_days: int | None = None


class SecretInfo(Answer):
    """A secret's name and digest; Fly never gives the value."""

    name: str
    digest: str = ""


class SecretsUpdate(Answer):
    """What a change of secrets left; `version` is the app's, for `min_secrets_version`."""

    version: int = 0
    secrets: Many[SecretInfo] = ()


class IpAssignment(Answer):
    """An address of the app."""

    ip: str
    type: str = ""
    shared: bool = False
    region: str = ""

    @property
    def kind(self) -> str:
        """The type one asks for to get such an address: v4, shared_v4, v6 or private_v6."""
        if self.type:
            return self.type
        if ":" not in self.ip:
            return "shared_v4" if self.shared else "v4"
        return "private_v6" if self.ip.startswith("fdaa:") else "v6"


class Lease(Answer):
    """The right to change a machine; `expires_at` in seconds since the epoch."""

    nonce: str = ""
    expires_at: int = 0
    owner: str = ""
    description: str = ""
    version: str = ""
