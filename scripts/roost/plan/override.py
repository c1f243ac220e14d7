"""An override: other scaling than the file's, for a time, with a reason. A value, and its text.

It lives in the metadata of the environment's machines, and is sent with the very change it is
about: there is never the one without the other. Pure; the time is passed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from roost.environment.model import Environment, Machine, Scaling
from roost.environment.scale import SECTIONS, Fields, value_of
from roost.plan.desired import OVERRIDE_KEY, Desired
from roost.plan.document import canonical
from roost.plan.releases import by_number, records_in

Json = dict[str, Any]

LONGEST = timedelta(days=30)
"""What is to last longer belongs into the file."""
LONGEST_REASON = 200
_LONGEST_WHO = 100
_LONGEST_TEXT = 4096


@dataclass(frozen=True)
class Override:
    """Other scaling until a time.

    Args:
        fields: the values that stand instead of the file's.
        until: when it ends, with its time zone.
        reason: why, in a person's words.
        who: who asked for it.
        since: when that was.
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
        """Return it as JSON: the form it has in metadata and in `--json`."""
        times = {"until": rfc3339(self.until), "since": rfc3339(self.since)}
        return {"fields": dict(self.fields), "reason": self.reason, "who": self.who, **times}

    def encoded(self) -> str:
        """Return it as the text that metadata holds."""
        return canonical(self.document())

    def summary(self) -> str:
        """Return what it sets, and until when."""
        values = ", ".join(f"{name} {value}" for name, value in self.fields.items())
        return f"{values} until {utc_text(self.until)}"

    def sentence(self, environment: Environment) -> str:
        """Report all of it in a sentence, beside what the file asks for."""
        values = ", ".join(
            f"{name} {value} instead of {value_of(environment, name)}"
            for name, value in self.fields.items()
        )
        return f"Override until {utc_text(self.until)} by {self.who} ({self.reason}): {values}."


def rfc3339(moment: datetime) -> str:
    """Write a time as metadata and JSON have it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def utc_text(moment: datetime) -> str:
    """Write a time for people."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def decode(text: str) -> Override | None:
    """Read an override; None for what is none, whoever wrote it."""
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
    """Hold it to what one that we write is held to; its fields to what the file's are held to."""
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
    """Return what to write for values that change nothing else of a machine; empty ones are removed.

    The record of the release that runs says them too, so that going back to it is true.
    """
    releases = by_number(records_in(metadata))
    if not releases:
        return dict(values)
    last = releases[-1]
    told = {**last.config["metadata"], **values}
    config = {**last.config, "metadata": {key: value for key, value in told.items() if value}}
    return {**values, last.key: replace(last, config=config).encoded()}


def marked(desired: Desired, override: Override | None) -> Desired:
    """Return what is desired with the override written on each machine."""
    if override is None:
        return desired
    mark = {OVERRIDE_KEY: override.encoded()}
    machines = tuple(
        replace(m, config={**m.config, "metadata": {**m.config["metadata"], **mark}})
        for m in desired.machines
    )
    return replace(desired, machines=machines)
