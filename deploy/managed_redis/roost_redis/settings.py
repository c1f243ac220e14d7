"""Read the machine's variables into settings. Pure functions of the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from roost_redis.errors import SettingsError

PASSWORD = "REDIS_PASSWORD"  # noqa: S105 - the name, not the value
EVERY_ADDRESS = "::"
REDIS_PORT = 6379
LAST_PORT = 65535


@dataclass(frozen=True)
class Settings:
    """What this start of Redis works with.

    Attributes:
        listen: the address on which Redis listens, at port 6379.
        data: the folder of the volume.
        max_mb: the most memory that Redis uses for data, in MB.
        host, port: where the health is asked.
        password: what clients log in with, as the user `default`.
    """

    listen: str
    data: Path
    max_mb: int
    host: str
    port: int
    password: str = field(repr=False)

    @property
    def address(self) -> tuple[str, int]:
        """Where Redis is reached from this machine."""
        return ("::1" if self.listen == EVERY_ADDRESS else self.listen), REDIS_PORT


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings of a machine.

    Raises:
        SettingsError: names the variable and what it must be.
    """
    password = environ.get(PASSWORD, "")
    if not password:
        raise SettingsError(f"the secret {PASSWORD} has no value on this machine; {_AGAIN}")
    return Settings(
        listen=_text(environ, "ROOST_REDIS_LISTEN", r"[0-9a-fA-F.:]{2,45}", "an address"),
        data=Path(_text(environ, "ROOST_REDIS_DATA", r"/.{1,4095}", "the path of the volume")),
        max_mb=int(_text(environ, "ROOST_REDIS_MAX_MB", r"[1-9][0-9]{0,6}", "a number of MB")),
        host=environ.get("ROOST_HEALTH_HOST", "0.0.0.0"),  # noqa: S104 - Fly's checks come from outside of the machine
        port=_port(environ),
        password=password,
    )


_AGAIN = "set it and deploy the Redis again with `roost apply`"


def _text(environ: Mapping[str, str], name: str, form: str, wanted: str) -> str:
    value = environ.get(name, "")
    if not re.fullmatch(form, value) or '"' in value:
        raise SettingsError(f"{name} must be {wanted}; {_AGAIN}")
    return value


def _port(environ: Mapping[str, str]) -> int:
    value = environ.get("ROOST_HEALTH_PORT", "8080")
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) <= LAST_PORT:
        raise SettingsError(f"ROOST_HEALTH_PORT must be a port number; {_AGAIN}")
    return int(value)
