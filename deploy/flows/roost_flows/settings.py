"""Read the machine's variables into settings. Pure functions of the environment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from roost_flows.errors import SettingsError
from roost_machine.sleep_request import ACTIONS

HEADER = "X-Roost-Flow-Server"
BOOT_VARIABLE = "ROOST_FLOW_BOOT"
MISSED = ("run_latest", "run_all", "skip")
OFF = "off"
# How often the command of a flow server on demand asks for work, in seconds. With Prefect's 10 s most
# of a short wake would be waiting. One that always runs asks as often as Prefect's default says.
POLL_S = "1"
LAST_PORT = 65535
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Settings:
    """What this start of the flow server works with.

    Attributes:
        name: the flow server's name, such as `nightly`.
        boot: a random id of this start.
        address: where the server can wake this machine.
        api_url: the address of Prefect's API, without a slash at its end.
        login: `user:password`, or empty for a server without a login.
        command: the user's command and its arguments.
        code: the user's folder in the image, in which the command runs.
        host, port: where the launcher listens.
        idle_action: `off`, `stop` or `suspend`.
        idle_after_s: the idle time after which the machine sleeps, in seconds.
        stop_limit_s: how long running flows may take to end at a stop, in seconds.
        missed: what the server does with missed runs.
        version: the version of the machine's config.
    """

    name: str
    boot: str
    address: str
    api_url: str
    login: str = field(repr=False)
    command: tuple[str, ...]
    code: Path
    host: str
    port: int
    idle_action: str
    idle_after_s: float
    stop_limit_s: float
    missed: str
    version: str

    @property
    def caller(self) -> str:
        """The header's value on each request of this start."""
        return f"{self.name}/{self.boot}"


def read_settings(environ: Mapping[str, str], boot: str) -> Settings:
    """Return the settings of a machine.

    Raises:
        SettingsError: names the variable and what it must be.
    """
    name = environ.get("ROOST_FLOW_SERVER", "")
    if not _NAME.fullmatch(name):
        raise SettingsError(_fault("ROOST_FLOW_SERVER", "the name of the flow server"))
    return Settings(
        name=name,
        boot=boot,
        address=_address(environ, "ROOST_FLOW_ADDRESS"),
        api_url=_address(environ, "PREFECT_API_URL"),
        login=environ.get("PREFECT_API_AUTH_STRING", ""),
        command=_command(environ),
        code=Path(environ.get("IMAGE_ROOT", "/opt/roost")) / "code",
        host=environ.get("ROOST_FLOW_HOST", "0.0.0.0"),  # noqa: S104 - Fly's proxy connects from outside of the machine
        port=_port(environ),
        idle_action=_choice(environ, "ROOST_IDLE_ACTION", (OFF, *ACTIONS)),
        idle_after_s=_seconds(environ, "ROOST_IDLE_AFTER_S", 120.0),
        stop_limit_s=_seconds(environ, "ROOST_STOP_LIMIT_S", 120.0),
        missed=_choice(environ, "ROOST_MISSED", MISSED),
        version=environ.get("FLY_MACHINE_VERSION", ""),
    )


def command_environment(
    settings: Settings, environ: Mapping[str, str], home: str
) -> dict[str, str]:
    """Return the environment of the user's command and of the canary; a user's value is kept.

    Args:
        settings: of this start.
        environ: the machine's variables.
        home: the folder for Prefect's own files, which needs not be kept.
    """
    names = ("PREFECT_RUNNER_POLL_FREQUENCY", "PREFECT_WORKER_QUERY_SECONDS")
    return {
        "PREFECT_HOME": home,
        **({} if settings.idle_action == OFF else dict.fromkeys(names, POLL_S)),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "DO_NOT_TRACK": "1",
        **environ,
        "PREFECT_CLIENT_CUSTOM_HEADERS": json.dumps(
            {**_custom_headers(environ), HEADER: settings.caller}
        ),
        BOOT_VARIABLE: settings.boot,
    }


def _custom_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the user set for Prefect's client."""
    name = "PREFECT_CLIENT_CUSTOM_HEADERS"
    try:
        headers = json.loads(environ.get(name) or "{}")
    except ValueError:
        headers = None
    if not isinstance(headers, dict):
        raise SettingsError(_fault(name, "a JSON object of headers"))
    return headers


def _command(environ: Mapping[str, str]) -> tuple[str, ...]:
    try:
        words = json.loads(environ.get("ROOST_FLOW_COMMAND", ""))
    except ValueError:
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
        raise SettingsError(_fault("ROOST_FLOW_COMMAND", "a JSON list of the command's words"))
    return tuple(words)


def _address(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").rstrip("/")
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(_fault(name, "an address that begins with http:// or https://"))
    return value


def _port(environ: Mapping[str, str]) -> int:
    value = environ.get("ROOST_FLOW_PORT", "8080")
    if not value.isdecimal() or not 0 < int(value) <= LAST_PORT:
        raise SettingsError(_fault("ROOST_FLOW_PORT", "a port number"))
    return int(value)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(environ.get(name, default))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise SettingsError(_fault(name, "a number of seconds"))
    return value


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = environ.get(name) or choices[0]
    if value not in choices:
        raise SettingsError(_fault(name, f"one of {', '.join(choices)}"))
    return value


def _fault(name: str, wanted: str) -> str:
    return f"{name} must be {wanted}. Deploy the environment again with `roost apply`"
