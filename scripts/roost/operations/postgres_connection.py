"""A login to an environment's Postgres, as its server has it, and connections with it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from roost.apply.secret_values import Values
from roost.environment.model import Environment
from roost.plan.database_address import SYSTEM, Address, Host, read_address
from roost.secret_text import SecretText

# Prefect's own default, PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT.
CONNECT_S = 5.0
COMMAND_S = 10.0
LONGEST_WORDS = 300
_ARGUMENTS = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_"
_SEARCH_PATH = f"{_ARGUMENTS}SEARCH_PATH"
_TLS = f"{_ARGUMENTS}TLS_"
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})  # as pydantic reads a setting
Tls = ssl.SSLContext | str | bool
"""The driver's argument: a context, a mode in libpq's words, or False for none."""


@dataclass(frozen=True)
class PostgresLogin:
    """All that a connection needs.

    Args:
        host: the host to log in at.
        address: the login.
        pem: the text of the root certificate; empty for the system's.
        search_path: the search path that the environment sets; empty for the user's own.
    """

    host: Host
    address: Address
    pem: str = ""
    search_path: str = ""

    def to(self, database: str) -> PostgresLogin:
        """Return the same login to another database of the server."""
        return replace(self, address=replace(self.address, database=database))

    @asynccontextmanager
    async def connected(self, command_s: float | None = COMMAND_S) -> AsyncIterator[Any]:
        """Yield a connection of asyncpg without prepared statements, which a pooler may not keep.

        Args:
            command_s: the longest that a statement may take, in seconds; None for no limit.

        Raises:
            Exception: of any kind; its text may hold the address, see `words_of`.
        """
        path = {"search_path": self.search_path} if self.search_path else None
        connection = await asyncpg.connect(
            host=self.host.name,
            port=self.host.port,
            user=self.address.user,
            password=self.address.password.reveal(),
            database=self.address.database,
            ssl=tls_of(self.address, self.pem),
            timeout=CONNECT_S,
            command_timeout=command_s,
            statement_cache_size=0,
            server_settings=path,
        )
        try:
            yield connection
        finally:
            try:
                await connection.close(timeout=CONNECT_S)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()  # it was lost meanwhile


def tls_of(address: Address, pem: str) -> Tls:
    """Return the TLS of a connection, as the server's driver has it for this mode.

    Raises:
        ssl.SSLError: the certificate is no certificate.
    """
    if address.mode == "disable":
        return False
    if address.mode in {"allow", "prefer"}:
        return address.mode
    context = ssl.create_default_context(cadata=pem if address.root not in ("", SYSTEM) else None)
    context.check_hostname = address.mode == "verify-full"
    if address.mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


def root_certificate(address: Address, values: Values) -> str:
    """Return the text of the root certificate that a secret holds; empty for the system's."""
    value = values.found.get(address.root)
    # Some secret stores keep a value in one line and write its line breaks as two characters.
    return value.reveal().replace("\\n", "\n").strip() if value else ""


def address_of(environment: Environment, value: SecretText) -> Address | None:
    """Return the address as the server uses it; None where the value has no such form.

    Prefect's own settings may ask for TLS, and win over the options of the address.
    """
    address, settings = read_address(value), _settings_of(environment)
    if address is None or settings.get(f"{_TLS}ENABLED", "").lower() not in _TRUE:
        return address
    checks_name = settings.get(f"{_TLS}CHECK_HOSTNAME", "true").lower() in _TRUE
    mode = "verify-full" if checks_name else "verify-ca"
    return replace(address, mode=mode, root=settings.get(f"{_TLS}CA_FILE") or SYSTEM)


def search_path_of(environment: Environment) -> str:
    """Return the search path that an environment sets for its server; empty for the user's own."""
    return _settings_of(environment).get(_SEARCH_PATH, "")


def _settings_of(environment: Environment) -> dict[str, str]:
    return {name.upper(): text for name, text in environment.prefect.settings.items()}


def words_of(text: str, address: Address) -> str:
    """Return the words of a failure in one line, without the password."""
    shown = address.password.redact(text)
    return " ".join("".join(c if c.isprintable() else " " for c in shown).split())[:LONGEST_WORDS]
