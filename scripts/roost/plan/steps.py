"""The kinds of change a plan is made of: one frozen value each, with all that carrying it out needs.

A step never holds a secret's value, only its name.
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
    """What a step may cost the people who use the server, from nothing to their data."""

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
    """One field that gets another value; None stands for absent."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, kw_only=True)
class BaseStep:
    """What every step says of itself."""

    kind: ClassVar[str]
    key: str
    """Stable name, such as `machine/app-1`."""
    summary: str
    risk: Risk = Risk.NONE
    changes: tuple[Change, ...] = ()

    @property
    def own(self) -> Json:
        """The fields that its kind adds to what all steps say."""
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
    """Give the app an address."""

    kind = "assign-ip"
    ip_type: str


@dataclass(frozen=True, kw_only=True)
class ReleaseIp(BaseStep):
    """Take an address away."""

    kind = "release-ip"
    ip: str


@dataclass(frozen=True, kw_only=True)
class CreateVolume(BaseStep):
    """Create the volume, on a host that fits the machine."""

    kind = "create-volume"
    fields: Json
    """The API's fields: name, region, size_gb, snapshot_retention, compute, compute_image."""


@dataclass(frozen=True, kw_only=True)
class ExtendVolume(BaseStep):
    """Make a volume larger; its machine's own step then boots it, to see that."""

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
    """By name, where each value comes from; what was approved from one source is not set from another."""
    tried: str = ""
    """The one of them that is the address of a database, and is tried before any is set."""

    @property
    def own(self) -> Json:
        """The fields that its kind adds; that something is tried first changes nothing that is set."""
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
class CreateMachine(BaseStep):
    """Create a machine; its mount's volume is filled in when it is known."""

    kind = "create-machine"
    name: str
    region: str
    config: Json


@dataclass(frozen=True, kw_only=True)
class UpdateMachine(BaseStep):
    """Replace a machine's config, if it is still at `current_version`."""

    kind = "update-machine"
    machine: str
    current_version: str
    config: Json
    skip_launch: bool
    """True for a machine that sleeps: it is not woken for this."""
    theirs: frozenset[str] = frozenset()
    """Variables that are sent as they are found, and never shown or written."""

    @property
    def own(self) -> Json:
        """The fields that its kind adds, without the values that are not ours to show."""
        own = super().own
        own.pop("theirs")
        if self.theirs:
            env = {k: HIDDEN if k in self.theirs else v for k, v in self.config["env"].items()}
            own["config"] = {**self.config, "env": env}
        return own


@dataclass(frozen=True, kw_only=True)
class UpdateMetadata(BaseStep):
    """Change what a machine's metadata says, without a boot; an empty value removes its key."""

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
    """Prove a release that was sent and, because an apply was cut short, never judged."""

    kind = "prove-release"
    machine: str
    current_version: str


@dataclass(frozen=True, kw_only=True)
class DestroyMachine(BaseStep):
    """Remove a machine of ours that is no longer asked for; its volume stays."""

    kind = "destroy-machine"
    machine: str


Step = (
    CreateApp
    | AssignIp
    | ReleaseIp
    | CreateVolume
    | ExtendVolume
    | UpdateVolume
    | SetSecrets
    | UnsetSecrets
    | CreateMachine
    | UpdateMachine
    | UpdateMetadata
    | StartMachine
    | UncordonMachine
    | ProveRelease
    | DestroyMachine
)


@dataclass(frozen=True)
class Refusal:
    """What the plan will not do, why, and the way out."""

    key: str
    what: str
    advice: str


PlanItem = Step | Refusal | str
"""What a part of the comparison finds: a step, a refusal, or a warning."""


@dataclass(frozen=True)
class Plan:
    """The ordered steps from live to desired; a plan with refusals is not applied."""

    environment: str
    app: str
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    base: Json
    """The live state the plan was made from, as far as the steps depend on it."""
    unchecked: tuple[str, ...] = ()
    """Secrets whose values are not here, so that nobody can say whether they changed."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """By name, where the value of each declared secret comes from."""
    marks: Marks = field(default_factory=dict, repr=False)
    """The marks that stay true, for the machines that are sent a config. Never shown or written."""

    @property
    def risk(self) -> Risk:
        """The highest risk of all steps."""
        return max((step.risk for step in self.steps), default=Risk.NONE)
