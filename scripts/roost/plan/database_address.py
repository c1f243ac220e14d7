"""The address of a Postgres, taken apart for a check, and what its host says about it. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from roost.environment.postgres_address import take_apart
from roost.secret_text import SecretText

PORT = 5432
TRANSACTION_PORT = 6543
"""Supabase's port for transaction mode, and by convention others'."""
SYSTEM = "system"
_ONE_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?")
_FLY_PRIVATE = (".internal", ".flycast", ".flympg.net")
_MODES = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
_WEAK = frozenset({"allow", "prefer", "require"})


class Provider(Enum):
    """Who runs a database, as far as its host shows."""

    SUPABASE_POOLER = "Supabase's pooler"
    SUPABASE = "Supabase"
    NEON = "Neon"
    FLY = "Fly Managed Postgres"
    OTHER = "the database"


@dataclass(frozen=True)
class Host:
    """A host of an address, and its port."""

    name: str
    port: int

    @property
    def text(self) -> str:
        """The host and the port, for people."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    @property
    def provider(self) -> Provider:
        """Who runs it."""
        if self.name.endswith(".pooler.supabase.com"):
            return Provider.SUPABASE_POOLER
        suffixes = {
            ".supabase.co": Provider.SUPABASE,
            ".neon.tech": Provider.NEON,
            ".flympg.net": Provider.FLY,
        }
        return next(
            (who for end, who in suffixes.items() if self.name.endswith(end)), Provider.OTHER
        )

    @property
    def is_fly_private(self) -> bool:
        """Whether only Fly's private network reaches it."""
        return self.name.endswith(_FLY_PRIVATE)

    @property
    def is_transaction_pooler(self) -> bool:
        """Whether its provider documents it as a pooler in transaction mode."""
        first = self.name.partition(".")[0]
        pooled_neon = self.provider is Provider.NEON and first.endswith("-pooler")
        return self.port == TRANSACTION_PORT or pooled_neon


@dataclass(frozen=True)
class Address:
    """What the server's driver reads from an address.

    Args:
        hosts: the hosts, in their order.
        user: the user.
        password: the password; the only part that no message shows.
        database: the database.
        mode: the TLS mode, in libpq's words; `prefer` where the address has none.
        root: `system`, the name of the secret with the root certificate, or empty.
    """

    hosts: tuple[Host, ...]
    user: str
    password: SecretText
    database: str
    mode: str
    root: str


def read_address(value: SecretText) -> Address | None:
    """Return the parts of an address as the server reads them; None where it has no such form.

    SQLAlchemy lets an option after the `?` override the same part before it.
    """
    parts = take_apart(value.reveal())
    if parts is None:
        return None
    options = parts.options
    root = options.get("sslrootcert", "")
    given = options.get("sslmode") or options.get("ssl") or ""
    mode = _MODES.get(given, given)
    if root and not mode:
        mode = "verify-full"
    elif root and mode in _WEAK:  # as the server does, and libpq for `system`
        mode = "verify-full" if root == SYSTEM else "verify-ca"
    hosts = tuple(
        _host(one, options.get("port", ""))
        for one in (options.get("host") or parts.hosts).split(",")
    )
    return Address(
        hosts,
        options.get("user") or unquote(parts.user),
        SecretText(options.get("password") or unquote(parts.password)),
        options.get("database") or parts.database,
        mode or "prefer",
        root or (SYSTEM if mode.startswith("verify-") else ""),
    )


def _host(text: str, port: str) -> Host:
    found = _ONE_HOST.fullmatch(text)
    name, given = (found["name"], found["port"]) if found else (text, "")
    number = port.partition(",")[0] or given or ""
    return Host(name.strip("[]").lower(), int(number) if number.isdecimal() else PORT)


def better_address(host: Host) -> str:
    """Return how to get an address of the same database that gives each connection a session."""
    match host.provider:
        case Provider.NEON:
            return "in Neon's console, Connect: turn connection pooling off and copy that string (the same host without -pooler)"
        case Provider.SUPABASE_POOLER:
            return "in Supabase, Connect: copy the string of the session pooler (the same host with port 5432)"
        case Provider.SUPABASE:
            return "in Supabase, Connect: copy the direct connection (the same host with port 5432)"
        case Provider.FLY:
            return "in Fly's dashboard, Connect of the cluster: copy the direct URL (the host that begins with direct.)"
        case Provider.OTHER:
            return "use the address of PostgreSQL itself, or set the pooler's pool_mode to session"


def is_local(address: str) -> bool:
    """Return whether an IP address is this computer's or of a private network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return found.is_private or found.is_loopback or found.is_link_local


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
