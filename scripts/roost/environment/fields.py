"""Fields that several sections of an environment file share."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from roost.environment.strict import Model

SIZES = (
    *(f"shared-cpu-{cpus}x" for cpus in (1, 2, 4, 6, 8)),
    *(f"performance-{cpus}x" for cpus in (1, 2, 4, 6, 8, 10, 12, 14, 16)),
)
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)
NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"


def parse_duration(value: object) -> timedelta:
    """Read `90s`, `5m` or `1h30m`.

    Raises:
        ValueError: the value has another form.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if not match:
        raise ValueError("is not a duration; write a number and its unit, such as 90s, 5m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(value: timedelta) -> str:
    """Write a duration in the form of the file: `5m`, `1h30m`, `0s`."""
    total = int(value.total_seconds())
    parts = ((total // 3600, "h"), (total % 3600 // 60, "m"), (total % 60, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def setting_text(value: object) -> object:
    """Return a setting as the text that was written, because it becomes an environment variable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return getattr(value, "source", value)


Name = Annotated[str, Field(pattern=NAME)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 2,
            "pattern": "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$",
            "examples": ["90s", "5m", "1h30m"],
        }
    ),
]
SettingText = Annotated[
    str,
    BeforeValidator(setting_text),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]


class Machine(Model):
    """The size of the machine."""

    size: Annotated[Literal[SIZES], Field(examples=["shared-cpu-1x"])] = "shared-cpu-1x"  # type: ignore[valid-type] # one tuple serves model and messages
    """Fly's name of the CPU size."""
    memory_mb: Annotated[int, Field(ge=256, le=131072, multiple_of=256)] = 512
    """Memory in MB, in steps of 256; 512 is comfortable for Prefect."""


class Source(Model):
    """Where a secret's value comes from: exactly one of the two."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    env: Annotated[str, Field(pattern=NAME)] = ""
    """An environment variable of the process that runs roost; not one of its own credentials."""
    sops: Annotated[str, Field(min_length=1, max_length=512)] = ""
    """A SOPS file with age, named from the top of the repository; the secret's name is its key there."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.env) == bool(self.sops):
            raise ValueError("must name one source, either {env: NAME} or {sops: FILE}")
        return self

    @property
    def description(self) -> str:
        """The source as plans name it, such as `env SLACK_HOOK` or `sops production.sops.yaml`."""
        if self.env:
            return f"env {self.env}"
        plain = re.fullmatch(r"[A-Za-z0-9._/-]+", self.sops)
        return f"sops {self.sops if plain else json.dumps(self.sops)}"


class Secret(Model):
    """A secret of the app; its value never stands in this file."""

    name: Name
    source: Annotated[Source, Field(alias="from")]

    @property
    def key(self) -> str:
        """The name of the value in a SOPS file."""
        return self.name

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        """Read the short form `NAME` as the environment variable of that name."""
        written = {"name": value} if isinstance(value, str) else value
        if isinstance(written, dict) and "from" not in written:
            name = written.get("name")
            # An invalid name is reported once, as the name, and not again as the variable.
            good = isinstance(name, str) and re.fullmatch(NAME, name)
            return {**written, "from": {"env": name if good else "NAME"}}
        return written

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Allow the short form, a name alone, beside the mapping."""
        written = handler.resolve_ref_schema(handler(core_schema))
        written["required"] = ["name"]
        name = {"type": "string", "pattern": NAME}
        return {"anyOf": [name, written]}
