"""The steps of a plan: frozen values with everything that carrying them out needs.

A step holds the names of secrets, never their values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

from roost.plan.secret_fingerprints import Marks
from roost.secret_text import HIDDEN

Json = dict[str, Any]


class Risk(IntEnum):
    """What a step puts at risk for the users of the server, from nothing to their data."""

    NONE = 0
    RESTART = 1
    DOWNTIME = 2
    MIGRATION = 3
    DATA = 4

    @property
    def word(self) -> str:
        """The risk as reports and JSON write it."""
        return self.name.lower()


@dataclass(frozen=True)
class Change:
    """A field's old and new value; None stands for absent."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, kw_only=True)
class BaseStep:
    """The fields that all steps have."""

    kind: ClassVar[str]
    key: str
    """Stable name, such as `machine/app-1`."""
    summary: str
    risk: Risk = Risk.NONE
    changes: tuple[Change, ...] = ()

    @property
    def own(self) -> Json:
        """The fields that its kind adds."""
        return {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if one.name not in _COMMON
        }


_COMMON = frozenset(one.name for one in dataclasses.fields(BaseStep))


@dataclass(frozen=True, kw_only=True)
class CreateApp(BaseStep):
    """Create the app."""

    kind = "create-app"
    app: str
    organization: str


@dataclass(frozen=True, kw_only=True)
class AssignIp(BaseStep):
    """Assign an address to the app."""

    kind = "assign-ip"
    ip_type: str


@dataclass(frozen=True, kw_only=True)
class ReleaseIp(BaseStep):
    """Release an address of the app."""

    kind = "release-ip"
    ip: str


@dataclass(frozen=True, kw_only=True)
class CreateVolume(BaseStep):
    """Create the volume, on a host with room for the machine."""

    kind = "create-volume"
    fields: Json
    """The API's fields: name, region, size_gb, snapshot_retention, compute, compute_image."""


@dataclass(frozen=True, kw_only=True)
class ExtendVolume(BaseStep):
    """Extend a volume. The machine's own step restarts it, so that it sees the new size."""

    kind = "extend-volume"
    volume: str
    size_gb: int


@dataclass(frozen=True, kw_only=True)
class UpdateVolume(BaseStep):
    """Change how long snapshots are kept."""

    kind = "update-volume"
    volume: str
    snapshot_retention: int


@dataclass(frozen=True, kw_only=True)
class SetSecrets(BaseStep):
    """Set secrets, by name, in one batch."""

    kind = "set-secrets"
    names: tuple[str, ...]
    sources: dict[str, str] = field(default_factory=dict)
    """The source of each value, by name. A value approved from one source is not set from another."""
    tried: str = ""
    """The secret whose database address is tested before any is set; empty for none."""

    @property
    def own(self) -> Json:
        """The fields that its kind adds; `tried` is left out if it is empty."""
        own = super().own
        if not self.tried:
            own.pop("tried")
        return own


@dataclass(frozen=True, kw_only=True)
class UnsetSecrets(BaseStep):
    """Remove secrets, by name, in one batch."""

    kind = "unset-secrets"
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CopyDatabase(BaseStep):
    """Have a machine copy its database from its volume to PostgreSQL, before it gets its new config."""

    kind = "copy-database"
    machine: str
    volume: str
    secret: str
    """The name of the secret with PostgreSQL's address."""


@dataclass(frozen=True, kw_only=True)
class CreateMachine(BaseStep):
    """Create a machine; the executor fills in the id of its volume."""

    kind = "create-machine"
    name: str
    region: str
    config: Json


@dataclass(frozen=True, kw_only=True)
class UpdateMachine(BaseStep):
    """Replace a machine's config, if the machine is still at `current_version`."""

    kind = "update-machine"
    machine: str
    current_version: str
    config: Json
    skip_launch: bool
    """True for a sleeping machine, which the update does not wake."""
    theirs: frozenset[str] = frozenset()
    """Variables of somebody else, sent unchanged and never shown."""

    @property
    def own(self) -> Json:
        """The fields that its kind adds; the values of `theirs` are hidden."""
        own = super().own
        own.pop("theirs")
        if self.theirs:
            env = {k: HIDDEN if k in self.theirs else v for k, v in self.config["env"].items()}
            own["config"] = {**self.config, "env": env}
        return own


@dataclass(frozen=True, kw_only=True)
class UpdateMetadata(BaseStep):
    """Change a machine's metadata without a restart; an empty value removes its key."""

    kind = "update-metadata"
    machine: str
    current_version: str
    values: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class StartMachine(BaseStep):
    """Start a machine that should be running."""

    kind = "start-machine"
    machine: str


@dataclass(frozen=True, kw_only=True)
class UncordonMachine(BaseStep):
    """Let the proxy send requests to a machine again."""

    kind = "uncordon-machine"
    machine: str


@dataclass(frozen=True, kw_only=True)
class ProveRelease(BaseStep):
    """Run the gate for a live release that has no verdict, because its apply was interrupted."""

    kind = "prove-release"
    machine: str
    current_version: str


@dataclass(frozen=True, kw_only=True)
class DestroyMachine(BaseStep):
    """Remove one of our machines that is no longer wanted; its volume stays."""

    kind = "destroy-machine"
    machine: str


@dataclass(frozen=True, kw_only=True)
class ReconcileObjects(BaseStep):
    """Make Prefect's own objects as their file says, after the gate; nothing else of the server's."""

    kind = "reconcile-objects"
    path: str
    """The file, from the top of the repository; empty if the environment names none any more."""
    objects: Json
    """By section, the bodies of Prefect's create calls; a secret is `{secret: NAME}`."""
    removed: tuple[str, ...] = ()
    """The keys of objects of an earlier file that are removed."""
    sources: dict[str, str] = field(default_factory=dict)
    """The source of each secret's value, by name."""

    @property
    def own(self) -> Json:
        """The fields that its kind adds; `sources` is left out if it is empty."""
        own = super().own
        if not self.sources:
            own.pop("sources")
        return own


Step = (
    CreateApp
    | AssignIp
    | ReleaseIp
    | CreateVolume
    | ExtendVolume
    | UpdateVolume
    | SetSecrets
    | UnsetSecrets
    | CopyDatabase
    | CreateMachine
    | UpdateMachine
    | UpdateMetadata
    | StartMachine
    | UncordonMachine
    | ProveRelease
    | DestroyMachine
    | ReconcileObjects
)


@dataclass(frozen=True)
class Refusal:
    """A change that the plan refuses, why, and what to do instead."""

    key: str
    what: str
    advice: str


PlanItem = Step | Refusal | str
"""One result of the comparison: a step, a refusal, or a warning."""


@dataclass(frozen=True)
class Plan:
    """The ordered steps from live to desired; a plan with refusals is not applied."""

    environment: str
    app: str
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    base: Json
    """The part of the live state that the steps depend on."""
    unchecked: tuple[str, ...] = ()
    """Secrets whose values are not available, so that a change is unknown."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The source of each declared secret's value, by name."""
    marks: Marks = field(default_factory=dict, repr=False)
    """The marks that stay valid, for the machines that get a config. Never shown."""

    @property
    def risk(self) -> Risk:
        """The highest risk of all steps."""
        return max((step.risk for step in self.steps), default=Risk.NONE)
