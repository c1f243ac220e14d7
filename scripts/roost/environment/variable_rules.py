"""Rules for variables in an environment file that are not settings of Prefect, such as TZ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from roost.environment.fields import Secret
from roost.environment.model import Environment
from roost.environment.rules import Finding

# What Fly, the image or Roost sets on every machine.
OWNED = frozenset(
    {
        *("PATH", "HOME", "IMAGE_ROOT", "PRIMARY_REGION", "DO_NOT_TRACK", "PREFECT_HOME"),
        *(
            "PYTHONPATH",
            "PYTHONHOME",
            "PYTHONSTARTUP",
            "VIRTUAL_ENV",
            "PY_KEY_VALUE_DISABLE_BEARTYPE",
        ),
    }
)
OWNED_PREFIXES = ("ROOST_", "FLY_", "LD_", "PREFECT__")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
_SECRET = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|TOKEN|SECRET|API_?KEY|CREDENTIALS?)(?:_|$)", re.IGNORECASE
)


def server_variables(environment: Environment) -> Iterator[Finding]:
    """The variables of the server must be neither Prefect's, nor Roost's, nor secrets."""
    for name, value in environment.environment.items():
        path = ("environment", name)
        if name.upper().startswith("PREFECT_"):
            yield path, f"{name} is a setting of Prefect; write it under prefect.settings"
        elif message := variable_fault(name, value, environment.secrets):
            yield path, message


def variable_fault(name: str, value: str, secrets: Iterable[Secret]) -> str:
    """Return why a variable cannot be set, and the fix; empty where it can.

    Args:
        name: its name.
        value: its value, which no message shows.
        secrets: those of the same machine.
    """
    if not _VARIABLE.fullmatch(name):
        return f"{name} is not the name of a variable"
    if is_owned(name):
        return f"{name} is set by roost; remove it"
    if any(secret.name == name for secret in secrets):
        return f"{name} is also under secrets; keep one"
    if "\0" in value:
        return f"{name} has a NUL character, which no environment variable can have"
    if is_secret_name(name):
        return (
            f"{name} looks like a secret, whose value never stands in a file; list it under secrets"
        )
    return ""


def is_secret_name(name: str) -> bool:
    """Return whether a name says that its value is a password or a token."""
    return _SECRET.search(name) is not None


def is_owned(name: str) -> bool:
    """Return whether Roost, Fly or the image sets a variable on every machine."""
    return name.upper() in OWNED or name.upper().startswith(OWNED_PREFIXES)
