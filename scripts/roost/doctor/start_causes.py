"""Why a server does not start, recognized by the words that it, Prefect or its driver wrote. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from roost.plan.trial import SENTENCES


class Fix(Enum):
    """What kind of change corrects a cause."""

    ADDRESS = "address"
    """The value of the secret with the database's address."""
    DATABASE = "database"
    """Something at the database itself."""
    SETTING = "setting"
    VERSION = "version"
    VOLUME = "volume"
    PORT = "port"
    REDIS = "redis"
    IMAGE = "image"
    MIGRATION = "migration"


@dataclass(frozen=True)
class Cause:
    """A cause, and how to know it.

    Args:
        fix: what corrects it.
        what: the cause, for people.
        pattern: the words that show it.
    """

    fix: Fix
    what: str
    pattern: re.Pattern[str]


def _cause(fix: Fix, what: str, *ways: str) -> Cause:
    return Cause(fix, what, re.compile("|".join(ways), re.IGNORECASE))


def _tried(code: int, fix: Fix, *ways: str) -> Cause:
    """Return the cause of a trial's exit code: its own sentence shows it as well."""
    return _cause(fix, SENTENCES[code], re.escape(SENTENCES[code][:60]), *ways)


_NO_LISTENER = "it does not listen on the port that Fly asks"
# Anything may take too long; these words say that it was the database.
_DATABASE = r"(database|postgres\w*|asyncpg|connection to server)\b"
_TIMEOUT = r"(TimeoutError|connection timed out)"
# They are the words of errors: a name alone also stands in lines that report progress.
# asyncpg's and the system's words, as tests/e2e/test_doctor_server.py and the launcher's own tests
# (tests/unit/deploy/test_postgres_faults.py) have them. The order counts: the first that fits is taken.
CAUSES = (
    _cause(
        Fix.SETTING,
        "Prefect refuses a setting",
        r"a Prefect setting is wrong \(",
    ),
    _cause(
        Fix.VERSION,
        "a newer Prefect has migrated the database, and this version cannot read it",
        r"a newer Prefect has migrated",
        r"Can't locate revision identified by",
    ),
    _cause(
        Fix.VOLUME,
        "the volume is full",
        r"No space left on device",
        r"database or disk is full",
        r"\bENOSPC\b",
        r"the volume has \d+ MB for \d+ MB",
        r"the volume is 100 % full",
    ),
    _tried(
        21,
        Fix.ADDRESS,
        r"password authentication failed",
        r"InvalidPasswordError",
        r"role \S+ does not exist",
    ),
    _tried(38, Fix.ADDRESS, r"Tenant or user not found"),
    _tried(39, Fix.ADDRESS, r"Endpoint ID is not specified"),
    _tried(23, Fix.ADDRESS, r"InvalidCatalogNameError", r"database \S+ does not exist"),
    _tried(28, Fix.ADDRESS, r"SSL connection is required", r"connection requires a valid SSL"),
    _tried(22, Fix.ADDRESS, r"no pg_hba\.conf entry", r"InvalidAuthorizationSpecificationError"),
    _tried(27, Fix.ADDRESS, r"certificate verify failed", r"CERTIFICATE_VERIFY_FAILED"),
    _tried(29, Fix.ADDRESS, r"rejected SSL upgrade", r"server does not support SSL"),
    _cause(
        Fix.ADDRESS,
        "the secret with the database's address has no usable value",
        r"has no value on this app",
        r"is no Postgres address",
        r"has no host and port after its first @",
        r"has an option after its \? that asyncpg",
        r"has another sslmode than",
    ),
    _tried(
        24,
        Fix.ADDRESS,
        r"gaierror",
        r"Name or service not known",
        r"nodename nor servname",
        r"Temporary failure in name resolution",
        r"No address associated with hostname",
    ),
    _tried(30, Fix.ADDRESS),
    _tried(31, Fix.DATABASE, r"too many connections", r"remaining connection slots", r"EMAXCONN"),
    _tried(32, Fix.DATABASE, r"the database system is (starting up|shutting down)"),
    _tried(33, Fix.DATABASE, r"permission denied for schema"),
    _tried(34, Fix.ADDRESS, r"read-only transaction", r"ReadOnlySQLTransactionError"),
    _tried(35, Fix.DATABASE, r"gen_random_uuid\(\) does not exist"),
    _tried(36, Fix.DATABASE, r"permission denied to create extension"),
    _cause(
        Fix.MIGRATION,
        "another session holds the lock of the database's migration",
        r"has held the migration lock",
    ),
    _cause(
        Fix.REDIS,
        "the Redis of redis.url_secret cannot be used",
        r"the address of the Redis cannot be read",
        r"the Redis refuses the user",
        r"the Redis does not answer",
        r"the Redis is (a cluster|a read-only replica|\S+, and Prefect needs)",
        r"redis\.exceptions\.\w+Error",
    ),
    _cause(
        Fix.PORT,
        _NO_LISTENER,
        r"it cannot listen on its port",
        r"Address already in use",
    ),
    _tried(
        25,
        Fix.ADDRESS,
        r"ConnectionRefusedError",
        r"Connect call failed",
        r"connection to server .*Connection refused",
    ),
    _tried(
        26,
        Fix.ADDRESS,
        rf"{_DATABASE}.*{_TIMEOUT}",
        rf"{_TIMEOUT}.*{_DATABASE}",
    ),
    _cause(
        Fix.IMAGE,
        "the image cannot be pulled",
        r"manifest unknown",
        r"could not pull image",
        r"failed to (pull|get) (the )?(image|manifest)",
    ),
    _cause(
        Fix.MIGRATION,
        "a migration of the database failed",
        r"\balembic\.util\.",
        r"\balembic[\w.]*Error\b",
        r"\balembic[^,;]* failed",
        r"migrations? failed",
    ),
)
# Fly's proxy and its checks say this of every server that does not listen, whatever ended it: it counts if
# nothing else was found.
_BY_PROXY = _cause(
    Fix.PORT,
    _NO_LISTENER,
    r"instance refused connection",
    r"is your app listening on",
    r"connect: connection refused",
)


@dataclass(frozen=True)
class Found:
    """A cause, and the words that showed it."""

    cause: Cause
    words: str


def find_cause(texts: Iterable[str]) -> Found | None:
    """Return the cause that the first telling text shows; None if none of them tells.

    Args:
        texts: what was said, the most telling first: why it exited, its last error, the newest log line.
    """
    said = tuple(texts)
    for causes in (CAUSES, (_BY_PROXY,)):
        for text in said:
            for cause in causes:
                if cause.pattern.search(text):
                    return Found(cause, text)
    return None


_SETTING = re.compile(r"([A-Za-z_][\w.]*): ")


def refused_settings(words: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return which settings of a file Prefect refuses, from the launcher's sentence.

    It names each by Prefect's path, such as `server.events.retention_period`, or by its last part.

    Args:
        words: the sentence, with `(PATH: RULE; PATH: RULE)`.
        names: the settings of the file.
    """
    inside = words.partition("a Prefect setting is wrong (")[2]
    paths = [path.replace(".", "_").lower() for path in _SETTING.findall(inside)]
    return tuple(
        name
        for name in names
        if any(f"_{name.lower()}".endswith(f"_{path}") for path in paths if path)
    )
