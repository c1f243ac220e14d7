"""Check the form of a Postgres address before it is sent anywhere.

The rules mirror those of the server (deploy/roost_server/postgres_address.py). No message contains
any part of an address, because a password may be anywhere in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl

FORM = "its form is postgresql://USER:PASSWORD@HOST:5432/DATABASE"
SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
# Options after the "?" that the server understands, or ignores because it does not need them.
OPTIONS = frozenset(
    {
        *("sslmode", "sslrootcert", "application_name", "options", "ssl", "host", "port", "user"),
        *("password", "database", "passfile", "target_session_attrs", "krbsrvname", "gsslib"),
        *("prepared_statement_cache_size", "pgbouncer", "connection_limit", "pool_timeout"),
        *("connect_timeout", "supa", "workaround", "channel_binding", "gssencmode", "sslsni"),
        *("fallback_application_name", "uselibpqcompat", "keepalives", "keepalives_idle"),
        *("keepalives_interval", "keepalives_count"),
    }
)
_ENDPOINT = re.compile(r"(?:-c\s*)?(?:endpoint|project)=(?P<name>[\w-]+)", re.ASCII)
# As the driver reads an address: the password ends at the first "@".
_ADDRESS = re.compile(
    r"(?P<scheme>[^:]*)://(?:(?P<user>[^:/?@]*)(?::(?P<password>[^@]*))?@)?(?P<place>[^?]*)\??(?P<query>.*)",
    re.DOTALL,
)
_HOST = r"(?:\[[0-9a-fA-F:.]*\]|[^\[\]:/,@]*)(?::\d*)?"
_PLACE = re.compile(rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?:/(?P<database>[^@]*))?", re.DOTALL)
# Placeholders of providers' web pages, shells and templates.
_BRACKETED = re.compile(
    r"\[[A-Za-z _-]+\]|<[^>]*>|\$?\{.*\}|\$[A-Z_]{2,}|%\(\w+\)s|%[A-Z_]{2,}%", re.ASCII
)
_HIDDEN = re.compile(r"[*\u2022\u25cf.]{3,}")
MOST_PORT = 65535
_WORDS = frozenset(
    {"USER", "USERNAME", "PASSWORD", "HOST", "HOSTNAME", "PORT", "NAME", "DATABASE", "DBNAME"}
)
_YOUR = re.compile(r"YOUR[-_ ]?\w+", re.ASCII)
_CERTIFICATE_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"


class Parts(NamedTuple):
    """The parts of an address; a missing one is empty."""

    scheme: str
    user: str
    password: str
    hosts: str
    database: str
    options: dict[str, str]


def address_fault(value: str, declared: Collection[str]) -> str:
    """Return what is wrong with an address, as the rest of a sentence; empty where it may work.

    Args:
        value: the address.
        declared: the names of the environment's secrets, one of which may have a certificate.
    """
    return next((fault for fault in (*_form(value), *_contents(value, declared)) if fault), "")


def native_fault(value: str) -> str:
    """Return what is wrong with an address for Prefect's own image, without Roost's launcher."""
    faults = [fault for fault in _form(value) if fault]
    if not faults and not value.startswith("postgresql+asyncpg://"):
        return "does not begin with postgresql+asyncpg://, and with prefect.image only Prefect reads it"
    return next(iter(faults), "")


def address_note(value: str) -> str:
    """Return a sentence about a better address of the same database; empty without one."""
    parts = take_apart(value)
    if parts is None:
        return ""
    notes = (_note_of(host.lower(), parts) for host in parts.hosts.split(","))
    return next((note for note in notes if note), "")


def certificate_secret(value: str) -> str:
    """Return the name of the secret with the certificate for an address; empty without one."""
    parts = take_apart(value)
    name = parts.options.get("sslrootcert", "") if parts else ""
    return name if name != "system" and _CERTIFICATE_SECRET.fullmatch(name) else ""


def _form(value: str) -> Iterator[str]:
    scheme = value.partition("://")[0] if "://" in value else value.partition(":")[0]
    yield _where(any(char in "\r\n\t" for char in value), "has a line break or a tab in it")
    yield _where(value != value.strip(), "begins or ends with white space")
    yield _where(value.strip(_QUOTES) != value, "begins or ends with a quotation mark")
    yield _where(not value.isprintable(), "has a character that cannot be printed")
    yield _where(scheme.startswith("jdbc"), f"is written for Java (jdbc:); {FORM}")
    yield _where(
        "=" in scheme, "begins with a name and an equals sign; only the address is its value"
    )
    yield _where(" " in scheme, "begins with a command; only the address is its value")
    yield _where(scheme not in SCHEMES, f"is no Postgres address; {FORM}")
    yield _where("://" not in value, f"has no :// after its beginning; {FORM}")


def _where(is_fault: bool, message: str) -> str:  # noqa: FBT001 - reads as a table above
    return message if is_fault else ""


def _contents(value: str, declared: Collection[str]) -> Iterator[str]:
    parts = take_apart(value)
    if parts is None:
        yield (
            "has no host and port after its first @; write an @ in the user or the password as %40, "
            "and a port as a number"
        )
        return
    pieces = (parts.user, parts.password, *parts.hosts.split(","), parts.database)
    yield _where(
        any(_is_placeholder(piece) for piece in pieces),
        "still has a placeholder where the real user, password, host or database belongs",
    )
    hosts = parts.hosts.replace(",", "")
    yield _where(
        not re.sub(r":\d*", "", hosts) and not parts.options.get("host"), f"has no host; {FORM}"
    )
    ports = [*re.findall(r":(\d+)(?:,|$)", parts.hosts), *parts.options.get("port", "").split(",")]
    yield _where(
        any(port and not _is_port(port) for port in ports),
        "has a port that is no number from 1 to 65535",
    )
    yield _where(not parts.user and not parts.options.get("user"), f"has no user; {FORM}")
    yield _where(
        not parts.database and not parts.options.get("database"),
        f"names no database after the host; {FORM}",
    )
    yield _ssl_fault(parts.options, declared)
    yield _options_fault(parts)


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) <= MOST_PORT


def _options_fault(parts: Parts) -> str:
    if {"sslcert", "sslkey"} & parts.options.keys():
        return "asks for a client certificate (sslcert, sslkey); use a user with a password instead"
    if parts.options.keys() - OPTIONS:
        return (
            "has an option after its ? that the server's driver does not know; it may have "
            f"{', '.join(sorted(OPTIONS - {'options'}))}"
        )
    if "options" not in parts.options:
        return ""
    endpoint = _ENDPOINT.fullmatch(parts.options["options"].strip())
    if endpoint is None:
        return (
            "has `options` after its ?, which the server's driver does not send; remove it, and set "
            "what it says for the user instead (ALTER ROLE ... SET ...)"
        )
    first = parts.hosts.lower().partition(".")[0].removesuffix("-pooler")
    if first != endpoint["name"].lower().removesuffix("-pooler"):
        return (
            "names its Neon endpoint in `options`, which the server's driver does not send; remove it, "
            "and use the host that begins with the endpoint's name (ep-...)"
        )
    return ""


def _ssl_fault(options: dict[str, str], declared: Collection[str]) -> str:
    mode = options.get("sslmode") or options.get("ssl") or "require"
    if mode not in SSL_MODES | {"true", "false", "0", "1"}:
        return f"has an unknown sslmode; it must be one of {', '.join(sorted(SSL_MODES))}"
    certificate = options.get("sslrootcert", "")
    if not certificate or certificate == "system" or certificate.startswith("/"):
        return ""
    if not _CERTIFICATE_SECRET.fullmatch(certificate):
        return (
            "names a certificate by a file (sslrootcert), which the server does not have; put the "
            "certificate itself into a secret, such as DATABASE_CA, and write sslrootcert=DATABASE_CA"
        )
    if certificate not in declared:
        return (
            "names a certificate by a secret (sslrootcert) that the file does not list; list it under "
            "secrets, with the certificate as its value"
        )
    return ""


def _is_placeholder(piece: str) -> bool:
    name = piece.partition(":")[0] if piece.count(":") == 1 else piece
    is_address = re.fullmatch(r"\[[0-9a-fA-F:.]+\](?::\d*)?", piece)
    found: tuple[Callable[[str], object], ...] = (
        _BRACKETED.fullmatch,
        _HIDDEN.fullmatch,
        _YOUR.fullmatch,
        _WORDS.__contains__,
    )
    return not is_address and any(one(text) for one in found for text in (piece, name))


def _note_of(host: str, parts: Parts) -> str:
    name, _, port = host.partition(":")
    first, _, domain = name.partition(".")
    if domain.endswith(".neon.tech") and first.endswith("-pooler"):
        better = "Neon shows it when connection pooling is off: the same host without -pooler"
    elif name.endswith(".pooler.supabase.com") and port == "6543":
        better = "Supabase shows it as the session pooler: the same host with port 5432"
    elif name.endswith(".supabase.co") and port == "6543":
        better = "Supabase shows it as the direct connection: the same host with port 5432"
    elif first == "pgbouncer" and domain.endswith(".flympg.net"):
        return (
            "it goes through Fly's pooler. Where that is in transaction mode, use the host that "
            "begins with direct. instead."
        )
    elif port == "6543" or parts.options.get("pgbouncer") in {"true", "1"}:
        better = "take the address of the database itself, or of a pooler in session mode"
    else:
        return ""
    return (
        "it goes through a pooler in transaction mode, which works, but without prepared statements "
        f"and without a lock around migrations. Better is a direct one: {better}."
    )


def take_apart(value: str) -> Parts | None:
    """Return the parts of an address; None where no host and port follow the first @."""
    address = _ADDRESS.fullmatch(value)
    place = _PLACE.fullmatch(address["place"]) if address else None
    if address is None or place is None:
        return None
    options = dict(parse_qsl(address["query"], keep_blank_values=True))
    user, password = address["user"] or "", address["password"] or ""
    return Parts(
        address["scheme"], user, password, place["hosts"], place["database"] or "", options
    )
