"""Settings against a full disk: how long data is kept, and how far a volume may grow."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from roost.environment.strict import Model

# Prefect's settings for retention, read by its vacuum service (prefect.server.services.db_vacuum).
EVENTS_SETTING = "PREFECT_SERVER_EVENTS_RETENTION_PERIOD"
VACUUM_SETTING = "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"
FLOW_RUNS_SETTING = "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"
KEEP = "keep"
EVENTS_DAYS = 7
"""Prefect's own default for events."""
MOST_DAYS = 3650
LEAST_PERCENT, MOST_PERCENT = 50, 99
MOST_GB = 500
_DAYS = re.compile(r"([1-9][0-9]{0,3})d", re.ASCII)


def parse_days(value: object) -> int:
    """Read `90d` as 90 days.

    Raises:
        ValueError: the value has another form, or is longer than ten years.
    """
    match = _DAYS.fullmatch(value) if isinstance(value, str) else None
    days = int(match[1]) if match else 0
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"must be a number of days from 1d to {MOST_DAYS}d, such as 90d")
    return days


def parse_days_or_keep(value: object) -> object:
    """Read `90d` as 90 days, and `keep` unchanged.

    Raises:
        ValueError: the value is neither.
    """
    if value == KEEP:
        return value
    try:
        return parse_days(value)
    except ValueError as error:
        raise ValueError(f"{error}; or keep, to delete none") from None


def format_days(value: int | str) -> str:
    """Write days in the form of the file: `90d`."""
    return value if isinstance(value, str) else f"{value}d"


_DAYS_SCHEMA = {"type": "string", "pattern": "^[1-9][0-9]{0,3}d$", "examples": ["7d", "90d"]}
Days = Annotated[
    int, BeforeValidator(parse_days), PlainSerializer(format_days), WithJsonSchema(_DAYS_SCHEMA)
]
DaysOrKeep = Annotated[
    int | Literal["keep"],
    BeforeValidator(parse_days_or_keep),
    PlainSerializer(format_days),
    WithJsonSchema({"anyOf": [{"const": KEEP, "type": "string"}, _DAYS_SCHEMA]}),
]


class Retention(Model):
    """How long Prefect keeps what it has written; its own vacuum service deletes the rest."""

    events: Days = EVENTS_DAYS
    """Events older than this are deleted."""
    flow_runs: DaysOrKeep = "keep"
    """Flow runs that ended so long ago are deleted, with their task runs, logs and artifacts; keep deletes none."""


class Extend(Model):
    """When Fly extends the volume by itself, and how far; it never shrinks."""

    at_percent: Annotated[int, Field(ge=LEAST_PERCENT, le=MOST_PERCENT)] = 80
    """Extend when so much of it is used."""
    add_gb: Annotated[int, Field(ge=1, le=MOST_GB)] = 1
    """GB that are added each time."""
    limit_gb: Annotated[int, Field(ge=1, le=MOST_GB)]
    """GB beyond which it is not extended; costs are shown up to it."""
