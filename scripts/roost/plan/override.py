"""Overrides: scaling other than the file's, for a limited time, with a reason.

An override is stored in the metadata of the environment's machines and sent together with the change
it makes, so neither exists without the other. Pure; the time is passed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from roost.environment.fields import Machine
from roost.environment.model import Environment, Scaling
from roost.environment.scale import SECTIONS, Fields, value_of
from roost.plan.desired import OVERRIDE_KEY, Desired
from roost.plan.document import canonical
from roost.plan.releases import by_number, records_in

Json = dict[str, Any]

LONGEST = timedelta(days=30)
"""The longest duration; a longer change belongs in the file."""
LONGEST_REASON = 200
_LONGEST_WHO = 100
_LONGEST_TEXT = 4096


@dataclass(frozen=True)
class Override:
    """Scaling in place of the file's until a time.

    Args:
        fields: the values that replace the file's.
        until: when it expires, with time zone.
        reason: why, in a person's words.
        who: who set it.
        since: when it was set.
    """

    fields: Fields
    until: datetime
    reason: str
    who: str
    since: datetime

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "fields", {n: self.fields[n] for n in SECTIONS if n in self.fields}
        )

    def document(self) -> Json:
        """Return the JSON form, as in metadata and in `--json`."""
        times = {"until": rfc3339(self.until), "since": rfc3339(self.since)}
        return {"fields": dict(self.fields), "reason": self.reason, "who": self.who, **times}

    def encoded(self) -> str:
        """Return the text form for metadata."""
        return canonical(self.document())

    def summary(self) -> str:
        """Return its values and when it expires."""
        values = ", ".join(f"{name} {value}" for name, value in self.fields.items())
        return f"{values} until {utc_text(self.until)}"

    def sentence(self, environment: Environment) -> str:
        """Return a sentence with its values beside those of the file."""
        values = ", ".join(
            f"{name} {value} instead of {value_of(environment, name)}"
            for name, value in self.fields.items()
        )
        return f"Override until {utc_text(self.until)} by {self.who} ({self.reason}): {values}."


def rfc3339(moment: datetime) -> str:
    """Return a time in RFC 3339 form, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def utc_text(moment: datetime) -> str:
    """Return a time for people, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def decode(text: str) -> Override | None:
    """Return the override in a text; None if the text has another form."""
    try:
        return _read(json.loads(text)) if len(text) <= _LONGEST_TEXT else None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _read(document: Json) -> Override | None:
    override = Override(
        fields=document["fields"],
        until=datetime.fromisoformat(document["until"]),
        reason=document["reason"],
        who=document["who"],
        since=datetime.fromisoformat(document["since"]),
    )
    return override if override.document() == document and _is_sane(override) else None


def _is_sane(override: Override) -> bool:
    """Return whether an override has the limits of one that Roost writes; check its fields.

    Raises:
        ValidationError: a field breaks the rules of the environment file.
    """
    Machine.model_validate(_of("machine", override.fields))
    Scaling.model_validate(_of("scaling", override.fields))
    return (
        bool(override.fields)
        and timedelta() < override.until - override.since <= LONGEST
        and 0 < len(override.reason) <= LONGEST_REASON
        and 0 < len(override.who) <= _LONGEST_WHO
    )


def _of(section: str, fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if SECTIONS[name] == section}


def noted(metadata: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata patch for values that need no restart; an empty value removes its key.

    The values also go into the record of the live release, so that a rollback to it restores them.
    """
    releases = by_number(records_in(metadata))
    if not releases:
        return dict(values)
    last = releases[-1]
    merged = {**last.config["metadata"], **values}
    config = {**last.config, "metadata": {key: value for key, value in merged.items() if value}}
    return {**values, last.key: replace(last, config=config).encoded()}


def marked(desired: Desired, override: Override | None) -> Desired:
    """Return the desired state with the override in each machine's metadata."""
    if override is None:
        return desired
    mark = {OVERRIDE_KEY: override.encoded()}
    machines = tuple(
        replace(m, config={**m.config, "metadata": {**m.config["metadata"], **mark}})
        for m in desired.machines
    )
    return replace(desired, machines=machines)
