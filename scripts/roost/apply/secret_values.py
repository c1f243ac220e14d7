"""Where the values of declared secrets come from."""

from __future__ import annotations

from collections.abc import Mapping

from roost.environment.model import Secret
from roost.errors import MissingSecretError
from roost.secret_text import SecretText


def find_values(
    declared: tuple[Secret, ...], environ: Mapping[str, str]
) -> tuple[dict[str, SecretText], dict[str, str]]:
    """Give the values that are there, and for each missing one where it was looked for."""
    found: dict[str, SecretText] = {}
    missing: dict[str, str] = {}
    for secret in declared:
        variable = secret.source.env
        if not variable:
            missing[secret.name] = f"{secret.source.sops}, and SOPS files are not read yet,"
        elif value := environ.get(variable):
            found[secret.name] = SecretText(value)
        else:
            missing[secret.name] = f"the environment variable {variable}"
    return found, missing


def require(
    needed: tuple[str, ...], found: Mapping[str, SecretText], missing: Mapping[str, str]
) -> None:
    """Refuse to begin while a needed value is missing.

    Raises:
        MissingSecretError: names each missing value and where it was looked for.
    """
    absent = [f"{name} ({missing[name]} is not set)" for name in needed if name not in found]
    if absent:
        raise MissingSecretError(
            f"No value for {'; '.join(absent)}.",
            advice="Set it and run the same command again. Nothing was changed.",
        )
