"""Find the values of declared secrets in their sources, and check their form before use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from roost.apply.sops import SopsFiles, Unread
from roost.environment.fields import Secret
from roost.environment.flow_server import CLIENT_LOGIN
from roost.environment.model import AUTH_SECRET, Environment, PostgresDatabase
from roost.environment.postgres_address import address_fault, address_note, native_fault
from roost.environment.redis import PASSWORD
from roost.environment.redis_address import password_fault, redis_fault
from roost.errors import MissingSecretError, UnusableSecretError
from roost.secret_text import SecretText

_QUOTES = "\"'`"
"""A client that reads its login from a file may leave these out."""


@dataclass(frozen=True)
class Values:
    """The values that were found, and for each other secret why it has none."""

    found: Mapping[str, SecretText] = field(default_factory=dict)
    missing: Mapping[str, Unread] = field(default_factory=dict)

    @property
    def unusable(self) -> Mapping[str, Unread]:
        """The secrets whose value cannot work, and why."""
        return {name: unread for name, unread in self.missing.items() if unread.unusable}

    def with_made(self, made: Mapping[str, SecretText]) -> Values:
        """Return these values with generated ones for missing secrets."""
        missing = {name: why for name, why in self.missing.items() if name not in made}
        return Values({**self.found, **made}, missing)


Fault = Callable[[SecretText], str]
"""Returns the fault of a value as the rest of a sentence, without any part of the value."""


def find_values(environment: Environment, environ: Mapping[str, str], files: SopsFiles) -> Values:
    """Read the value of each declared secret from the source that the environment file names."""
    return _read(environment.secrets, _forms(environment), environ, files)


def find_object_values(
    environment: Environment, environ: Mapping[str, str], files: SopsFiles
) -> Values:
    """Read the value of each secret of Prefect's blocks; see `find_values`."""
    return _read(environment.prefect.object_secrets, {}, environ, files)


def find_addresses(
    environment: Environment, environ: Mapping[str, str], files: SopsFiles
) -> Values:
    """Read each address for messages; see `find_values`."""
    return _read((secret for _, secret in environment.addresses), {}, environ, files)


def find_bucket_keys(
    environment: Environment, environ: Mapping[str, str], files: SopsFiles
) -> Values:
    """Read the keys of the bucket with the dumps; see `find_values`."""
    return _read((secret for _, secret in environment.bucket_keys), {}, environ, files)


def _read(
    secrets: Iterable[Secret],
    forms: Mapping[str, Fault],
    environ: Mapping[str, str],
    files: SopsFiles,
) -> Values:
    found: dict[str, SecretText] = {}
    missing: dict[str, Unread] = {}
    for secret in secrets:
        value = _usable(secret, _look_for(secret, environ, files), forms.get(secret.name))
        if isinstance(value, Unread):
            missing[secret.name] = value
        else:
            found[secret.name] = value
    return Values(found, missing)


def _forms(environment: Environment) -> dict[str, Fault]:
    """Return the check for each secret whose form is known, by name."""
    forms: dict[str, Fault] = {AUTH_SECRET: login_fault, CLIENT_LOGIN: login_fault}
    database = environment.database
    if isinstance(database, PostgresDatabase):
        declared = frozenset(secret.name for secret in environment.secrets)
        if environment.prefect.image:
            forms[database.url_secret] = lambda value: native_fault(value.reveal())
        else:
            forms[database.url_secret] = lambda value: address_fault(value.reveal(), declared)
    if redis := environment.redis:
        if redis.url_secret:
            forms[redis.url_secret] = lambda value: redis_fault(value.reveal())
        if redis.managed:
            forms[PASSWORD] = lambda value: password_fault(value.reveal())
    return forms


def _usable(secret: Secret, value: SecretText | Unread, form: Fault | None) -> SecretText | Unread:
    """Return a value if its form is valid, else why not."""
    if isinstance(value, Unread) or form is None:
        return value
    fault = form(value)
    if not fault:
        return value
    return Unread(f"its value in {source_text(secret)} {fault}", "Correct it.", unusable=True)


def database_note(environment: Environment, values: Values) -> str:
    """Return a sentence that names a better address for the database; empty if there is none."""
    database = environment.database
    if not isinstance(database, PostgresDatabase) or database.url_secret not in values.found:
        return ""
    note = address_note(values.found[database.url_secret].reveal())
    return f"{database.url_secret}: {note}" if note else ""


def _look_for(secret: Secret, environ: Mapping[str, str], files: SopsFiles) -> SecretText | Unread:
    source = secret.source
    if source.sops:
        return files.value(source.sops, secret.key)
    value = SecretText(environ.get(source.env, ""))
    if value:
        not_text = Unread(f"${source.env} is not UTF-8 text", "Correct it.", unusable=True)
        return value if value.is_text else not_text
    return Unread(f"the environment variable {source.env} is not set", "Set it.")


def source_text(secret: Secret) -> str:
    """Return the source of a secret's value, for people."""
    return secret.source.sops or f"${secret.source.env}"


def check_usable(values: Values) -> None:
    """Check that every value that was found can work, whether or not it is set now.

    Raises:
        UnusableSecretError: names each secret and its fault, without the value.
    """
    if values.unusable:
        reasons = "; ".join(f"{name}: {bad.why}" for name, bad in sorted(values.unusable.items()))
        raise UnusableSecretError(
            f"{reasons}.",
            advice="Correct it, then run the same command again. Nothing was changed.",
        )


def require(needed: Iterable[str], values: Values) -> None:
    """Check that every needed value was found.

    Raises:
        MissingSecretError: names each missing value, its source and how to set it.
    """
    refuse_missing(missing_of(needed, values))


def missing_of(needed: Iterable[str], values: Values) -> dict[str, Unread]:
    """Return each needed value that was not found, and why, sorted by name."""
    return {name: values.missing[name] for name in sorted(needed) if name not in values.found}


def refuse_missing(absent: Mapping[str, Unread]) -> None:
    """Refuse to go on without these values; do nothing if there are none.

    Raises:
        MissingSecretError: names each missing value, its source and how to set it.
    """
    if absent:
        reasons = "; ".join(f"{name} ({unread.why})" for name, unread in absent.items())
        advice = " ".join(dict.fromkeys(unread.advice for unread in absent.values()))
        raise MissingSecretError(
            f"No value for {reasons}.",
            advice=f"{advice} Then run the same command again. Nothing was changed.",
        )


def login_fault(value: SecretText) -> str:
    """Return the fault of a login as the rest of a sentence; empty if the login works.

    The text contains no part of the value. Prefect answers 500 to every call if the login is not
    ASCII (it compares with `hmac.compare_digest`). A line break or quotes in the server's login lock
    out every client that leaves them out.
    """
    text = value.reveal()
    user, colon, password = text.partition(":")
    part = "password" if user.strip() else "user"
    not_ascii = "has a character that is not ASCII, with which Prefect answers 500 to every call"
    faults = (
        (any(char in "\r\n\t" for char in text), "has a line break or a tab in it"),
        (text != text.strip(), "begins or ends with white space"),
        (text.strip(_QUOTES) != text, "begins or ends with a quotation mark"),
        (not text.isascii(), not_ascii),
        (not text.isprintable(), "has a character that cannot be printed"),
        (not colon, "has no colon: its form is user:password"),
        (not user.strip() or not password.strip(), f"has no {part}: its form is user:password"),
    )
    return next((fault for is_fault, fault in faults if is_fault), "")
