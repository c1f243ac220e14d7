"""Connect to a Postgres database as the server will, and read what decides whether Prefect can use it.

What is created to try a right is rolled back, so nothing is left in the database.
"""

from __future__ import annotations

import errno
import socket
import ssl
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import anyio
import asyncpg

from roost.doctor.database_facts import Facts, Limits, Outcome, Pooling, Reach, Schema
from roost.doctor.database_refusals import Refusal
from roost.operations.postgres_connection import CONNECT_S, PostgresLogin, words_of
from roost.plan.database_address import Address, Host

SECOND_S = 5.0
"""Seconds for a second connection: a pool of one session makes it wait for ever."""
# https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest
SSL_REQUEST = struct.pack("!II", 8, 80877103)
AGREES = {b"S": True, b"N": False, b"E": None}
NO_ROUTE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)
STATEMENTS = 5
# Two servers behind one address may have the same process id, so the start time is compared too.
SESSION = "SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
STATE = """
SELECT current_setting('server_version_num')::int AS number,
    current_setting('server_version') AS version,
    pg_is_in_recovery() AS in_recovery,
    current_setting('default_transaction_read_only') = 'on' AS read_only,
    current_schema() AS schema
"""
LIMITS = """
SELECT current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS most,
    (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS of_role,
    (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS of_database,
    (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'
        AND NOT (datname = current_database() AND usename = current_user)) AS others
"""
TRIGRAMS = """
SELECT n.nspname AS schema, n.nspname = ANY (current_schemas(true)) AS visible
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'
"""
TABLES = """
SELECT to_regclass('flow_run') IS NOT NULL AS has_prefect,
    (SELECT pg_get_userbyid(relowner) FROM pg_class
        WHERE oid = to_regclass('alembic_version')) AS owner,
    (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
        WHERE oid = to_regclass('alembic_version')) AS is_owner
"""

Clock = Callable[[], float]
"""Returns this computer's time, in seconds since 1970."""


class RefusedError(Exception):
    """A login or a statement failed; holds why, without the password."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


async def reach(host: Host) -> Reach:
    """Resolve a host, connect to its port, and ask whether it has TLS; no login is sent."""
    try:
        with anyio.fail_after(CONNECT_S):
            found = await anyio.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    # UnicodeError for a name that is no host name, OverflowError for a number that is no port.
    except (OSError, UnicodeError, OverflowError) as error:
        return Reach(Outcome.NO_NAME, words=getattr(error, "strerror", None) or str(error))
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    failures: list[OSError] = []
    for address in addresses:
        began = time.monotonic()
        try:
            with anyio.fail_after(CONNECT_S):
                answer = await _ask_for_tls(address, host.port)
        except OSError as error:  # TimeoutError is one
            failures.append(error.__cause__ if isinstance(error.__cause__, OSError) else error)
            continue
        seconds = time.monotonic() - began
        outcome = Outcome.ANSWERS if answer in AGREES else Outcome.OTHER_PROTOCOL
        return Reach(outcome, addresses, seconds, AGREES.get(answer), repr(answer))
    return _unreached(addresses, failures)


async def _ask_for_tls(address: str, port: int) -> bytes:
    """Return the first byte of the answer; empty if the connection was closed instead."""
    async with await anyio.connect_tcp(address, port) as stream:
        try:
            await stream.send(SSL_REQUEST)
            return await stream.receive(1)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return b""


def _unreached(addresses: tuple[str, ...], failures: list[OSError]) -> Reach:
    """Return why no address could be connected to: the failure that says most."""
    codes = {error.errno for error in failures}
    words = next((error.strerror for error in failures if error.strerror), "")
    if errno.ECONNREFUSED in codes:
        return Reach(Outcome.REFUSED, addresses, words=words)
    if codes & NO_ROUTE:
        return Reach(Outcome.NO_ROUTE, addresses, words=words)
    return Reach(Outcome.TIMEOUT, addresses, words=words or f"no answer in {CONNECT_S:.0f} s")


async def look(login: PostgresLogin, clock: Clock) -> Facts:
    """Log in and read the facts; `clock` is this computer's time.

    Raises:
        RefusedError: the login or a statement was refused.
    """
    with _refusals(login.address):
        async with login.connected() as connection:
            pooling = await _pooling(connection, login)
            if pooling is Pooling.STATEMENT:
                raise RefusedError(Refusal("transaction blocks are refused: statement pooling"))
            return await _facts(connection, pooling, clock, login.address)


async def _pooling(first: Any, login: PostgresLogin) -> Pooling:
    """Compare the sessions of two connections, which only a pooler in transaction mode shares.

    Each is asked twice in a row and all again, as the server does (deploy/roost_server/postgres_pooler.py).
    """
    try:
        await first.execute("BEGIN")
        await first.execute("COMMIT")
    except asyncpg.PostgresError as error:
        if "statement pooling" in str(error):
            return Pooling.STATEMENT
        raise
    second: Any = None
    async with AsyncExitStack() as stack:
        try:
            with anyio.fail_after(SECOND_S):
                second = await stack.enter_async_context(login.connected())
                await second.execute("SELECT")  # a pooler may wait for a session only here
        except TimeoutError:
            if second is not None:
                second.terminate()  # it would wait for the same session to say goodbye
            return Pooling.FULL
        except asyncpg.PostgresError as error:
            if error.sqlstate == "53300" or "max" in str(error):
                return Pooling.FULL
            raise
        return await _compare(first, second)


async def _compare(first: Any, second: Any) -> Pooling:
    seen: dict[int, set[str]] = {id(first): set(), id(second): set()}
    for connection in (first, first, second, second) * 2:
        # A transaction keeps the parts of one statement in one session.
        async with connection.transaction():
            seen[id(connection)].add(await connection.fetchval(SESSION))
        if seen[id(first)] & seen[id(second)] or len(seen[id(connection)]) > 1:
            return Pooling.TRANSACTION
    return Pooling.SESSION


async def _facts(connection: Any, pooling: Pooling, clock: Clock, address: Address) -> Facts:
    async with connection.transaction():
        state = await connection.fetchrow(STATE)
        limits = await connection.fetchrow(LIMITS)
        trigrams = await connection.fetchrow(TRIGRAMS)
        tables = await connection.fetchrow(TABLES)
        roundtrip_s, clock_s = await _measure(connection, clock)
    read_only = ""
    if state["in_recovery"]:
        read_only = "it is a standby, which follows a primary"
    elif state["read_only"]:
        read_only = "default_transaction_read_only is on"
    refusal = (
        ""
        if read_only
        else await _try(connection, "CREATE TABLE roost_doctor (id integer)", address)
    )
    extension_refusal = ""
    if trigrams is None and not read_only:
        extension_refusal = await _try(connection, "CREATE EXTENSION pg_trgm", address)
    schema = Schema(
        state["schema"] or "",
        refusal,
        trigrams["schema"] if trigrams else "",
        trigrams["visible"] if trigrams else True,
        extension_refusal,
        tables["has_prefect"],
        tables["owner"] or "",
        tables["is_owner"] is not False,
    )
    return Facts(
        state["number"],
        state["version"].partition(" ")[0],
        read_only,
        schema,
        Limits(limits["most"], limits["of_role"], limits["of_database"], limits["others"]),
        pooling,
        roundtrip_s,
        clock_s,
    )


async def _try(connection: Any, statement: str, address: Address) -> str:
    """Run a statement and roll it back; return the server's words if it refuses."""
    await connection.execute("BEGIN")
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return words_of(str(error), address)
    finally:
        await connection.execute("ROLLBACK")
    return ""


async def _measure(connection: Any, clock: Clock) -> tuple[float, float]:
    """Return the median time of a statement, and how far the database's clock is ahead, in seconds.

    The clock is compared at the middle of the fastest statement, so half of its time is the error.
    """
    found = []
    for _ in range(STATEMENTS):
        began, here = time.monotonic(), clock()
        there = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        took = time.monotonic() - began
        found.append((took, there - (here + took / 2)))
    return statistics.median(took for took, _ in found), min(found)[1]


@contextmanager
def _refusals(address: Address) -> Iterator[None]:
    """Convert any failure into a `RefusedError`; not chained, as the failure may hold the password."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:  # noqa: BLE001 - the text of any error may hold the address
        raise RefusedError(_refusal(error, address)) from None


def _refusal(error: Exception, address: Address) -> Refusal:
    words = words_of(str(error) or type(error).__name__, address)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal(words_of(error.verify_message, address), is_certificate=True)
    if isinstance(error, TimeoutError):
        return Refusal(words, is_timeout=True)
    return Refusal(words, str(getattr(error, "sqlstate", None) or ""))
