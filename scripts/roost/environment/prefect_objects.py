"""Prefect's own objects as values: the sections of their file, and its entries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

SECRET = "secret"  # noqa: S105 - a key of the file
"""The one key of a mapping that stands for a secret's value, as in `{secret: SLACK_URL}`."""


@dataclass(frozen=True)
class Section:
    """A section of the file.

    Args:
        fields: the fields that an entry may have: those of Prefect's create call.
        needed: those that it must have.
        name: the form of a name.
        rule: the form in words, after `a text`.
        counted: fields that Prefect counts itself, and a file must not set.
    """

    fields: frozenset[str]
    needed: tuple[str, ...]
    name: re.Pattern[str]
    rule: str
    counted: frozenset[str] = frozenset()


_PLAIN = re.compile(r"(?!\.+$)[^/%&><\x00-\x1f]+")
_PLAIN_RULE = "without / % & > <"
WORK_POOLS, LIMITS, VARIABLES = "work_pools", "concurrency_limits", "variables"
BLOCKS, AUTOMATIONS = "blocks", "automations"
# In the order in which they are created: an automation may name a block or a work pool.
SECTIONS: Mapping[str, Section] = {
    VARIABLES: Section(
        frozenset({"name", "value", "tags"}),
        ("name", "value"),
        re.compile(r"[a-z0-9_]+"),
        "of lower-case letters, digits and underscores",
    ),
    BLOCKS: Section(
        frozenset({"name", "type", "data"}),
        ("name", "type", "data"),
        re.compile(r"[a-z0-9][a-z0-9-]*"),
        "of lower-case letters, digits and dashes",
    ),
    LIMITS: Section(
        frozenset({"name", "limit", "active", "slot_decay_per_second"}),
        ("name", "limit"),
        _PLAIN,
        _PLAIN_RULE,
        frozenset({"active_slots", "denied_slots"}),
    ),
    WORK_POOLS: Section(
        frozenset(
            {
                *("name", "type", "description", "base_job_template", "is_paused"),
                *("concurrency_limit", "storage_configuration"),
            }
        ),
        ("name", "type"),
        re.compile(r"(?!prefect|\.+$)[^/%&><\x00-\x1f]+", re.IGNORECASE),
        f"{_PLAIN_RULE}, and not beginning with prefect, which is reserved",
    ),
    AUTOMATIONS: Section(
        frozenset(
            {
                *("name", "description", "enabled", "tags", "trigger", "actions"),
                *("actions_on_trigger", "actions_on_resolve"),
            }
        ),
        ("name", "trigger", "actions"),
        re.compile(r"[^\x00-\x1f]+"),
        "on one line",
    ),
}


@dataclass(frozen=True)
class PrefectObject:
    """One entry: its section, and the body of Prefect's create call."""

    section: str
    body: Json

    @property
    def name(self) -> str:
        """Its name on the server; of a block, `TYPE/NAME`."""
        name = str(self.body["name"])
        return f"{self.body['type']}/{name}" if self.section == BLOCKS else name

    @property
    def key(self) -> str:
        """What plans call it, such as `work_pools/etl`."""
        return f"{self.section}/{self.name}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets in its data, sorted."""
        return tuple(sorted({name for _, name in secret_places(self.body.get("data"))}))


@dataclass(frozen=True)
class ObjectsFile:
    """The objects of an environment, in the order to create them.

    Args:
        path: of the file, from the top of the repository.
        objects: its entries.
    """

    path: str
    objects: tuple[PrefectObject, ...]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of all secrets in it, sorted."""
        return tuple(sorted({name for found in self.objects for name in found.secrets}))


def secret_name(value: object) -> str:
    """Return the name of the secret that a value stands for; empty for any other value."""
    if isinstance(value, dict) and value.keys() == {SECRET} and isinstance(value[SECRET], str):
        return str(value[SECRET])
    return ""


def secret_places(
    value: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the place and the name of each secret in the data of a block."""
    if name := secret_name(value):
        yield path, name
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from secret_places(inner, (*path, str(key)))
