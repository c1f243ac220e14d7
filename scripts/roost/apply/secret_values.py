"""Where the values of declared secrets come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from roost.apply.login import login_fault
from roost.apply.sops import SopsFiles, Unread
from roost.environment.model import AUTH_SECRET, Secret
from roost.errors import MissingSecretError, UnusableSecretError
from roost.secret_text import SecretText


@dataclass(frozen=True)
class Values:
    """The values that are here, and for each that is not, why."""

    found: Mapping[str, SecretText] = field(default_factory=dict)
    missing: Mapping[str, Unread] = field(default_factory=dict)

    @property
    def unusable(self) -> Mapping[str, Unread]:
        """The secrets that have a value which cannot work, and why."""
        return {name: unread for name, unread in self.missing.items() if unread.unusable}

    def with_made(self, made: Mapping[str, SecretText]) -> Values:
        """Give them with values that were made up for missing ones."""
        missing = {name: why for name, why in self.missing.items() if name not in made}
        return Values({**self.found, **made}, missing)


def find_values(
    declared: tuple[Secret, ...], environ: Mapping[str, str], files: SopsFiles
) -> Values:
    """Look for the value of each declared secret where the environment file says it comes from."""
    found: dict[str, SecretText] = {}
    missing: dict[str, Unread] = {}
    for secret in declared:
        value = _usable(secret, _look_for(secret, environ, files))
        if isinstance(value, Unread):
            missing[secret.name] = value
        else:
            found[secret.name] = value
    return Values(found, missing)


def _usable(secret: Secret, value: SecretText | Unread) -> SecretText | Unread:
    """Return a value, or why it cannot work: of the login alone the form is known."""
    if isinstance(value, Unread) or secret.name != AUTH_SECRET:
        return value
    fault = login_fault(value)
    if not fault:
        return value
    return Unread(f"its value in {told_source(secret)} {fault}", "Correct it.", unusable=True)


def _look_for(secret: Secret, environ: Mapping[str, str], files: SopsFiles) -> SecretText | Unread:
    source = secret.source
    if source.sops:
        return files.value(source.sops, secret.name)
    value = SecretText(environ.get(source.env, ""))
    if value:
        not_text = Unread(f"${source.env} is not UTF-8 text", "Correct it.", unusable=True)
        return value if value.is_text else not_text
    return Unread(f"the environment variable {source.env} is not set", "Set it.")


def told_source(secret: Secret) -> str:
    """Say where a value comes from."""
    return secret.source.sops or f"${secret.source.env}"


def check_usable(values: Values) -> None:
    """Refuse to begin with a value that cannot work, whether or not it would be set now.

    Raises:
        UnusableSecretError: names each secret and what is wrong, and no value.
    """
    if values.unusable:
        reasons = "; ".join(f"{name}: {bad.why}" for name, bad in sorted(values.unusable.items()))
        raise UnusableSecretError(
            f"{reasons}.",
            advice="Correct it, then run the same command again. Nothing was changed.",
        )


def require(needed: Iterable[str], values: Values) -> None:
    """Refuse to begin while a needed value is missing.

    Raises:
        MissingSecretError: names each missing value, where it was looked for and what to do.
    """
    absent = {name: values.missing[name] for name in sorted(needed) if name not in values.found}
    if absent:
        reasons = "; ".join(f"{name} ({unread.why})" for name, unread in absent.items())
        advice = " ".join(dict.fromkeys(unread.advice for unread in absent.values()))
        raise MissingSecretError(
            f"No value for {reasons}.",
            advice=f"{advice} Then run the same command again. Nothing was changed.",
        )
