"""One connection to the database that Prefect will use, and why there is none, in words without secrets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from roost_server.errors import BootError
from roost_server.postgres_address import database_url
from roost_server.settings import URL_SETTING, URL_VARIABLE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

# As Prefect's own default, PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT.
CONNECT_S = 5.0
COMMAND_S = 10.0
TLS = "; the value may ask for it with ?sslmode=require"
# By the code of PostgreSQL's own (https://www.postgresql.org/docs/current/errcodes-appendix.html).
BY_CODE = {
    "28P01": "the database refuses the user or the password",
    "28000": f"the database refuses the user, from here or without TLS{TLS}",
    "3D000": "the server has no database of the name that stands after the host; create it, or correct it",
    "42501": "the user may not do that in this database",
    "53300": "the database has no connection free; end others, or use a pooler in session mode",
    "57P03": "the database is starting up or shutting down; try again when it has",
}
# What poolers say with one code for all, PgBouncer 08P01 and Supabase XX000, in small letters.
BY_WORDS = {
    "authentication failed": BY_CODE["28P01"],
    "password": BY_CODE["28P01"],
    "no such database": BY_CODE["3D000"],
    "does not exist": BY_CODE["3D000"],
    "tenant or user not found": (
        "Supabase's pooler knows no such user; there it is postgres.REF, with the project's reference"
    ),
    "endpoint id is not specified": (
        "Neon does not know which endpoint is meant; use the host that begins with its name (ep-...)"
    ),
    "statement pooling": (
        "the pooler is in statement mode, which knows no transactions, and Prefect needs them; use it "
        "in session mode, or the direct address"
    ),
    "ssl required": f"the database wants TLS{TLS}",
    "rejected ssl upgrade": "the database does no TLS; remove sslmode, or have it do TLS",
}


@asynccontextmanager
async def connected(environ: Mapping[str, str]) -> AsyncIterator[AsyncConnection]:
    """Connect as Prefect will, prepare nothing, and begin no transaction by itself."""
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
        },
    )
    async with engine.connect() as connection:
        yield connection


@contextmanager
def explained(environ: Mapping[str, str]) -> Iterator[None]:
    """Put whatever goes wrong with the database into words without secrets.

    Raises:
        BootError: says why, and names the secret; not chained, as the error may hold the address.
    """
    try:
        yield
    except BootError:
        raise
    except Exception as error:  # noqa: BLE001 - of whatever kind, its own text may hold the address
        name = environ.get(URL_VARIABLE) or URL_SETTING
        raise BootError(f"{name}: {why(error)}") from None


def unnamed() -> str:
    """Return the name of a statement that lasts until the next one.

    asyncpg counts the names of others from 1 in each process: behind a pooler in transaction mode,
    a session may still hold those of the process before.
    """
    return ""


def why(error: BaseException) -> str:
    """Return why the database is not to be had, in our words."""
    chain = list(_chain(error))
    for one in chain:
        words = str(one).lower()
        for said, meaning in BY_WORDS.items():
            if said in words and type(one).__module__.startswith(("asyncpg", "builtins")):
                return meaning
    for one in chain:
        if coded := BY_CODE.get(getattr(one, "sqlstate", None) or ""):
            return coded
    for one in chain:
        if network := _network(one):
            return network
    codes = [code for one in chain if (code := getattr(one, "sqlstate", None))]
    named = f", code {codes[0]}" if codes else ""
    return f"the database cannot be used ({type(chain[-1]).__name__}{named})"


def _network(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "the database's certificate is not signed by the authority that sslrootcert names, or is "
            "for another host; give the provider's certificate as a secret, and name it there"
        )
    if isinstance(error, socket.gaierror):
        return "the host is not found; correct it, or wait for its name to be known"
    if isinstance(error, TimeoutError):
        return f"the database did not answer within {CONNECT_S:.0f} s; is it reachable from Fly?"
    if isinstance(error, OSError):
        return "nothing answers at the host and the port; correct them, or start the database"
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error, and those that it came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "orig", None) or seen.__cause__
