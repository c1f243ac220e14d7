"""Convert a Postgres address, as a provider shows it, into the settings that Prefect needs.

Pure functions from environments to environments. A message holds no part of an address except the
names of its options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from roost_server.errors import BootError
from roost_server.settings import URL_ALIAS, URL_SETTING, URL_VARIABLE

SQLALCHEMY = "PREFECT_SERVER_DATABASE_SQLALCHEMY_"
CACHE_SETTINGS = (
    f"{SQLALCHEMY}CONNECT_ARGS_STATEMENT_CACHE_SIZE",
    f"{SQLALCHEMY}CONNECT_ARGS_PREPARED_STATEMENT_CACHE_SIZE",
)
APPLICATION_NAME = f"{SQLALCHEMY}CONNECT_ARGS_APPLICATION_NAME"
RECYCLE = f"{SQLALCHEMY}POOL_RECYCLE"
# Fly's proxy closes a connection after 600 s; Prefect keeps one for 3600 s by default.
RECYCLE_S = 540
POOLING = "ROOST_DATABASE_POOLING"
ROOT_CERTIFICATE = "ROOST_DATABASE_ROOT_CERTIFICATE"
SYSTEM = "system"
SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
# As SQLAlchemy reads it: the user and password end at the first "@".
ADDRESS = re.compile(
    r"(?P<scheme>[^:]*)://(?P<user>[^:/?@]*(?::[^@]*)?@)?(?P<place>[^?]*)\??(?P<query>.*)",
    re.DOTALL,
)
# One or several hosts, each with an optional port, and the name of a database.
_HOST = r"(?:\[[^\]@/]*\]|[^\[\]:/,@]*)(?::\d*)?"
PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^@]*)?", re.DOTALL)
_ONE_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?")
# Options for other drivers that asyncpg neither understands nor needs.
HINTS = frozenset(
    {
        *("pgbouncer", "connection_limit", "pool_timeout", "connect_timeout", "supa", "workaround"),
        *("channel_binding", "gssencmode", "fallback_application_name", "uselibpqcompat", "sslsni"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    }
)
# Options that asyncpg takes (https://magicstack.github.io/asyncpg), and SQLAlchemy's own.
WORDS = frozenset(
    {
        *("ssl", "host", "port", "user", "password", "database", "passfile"),
        *("target_session_attrs", "krbsrvname", "gsslib", "prepared_statement_cache_size"),
    }
)
# Options that this module converts.
OURS = frozenset({"sslmode", "sslrootcert", "application_name", "options"})
# Spellings of other drivers, such as Node's.
SSL_MODES = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
KNOWN_SSL_MODES = frozenset(
    {"", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
)
WEAK_SSL_MODES = frozenset({"allow", "prefer", "require"})
_ENDPOINT = re.compile(r"(?:-c\s*)?(?:endpoint|project)=(?P<name>[\w-]+)")
TRANSACTION_PORT = 6543


class Pooling(Enum):
    """What is between Prefect and Postgres."""

    TRANSACTION = "transaction"
    """A pooler that may give each transaction another session: session state does not last."""
    SESSION = "session"
    """A pooler that keeps one session for each connection."""
    DIRECT = "direct"
    UNKNOWN = "unknown"
    """A host that no provider's rules describe; only the database itself shows it."""


class _Host(NamedTuple):
    name: str
    port: int


@dataclass(frozen=True)
class _Address:
    """The parts of an address; its repr holds none of them."""

    user: str
    place: str
    pairs: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return "_Address(...)"

    @property
    def hosts(self) -> tuple[_Host, ...]:
        """Return the hosts and their ports; an empty host is this machine."""
        found = (_ONE_HOST.fullmatch(one) for one in self.place.partition("/")[0].split(","))
        return tuple(_Host(m["host"].lower(), int(m["port"] or 5432)) for m in found if m)

    def option(self, name: str) -> str:
        """Return the value of an option; empty if it is absent."""
        return dict(self.pairs).get(name, "")


def database_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return Prefect's settings for the database whose address is in a secret.

    Raises:
        BootError: the secret is missing or holds no usable Postgres address.
    """
    name = environ.get(URL_VARIABLE, "")
    if not name:
        return {}
    url = environ.get(name, "")
    if not url:
        raise BootError(f"the secret {name} has no value on this app; set it, then apply again")
    address = _take_apart(url, name)
    settings = {URL_SETTING: _rewritten(address, name)}
    if application := address.option("application_name"):
        settings[APPLICATION_NAME] = application
    if certificate := _root_certificate(address):
        settings[ROOT_CERTIFICATE] = certificate
    pooling = _pooling_of(address)
    settings |= pooling_settings(pooling, environ)
    if RECYCLE not in environ and any(host.name.endswith(".flympg.net") for host in address.hosts):
        settings[RECYCLE] = str(RECYCLE_S)
    return settings


def pooling_settings(pooling: Pooling, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that a pooler in front of the database requires."""
    settings = {} if pooling is Pooling.UNKNOWN else {POOLING: pooling.value}
    if pooling in (Pooling.TRANSACTION, Pooling.SESSION) and RECYCLE not in environ:
        settings[RECYCLE] = str(RECYCLE_S)
    if pooling is Pooling.TRANSACTION:
        # The next transaction may have another session, so no prepared statement can be reused.
        settings |= dict.fromkeys(CACHE_SETTINGS, "0")
    return settings


def database_url(environ: Mapping[str, str]) -> str:
    """Return the address that Prefect uses; empty if none is set."""
    return environ.get(URL_SETTING) or environ.get(URL_ALIAS) or ""


def pooling_of(environ: Mapping[str, str]) -> Pooling:
    """Return what is in front of Prefect's database, as far as it is known without connecting."""
    if known := environ.get(POOLING):
        return Pooling(known)
    try:
        return _pooling_of(_take_apart(database_url(environ), URL_SETTING))
    except BootError:  # another kind of database, or an address that Prefect refuses itself
        return Pooling.UNKNOWN


def asyncpg_url(url: str, name: str) -> str:
    """Return a provider's Postgres address in asyncpg's form; the password is not changed.

    Raises:
        BootError: it is no Postgres address, or asks for what asyncpg cannot do; names the
            variable, never its value.
    """
    return _rewritten(_take_apart(url, name), name)


def _rewritten(address: _Address, name: str) -> str:
    if unknown := [key for key, _ in address.pairs if key not in HINTS | WORDS | OURS]:
        raise BootError(_unknown_option(name, unknown))
    if dict(_ssl_pairs(address)).get("ssl", "") not in KNOWN_SSL_MODES:
        modes = ", ".join(sorted(KNOWN_SSL_MODES - {""}))
        raise BootError(f"{name} has another sslmode than those that there are: {modes}")
    if options := address.option("options"):
        _check_options(options, address, name)
    pairs = [*_ssl_pairs(address), *((k, v) for k, v in address.pairs if k in WORDS - {"ssl"})]
    place = address.place
    if len(address.hosts) > 1:
        # SQLAlchemy takes several hosts only as options, with the port of each.
        place = "".join(address.place.partition("/")[1:])
        others = [(key, value) for key, value in pairs if key not in {"host", "port"}]
        pairs = [*_host_pairs(address.hosts), *others]
    server = f"{address.user}{place}"
    return f"postgresql+asyncpg://{server}" + (f"?{urlencode(pairs)}" if pairs else "")


def _host_pairs(hosts: Sequence[_Host]) -> Iterator[tuple[str, str]]:
    yield "host", ",".join(host.name.strip("[]") for host in hosts)
    yield "port", ",".join(str(host.port) for host in hosts)


def _ssl_pairs(address: _Address) -> Iterator[tuple[str, str]]:
    """Return the SSL mode; a given root certificate requires that the server's is verified."""
    given = address.option("sslmode") or address.option("ssl")
    mode = SSL_MODES.get(given, given)
    certificate = address.option("sslrootcert")
    if certificate and not mode:
        mode = "verify-full"
    elif certificate and mode in WEAK_SSL_MODES:  # as libpq does, which refuses it for `system`
        mode = "verify-full" if certificate == SYSTEM else "verify-ca"
    if mode:
        yield "ssl", mode


def _root_certificate(address: _Address) -> str:
    """Return which root certificate to verify the server against; empty for none."""
    mode = dict(_ssl_pairs(address)).get("ssl", "")
    if not mode.startswith("verify-"):
        return ""
    return address.option("sslrootcert") or SYSTEM


def _unknown_option(name: str, unknown: list[str]) -> str:
    if any(key in {"sslcert", "sslkey"} for key in unknown):
        return (
            f"{name} asks for a client certificate (sslcert, sslkey), which Roost does not support; "
            "use a user with a password"
        )
    known = ", ".join(sorted({*OURS, *HINTS, *WORDS} - {"ssl", "options"}))
    return f"{name} has an option after its ? that asyncpg does not know; it may have {known}"


def _check_options(options: str, address: _Address, name: str) -> None:
    """Accept a Neon endpoint that the host names as well; asyncpg cannot send other options."""
    endpoint = _ENDPOINT.fullmatch(options.strip())
    if endpoint is None:
        raise BootError(
            f"{name} has `options` after its ?, which asyncpg does not send; remove it, and set what "
            "it says for the user instead (ALTER ROLE ... SET ...)"
        )
    named = {host.name.partition(".")[0].removesuffix("-pooler") for host in address.hosts}
    if named != {endpoint["name"].lower().removesuffix("-pooler")}:
        raise BootError(
            f"{name} names its Neon endpoint in `options`, which asyncpg does not send; remove it, and "
            "use the host that begins with the endpoint's name (ep-...), as Neon shows it today"
        )


def _pooling_of(address: _Address) -> Pooling:
    if address.option("pgbouncer").lower() in {"true", "1"}:
        return Pooling.TRANSACTION
    found = {_pooling_of_host(host) for host in address.hosts}
    if Pooling.TRANSACTION in found:
        return Pooling.TRANSACTION
    return found.pop() if len(found) == 1 else Pooling.UNKNOWN


def _pooling_of_host(host: _Host) -> Pooling:
    """Classify a host by its provider's documentation; UNKNOWN if it cannot be decided that way."""
    first, _, domain = host.name.partition(".")
    if host.port == TRANSACTION_PORT:  # Supabase's, and by convention others'
        return Pooling.TRANSACTION
    if domain.endswith(".neon.tech"):
        return Pooling.TRANSACTION if first.endswith("-pooler") else Pooling.DIRECT
    if domain == "pooler.supabase.com":
        return Pooling.SESSION
    if domain.endswith(".supabase.co") or (first == "direct" and domain.endswith(".flympg.net")):
        return Pooling.DIRECT
    return Pooling.UNKNOWN


def _take_apart(url: str, name: str) -> _Address:
    address = ADDRESS.fullmatch(url)
    if address is None or address["scheme"] not in SCHEMES:
        raise BootError(f"{name} is no Postgres address; it must begin with postgresql://")
    if not PLACE.fullmatch(address["place"]):
        # The driver would take a part of the password for the host, and show it in an error.
        raise BootError(
            f"{name} has no host and port after its first @; write an @ in user or password as %40"
        )
    pairs = parse_qsl(address["query"], keep_blank_values=True)
    return _Address(address["user"] or "", address["place"], tuple(pairs))
