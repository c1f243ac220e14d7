"""Read the machine's variables into settings. Pure functions of the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from roost_waker.announcement import LOOPBACK, is_private
from roost_waker.errors import SettingsError

LAST_PORT = 65535
_APP = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Settings:
    """What this start of the waker works with.

    Attributes:
        app: the waker's own app.
        address: the address at which servers reach it.
        host, port: where it listens.
        version: the version of the machine's config.
    """

    app: str
    address: str
    host: str
    port: int
    version: str

    @property
    def is_local(self) -> bool:
        """Whether it runs on a local Fly, where the address of an app is a port of this computer."""
        return bool(LOOPBACK.fullmatch(self.address))


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings of a machine.

    Raises:
        SettingsError: names the variable and what it must be.
    """
    app, address = environ.get("FLY_APP_NAME", ""), environ.get("ROOST_WAKER_ADDRESS", "")
    if not _APP.fullmatch(app):
        raise SettingsError(_fault("FLY_APP_NAME", "the name of the waker's app"))
    if not is_private(address, app) and not LOOPBACK.fullmatch(address):
        raise SettingsError(_fault("ROOST_WAKER_ADDRESS", f"http://{app}.flycast"))
    return Settings(
        app=app,
        address=address,
        host=environ.get("ROOST_WAKER_HOST", "0.0.0.0"),  # noqa: S104 - Fly's proxy connects from outside of the machine
        port=_port(environ),
        version=environ.get("FLY_MACHINE_VERSION", ""),
    )


def _port(environ: Mapping[str, str]) -> int:
    value = environ.get("ROOST_WAKER_PORT", "8080")
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) <= LAST_PORT:
        raise SettingsError(_fault("ROOST_WAKER_PORT", "a port number"))
    return int(value)


def _fault(name: str, wanted: str) -> str:
    return f"{name} must be {wanted}. Deploy the waker again with `roost apply`"
