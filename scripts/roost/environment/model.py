"""The environment file as values: one file is one Fly app running one Prefect server.

`environment.schema.json` is generated from this model, with the docstrings of the fields. The model
checks types, names and ranges; rules about more than one field are in `rules.py`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from roost.environment.awake_window import MOST_WINDOWS, AwakeWindow
from roost.environment.bucket import (
    Backups,
    BucketRegion,
    BucketUrl,
    Endpoint,
    allow_url,
    expand_url,
)
from roost.environment.budget import Budget
from roost.environment.disk import Extend, Retention
from roost.environment.fields import Duration, Machine, Name, Secret, SettingText
from roost.environment.flow_server import FlowServer
from roost.environment.health import Health
from roost.environment.notify import Notify
from roost.environment.redis import Redis
from roost.environment.regions import REGIONS
from roost.environment.strict import Model
from roost.environment.waker import Waker

# Fields that `drift.ignore` may name, as plans name them.
IGNORABLE_FIELDS = (
    *(f"guest.{name}" for name in ("cpu_kind", "cpus", "memory_mb")),
    *(f"services[0].{name}" for name in ("autostart", "autostop", "min_machines_running")),
    *(f"services[0].concurrency.{name}" for name in ("type", "soft_limit", "hard_limit")),
    *(f"restart.{name}" for name in ("policy", "max_retries")),
    *(f"stop_config.{name}" for name in ("signal", "timeout")),
    *(f"volume.{name}" for name in ("size_gb", "snapshot_retention")),
)
_IGNORABLE_NAMES = "|".join(re.escape(name) for name in IGNORABLE_FIELDS)
IGNORABLE = rf"^({_IGNORABLE_NAMES}|env\.PREFECT_[A-Z0-9_]+)$"
AUTH_SECRET = "PREFECT_SERVER_API_AUTH_STRING"  # noqa: S105 - the name, not the value
HEAL = "heal"
"""The short form `drift: heal`."""
SecretPlace = tuple[str | int, ...]


def expand_drift(value: object) -> object:
    """Return the mapping of the short form `drift: heal`, and anything else unchanged."""
    return {"heal": True} if value == HEAL else value


# A plain relative path, so that no file has two names; a rule refuses `..`.
OBJECTS_FILE = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,9}\.ya?ml$"


Region = Literal[REGIONS]  # type: ignore[valid-type] # one tuple serves model and messages


class Prefect(Model):
    """Which Prefect runs, and with what settings."""

    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", examples=["3.9.1"])]
    """Prefect version, such as 3.9.1; needs deploy/locks/prefect-VERSION.txt."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Run this image instead of ours: prefecthq/prefect, or one whose command serves Prefect at the port in PREFECT_SERVER_API_PORT."""
    settings: Annotated[
        dict[str, SettingText],
        Field(json_schema_extra={"propertyNames": {"pattern": "^PREFECT_[A-Z0-9_]+$"}}),
    ] = {}  # noqa: RUF012 - pydantic copies it for each value
    """Prefect settings as environment variables; secrets belong under `secrets`."""
    objects: (
        Annotated[
            str, Field(pattern=OBJECTS_FILE, max_length=512, examples=["prefect/production.yaml"])
        ]
        | None
    ) = None
    """File of this repository with the work pools, limits, variables, blocks and automations (docs/objects.md)."""
    object_secrets: Annotated[tuple[Secret, ...], Field(strict=False, max_length=100)] = ()
    """Secrets of the blocks in `objects`, written like `secrets`; they are not set on the app."""
    extras: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200, examples=["prefect-redis"])], ...],
        Field(strict=False, max_length=50, examples=[["prefect-redis", "prefect-aws==0.5.*"]]),
    ] = ()
    """More packages in the server's image; needs environments/locks/NAME.txt (`./run lock --server NAME`)."""


class Concurrency(Model):
    """How much load Fly's proxy gives one machine."""

    type: Literal["requests", "connections"] = "requests"
    """What is counted as load."""
    soft_limit: Annotated[int, Field(ge=1, le=100000)] = 80
    """Above this another machine is preferred."""
    hard_limit: Annotated[int, Field(ge=1, le=100000)] = 100
    """Above this requests wait."""


class Scaling(Model):
    """How many machines, and when they sleep."""

    count: Annotated[int, Field(ge=0, le=20)] = 1
    """Number of machines: 1, or with postgres 0; with topology replicated 2 or more that serve the API."""
    regions: Annotated[tuple[Region, ...], Field(strict=False, max_length=20)] = ()
    """Regions of the machines for the API of topology replicated, in turns; left out, all are in `region`."""
    min_machines_running: Annotated[int, Field(ge=0, le=20)] = 0
    """0: may sleep. 1: always on."""
    autostop: Literal["off", "stop", "suspend"] = "suspend"
    """What sleep is: suspend wakes in well under a second, stop in seconds, off never sleeps."""
    idle_after: Duration = timedelta(minutes=5)
    """Sleep after this much quiet."""
    windows: Annotated[tuple[AwakeWindow, ...], Field(strict=False, max_length=MOST_WINDOWS)] = ()
    """Times of the week in which the server stays awake: days, from, to, timezone (docs/schedules.md)."""
    concurrency: Concurrency = Concurrency()


class Replicate(Model):
    """A copy of the database in a bucket that follows every change, by Litestream."""

    url: BucketUrl
    """s3://BUCKET/PATH; the path is this environment's alone."""
    endpoint: Endpoint | None = None
    """Where S3 is, if not at Amazon: Tigris, R2, MinIO and others."""
    region: BucketRegion | None = None
    """Region of the bucket; left out, Litestream asks Amazon."""
    sync_interval: Duration = timedelta(seconds=1)
    """At most so much is lost with the volume; each interval with a change is a paid request."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        """Read the short form `s3://BUCKET/PATH` as the url."""
        return expand_url(value, Replicate)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Allow the short form, a url alone, beside the mapping."""
        return allow_url(handler.resolve_ref_schema(handler(core_schema)))


class SqliteDatabase(Model):
    """SQLite on a Fly volume: one machine, nothing else to run."""

    backend: Literal["sqlite"]
    volume_name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,30}$", examples=["prefect_data"])] = (
        "data"
    )
    """Name of the volume; another one for an app that was made without Roost."""
    volume_gb: Annotated[int, Field(ge=1, le=500)] = 1
    """Size of the volume in GB; it can grow, never shrink."""
    snapshot_retention_days: Annotated[int, Field(ge=1, le=60)] = 5
    """How long Fly keeps the daily snapshots."""
    extend: Extend | None = None
    """Let Fly extend the volume when it fills up; left out, it keeps its size."""
    retention: Retention = Retention()
    replicate: Replicate | None = None
    """Copy it to a bucket as it changes: s3://BUCKET/PATH, or a mapping with url and endpoint."""


class PostgresDatabase(Model):
    """A PostgreSQL server that runs somewhere else."""

    backend: Literal["postgres"]
    url_secret: Name
    """Name of the secret that holds the connection URL."""
    retention: Retention = Retention()
    backups: Backups | None = None
    """Keep the dumps of `roost backup` in a bucket: s3://BUCKET/PATH, or a mapping with url and endpoint."""


class Access(Model):
    """Who reaches the server."""

    public: bool = True
    """true: on the internet. false: only in the organization's private network (docs/github.md)."""
    auth: Literal["basic", "none"] = "basic"
    """basic: needs the secret PREFECT_SERVER_API_AUTH_STRING, as user:password."""
    internal_port: Annotated[int, Field(ge=1024, le=65535)] = 4200
    """Port of the server inside its machine, where Fly's proxy looks for it; the public ports stay 80 and 443."""
    ui: bool = True
    """false: the server has the API alone, without pages for a browser."""


class Ignored(Model):
    """A field in which live may differ: somebody else sets it."""

    field: Annotated[str, Field(pattern=IGNORABLE, examples=["guest.memory_mb"])]
    """The field as plans show it, such as guest.memory_mb, or env.NAME for a setting."""
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    """Who sets it, and why."""


class Drift(Model):
    """Where live may differ from this file, and whether the schedule puts back what a hand changed."""

    heal: bool = False
    """true: what a hand changed is put back on a schedule. false: it is only reported."""
    ignore: Annotated[tuple[Ignored, ...], Field(strict=False, max_length=50)] = ()
    """Fields that stay as they are found: shown as ignored, never healed, never overwritten."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        """Read the short form `heal` as heal: true."""
        written = expand_drift(value)
        if not isinstance(written, dict | Drift):
            raise ValueError("must be heal, or a mapping with heal and ignore")  # noqa: TRY004 - see Replicate
        return written

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Allow the short form, heal alone, beside the mapping."""
        written = handler.resolve_ref_schema(handler(core_schema))
        short = {"const": HEAL, "type": "string", "description": "The same as {heal: true}."}
        return {"anyOf": [short, written]}


class Environment(Model):
    """One file: one Fly app running one Prefect server, and what stands beside it."""

    app: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$", examples=["acme-prefect"])
    ]
    """Fly app name, world-wide; the server is https://APP.fly.dev, a private one http://APP.flycast."""
    organization: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = "personal"
    """Slug of the Fly organization that pays."""
    region: Annotated[Region, Field(examples=["iad"])]
    """Fly region the machine and its volume live in."""
    adopt: (
        Annotated[str, Field(pattern=r"^[0-9a-z]{8,32}$", examples=["148e21ea7d6389"])] | None
    ) = None
    """Id of a machine that was made without Roost and becomes the server's; `roost import` writes it."""
    protected: bool = False
    """true: no command or merge destroys it; on GitHub its buttons need the role maintain, or another's approval."""
    prune: bool = False
    """true: secrets that are set on the app but not listed here are removed."""
    prefect: Prefect
    environment: dict[str, SettingText] = {}  # noqa: RUF012 - pydantic copies it for each value
    """Variables of the server that are not Prefect's, such as TZ, HTTPS_PROXY or OTEL_*; secrets belong under `secrets`."""
    machine: Machine = Machine()
    scaling: Scaling = Scaling()
    database: Annotated[SqliteDatabase | PostgresDatabase, Field(discriminator="backend")] = (
        SqliteDatabase(backend="sqlite")
    )
    """Where the server keeps its data; it cannot be changed later without moving the data."""
    topology: Literal["single", "replicated"] = "single"
    """single: one machine. replicated: several, with PostgreSQL and Redis (docs/high-availability.md)."""
    redis: Redis | None = None
    """What the machines of topology replicated share; for nothing else."""
    access: Access = Access()
    health: Health = Health()
    drift: Drift = Drift()
    """`heal` alone, or a mapping with heal and ignore."""
    notify: Annotated[tuple[Notify, ...], Field(strict=False, max_length=20)] = ()
    """Who is told of a failed deploy, drift and more: Slack, Teams, Discord, e-mail (docs/operations.md)."""
    budget: Budget | None = None
    """What it may cost a month; more is reported, and nothing is stopped."""
    secrets: Annotated[tuple[Secret, ...], Field(strict=False, max_length=200)] = ()
    """Names, or {name: NAME, from: {env: OTHER}}; a value never stands here."""
    flows: Annotated[tuple[FlowServer, ...], Field(strict=False, max_length=20)] = ()
    """What runs flows on Fly.io for this server; each entry is an app of its own, APP-NAME."""
    waker: Waker | None = None
    """One small machine that is always on and wakes the organization's servers when a run is due."""

    @property
    def replicated(self) -> bool:
        """Whether several machines serve it, with one more for the background services."""
        return self.topology == "replicated"

    @property
    def all_secrets(self) -> tuple[tuple[SecretPlace, Secret], ...]:
        """Every secret that the file names, each with its place: those of servers come first."""
        return (*self.server_secrets, *self.addresses, *self.bucket_keys)

    @property
    def server_secrets(self) -> tuple[tuple[SecretPlace, Secret], ...]:
        """The secrets of the server, its objects and its flow servers, each with its place."""
        own = ((("secrets", index), secret) for index, secret in enumerate(self.secrets))
        of_objects = (
            (("prefect", "object_secrets", index), secret)
            for index, secret in enumerate(self.prefect.object_secrets)
        )
        theirs = (
            (("flows", number, "secrets", index), secret)
            for number, entry in enumerate(self.flows)
            for index, secret in enumerate(entry.secrets)
        )
        return (*own, *of_objects, *theirs)

    @property
    def addresses(self) -> tuple[tuple[SecretPlace, Secret], ...]:
        """The secrets with an address for messages, each with its place; no server has them."""
        return tuple(
            (("notify", index, "url_secret"), entry.url_secret)
            for index, entry in enumerate(self.notify)
        )

    @property
    def bucket_keys(self) -> tuple[tuple[SecretPlace, Secret], ...]:
        """The keys of the bucket with the dumps, each with its place; no server has them."""
        kept = self.backups
        if kept is None:
            return ()
        place = ("database", "backups")
        return (
            ((*place, "access_key"), kept.access_key),
            ((*place, "secret_key"), kept.secret_key),
        )

    @property
    def backups(self) -> Backups | None:
        """The bucket with the dumps of the Postgres; None without one."""
        database = self.database
        return database.backups if isinstance(database, PostgresDatabase) else None

    @property
    def sops_files(self) -> tuple[str, ...]:
        """The SOPS files that any secret names, sorted."""
        return tuple(sorted({secret.source.sops for _, secret in self.all_secrets} - {""}))
