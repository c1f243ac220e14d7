"""The fields of a machine's config that an import reads, with the types that Fly documents.

A field of another type is refused by its name, and not guessed around. Unknown fields are no fault.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roost.errors import NotImportableError
from roost.fly.models import Machine

_Number = Field(default=None, ge=0, le=2**31)
_Duration = int | str | None


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


class _Start(_Shape):
    exec: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None


class _Check(_Shape):
    type: str | None = None
    path: str | None = None
    interval: _Duration = None
    timeout: _Duration = None
    grace_period: _Duration = None


class _Port(_Shape):
    port: int | None = _Number
    force_https: bool | None = None


class _Concurrency(_Shape):
    type: str | None = None
    soft_limit: int | None = _Number
    hard_limit: int | None = _Number


class _Service(_Shape):
    protocol: str | None = None
    internal_port: int | None = _Number
    autostop: bool | str | None = None
    autostart: bool | None = None
    min_machines_running: int | None = _Number
    ports: list[_Port] | None = None
    concurrency: _Concurrency | None = None
    checks: list[_Check] | None = None


class _Guest(_Shape):
    cpu_kind: str | None = None
    cpus: int | None = _Number
    memory_mb: int | None = _Number
    gpu_kind: str | None = None


class _Mount(_Shape):
    volume: str | None = None
    path: str | None = None
    name: str | None = None
    extend_threshold_percent: int | None = _Number
    add_size_gb: int | None = _Number
    size_gb_limit: int | None = _Number


class _Config(_Shape):
    image: str | None = None
    env: dict[str, str | int | float | bool] | None = None
    metadata: dict[str, str] | None = None
    guest: _Guest | None = None
    init: _Start | None = None
    processes: list[_Start] | None = None
    services: list[_Service] | None = None
    checks: dict[str, _Check] | None = None
    mounts: list[_Mount] | None = None


def check_shape(app: str, machine: Machine) -> None:
    """Check that the fields that an import reads have the types that Fly documents.

    Raises:
        NotImportableError: one has another type; names the field, and not its value.
    """
    try:
        _Config.model_validate(machine.config or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise NotImportableError(
            f"The config of the machine {machine.id} is not as Fly documents it at {place}: {first['msg']}.",
            where=app,
            advice=f"See it with `fly machine status {machine.id} -a {app} --display-config`, and correct it.",
        ) from None
