"""The stored records: apps, machines, volumes, secrets and leases."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Self

from localfly.state.ids import ulid

Json = dict[str, Any]
MAX_EVENTS = 50
MAX_VERSIONS = 50


def timestamp() -> str:
    """Return the current time in RFC 3339 with a Z, as Fly writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Record:
    """A record that is stored as one document."""

    def document(self) -> Json:
        """Return the document to store."""
        return asdict(self)

    @classmethod
    def read(cls, document: Json) -> Self:
        """Return a record from a document of any version of this program."""
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in document.items() if key in known})


@dataclass
class App(Record):
    """An app, its addresses and its secrets."""

    name: str
    organization: str
    id: str
    number: int
    network: str = "default"
    created_at: str = field(default_factory=timestamp)
    port: int | None = None
    """The last port of its proxy."""
    ips: list[Json] = field(default_factory=list)
    secrets: dict[str, Json] = field(default_factory=dict)
    """By name: value, digest, created_at, updated_at."""
    secrets_version: int = 0
    secrets_changed_at: float = 0.0
    """The time of the last change, in seconds since 1970."""
    role: str = ""
    """What Fly made the app for, such as a database; empty for a user's own."""
    releases: list[Json] = field(default_factory=list)
    """Newest first: id, version, status, strategy, image_ref, definition, created_at, updated_at."""
    certificates: dict[str, Json] = field(default_factory=dict)
    """By hostname: created_at, updated_at, acme, custom."""


@dataclass
class Token(Record):
    """A token that a client made; its value is not stored, only its digest."""

    id: str
    name: str
    organization: str
    app: str
    """Empty for a token of the organization."""
    profile: str
    digest: str
    expires_at: str
    created_at: str = field(default_factory=timestamp)
    revoked_at: str | None = None

    @property
    def valid(self) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and datetime.now(UTC) < datetime.fromisoformat(
            self.expires_at
        )


@dataclass
class Volume(Record):
    """A volume; its data is the folder `volumes/ID`."""

    id: str
    app: str
    name: str
    region: str
    size_gb: int
    state: str = "created"
    encrypted: bool = True
    fstype: str = "ext4"
    snapshot_retention: int = 5
    auto_backup_enabled: bool = True
    attached_machine_id: str | None = None
    created_at: str = field(default_factory=timestamp)
    snapshots: list[Json] = field(default_factory=list)
    host: int = 0
    """The number of its host; 0 for all records of older versions."""


@dataclass
class Lease(Record):
    """The exclusive right to change a machine; `expires_at` is in seconds since 1970."""

    nonce: str
    expires_at: int
    owner: str
    description: str
    version: str

    @property
    def held(self) -> bool:
        """Whether it has not expired."""
        return time.time() < self.expires_at


@dataclass
class Machine(Record):
    """A machine, and its process if one runs."""

    id: str
    app: str
    name: str
    region: str
    config: Json
    user_config: Json
    image_digest: str = ""
    state: str = "created"
    instance_id: str = field(default_factory=ulid)
    cordoned: bool = False
    address: str = ""
    created_at: str = field(default_factory=timestamp)
    updated_at: str = field(default_factory=timestamp)
    events: list[Json] = field(default_factory=list)
    versions: list[Json] = field(default_factory=list)
    lease: Json | None = None
    pid: int | None = None
    create_time: float = 0.0
    skip_secrets: bool = False
    launch_pending: bool = False
    """Whether a start was requested and has not happened yet."""
    host: int = 0
    """The number of its host, which is that of its volume."""

    def add_event(self, kind: str, status: str, source: str, request: Json | None = None) -> Json:
        """Add an event at the front, and drop the oldest beyond the limit."""
        event: Json = {
            "id": ulid(),
            "type": kind,
            "status": status,
            "source": source,
            "timestamp": int(time.time() * 1000),
            **({"request": request} if request else {}),
        }
        self.events.insert(0, event)
        del self.events[MAX_EVENTS:]
        return event

    def new_version(self) -> None:
        """Start a new version with the user's config."""
        self.instance_id = ulid()
        self.note_version()

    def note_version(self) -> None:
        """Add the current version to the history."""
        self.versions.insert(0, {"version": self.instance_id, "user_config": self.user_config})
        del self.versions[MAX_VERSIONS:]

    @property
    def current_lease(self) -> Lease | None:
        """The lease if it has not expired."""
        lease = Lease.read(self.lease) if self.lease else None
        return lease if lease and lease.held else None
