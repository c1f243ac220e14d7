"""Connect to the database that Prefect will use; a failure is explained without secrets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from roost_server.errors import BootError
from roost_server.postgres_address import SQLALCHEMY, database_url
from roost_server.postgres_faults import DatabaseFaultError, Fault
from roost_server.settings import URL_SETTING, URL_VARIABLE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

# Prefect's own default, PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT.
CONNECT_S = 5.0
COMMAND_S = 10.0
TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})  # as pydantic reads a setting
TLS = f"{SQLALCHEMY}CONNECT_ARGS_TLS_"
# PostgreSQL's error codes (https://www.postgresql.org/docs/current/errcodes-appendix.html).
BY_CODE = {
    "28P01": Fault.LOGIN,
    "28000": Fault.NOT_ADMITTED,
    "3D000": Fault.NO_DATABASE,
    "42501": Fault.NO_RIGHT,
    "25006": Fault.READ_ONLY,
    "53300": Fault.FULL,
    "57P03": Fault.STARTING,
}
# Messages of poolers, which use one code for all (PgBouncer 08P01, Supabase XX000), in lower case.
BY_WORDS = {
    "authentication failed": Fault.LOGIN,
    "no such database": Fault.NO_DATABASE,
    "does not exist": Fault.NO_DATABASE,
    "tenant or user not found": Fault.NO_TENANT,
    "endpoint id is not specified": Fault.NO_ENDPOINT,
    "statement pooling": Fault.STATEMENT_POOLER,
    "ssl required": Fault.TLS_WANTED,
    "rejected ssl upgrade": Fault.NO_TLS,
}
POOLERS_CODES = frozenset({"08P01", "XX000", "08003", None})
SPEAKERS = frozenset({"asyncpg.exceptions", "asyncpg.exceptions._base", "builtins"})


@asynccontextmanager
async def connected(environ: Mapping[str, str]) -> AsyncIterator[AsyncConnection]:
    """Connect as Prefect will, without prepared statements and in autocommit mode."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(
        database_url(environ),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={
            "timeout": CONNECT_S,
            "command_timeout": COMMAND_S,
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": unnamed,
            **_tls(environ),
        },
    )
    async with engine.connect() as connection:
        yield connection


def _tls(environ: Mapping[str, str]) -> dict[str, ssl.SSLContext]:
    """Return TLS arguments from Prefect's settings, as Prefect builds them; none if off."""
    if environ.get(f"{TLS}ENABLED", "").lower() not in TRUE:
        return {}
    context = ssl.create_default_context(cafile=environ.get(f"{TLS}CA_FILE") or None)
    files = environ.get(f"{TLS}CERT_FILE"), environ.get(f"{TLS}KEY_FILE")
    if files[0] and files[1]:
        context.load_cert_chain(files[0], files[1])
    check = environ.get(f"{TLS}CHECK_HOSTNAME", "true").lower()
    context.check_hostname = check in TRUE
    return {"ssl": context}


@contextmanager
def explained(environ: Mapping[str, str]) -> Iterator[None]:
    """Convert any database error into one without secrets.

    Raises:
        BootError: has the cause and the secret's name; not chained, as the error may hold the
            address.
    """
    try:
        yield
    except BootError:
        raise
    except Exception as error:  # noqa: BLE001 - the text of any error may hold the address
        fault, more = find_fault(error)
        raise DatabaseFaultError(fault, environ.get(URL_VARIABLE) or URL_SETTING, more) from None


def unnamed() -> str:
    """Return an empty name for prepared statements: such a statement lasts until the next one.

    asyncpg numbers its statements from 1 in each process. Behind a pooler in transaction mode, a
    session may still have the statements of an earlier process.
    """
    return ""


def find_fault(error: BaseException) -> tuple[Fault, str]:
    """Return the fault of an error, and the error's type and code for an unknown fault."""
    chain = list(_chain(error))
    for one in chain:
        code, words = getattr(one, "sqlstate", None), str(one).lower()
        if code in BY_CODE:
            return BY_CODE[code], ""
        for phrase, fault in BY_WORDS.items():
            if phrase in words and code in POOLERS_CODES and type(one).__module__ in SPEAKERS:
                return fault, ""
    for one in chain:
        if (network := _network(one)) is not None:
            return network, ""
    codes = [code for one in chain if (code := getattr(one, "sqlstate", None))]
    named = f", code {codes[0]}" if codes else ""
    return Fault.OTHER, f" ({type(chain[-1]).__name__}{named})"


def _network(error: BaseException) -> Fault | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Fault.CERTIFICATE
    if isinstance(error, socket.gaierror):
        return Fault.NO_HOST
    if isinstance(error, TimeoutError):
        return Fault.TIMEOUT
    return Fault.NO_ANSWER if isinstance(error, OSError) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "orig", None) or seen.__cause__
