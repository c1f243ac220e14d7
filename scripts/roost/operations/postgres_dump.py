"""Dump the rows of an environment's Postgres into a file, and restore a dump into another database.

A restore never writes to the database that the server uses. It creates a database beside it, whose
rows are counted; a change of the address, proved by an apply, then changes over.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import asyncpg

from roost.errors import DumpError, RoostError
from roost.errors.command import Command
from roost.fly.leases import Notice
from roost.operations.dumps import SUFFIX, Dump, DumpStore, begin_part, sha256_of
from roost.operations.postgres_connection import PostgresLogin, words_of
from roost.operations.postgres_tools import PostgresTools
from roost.plan.database_address import quoted

DRILL = "_roost_drill"
LONGEST_NAME = 63
"""Bytes of a name in PostgreSQL."""
PREFECTS_TABLE = "flow_run"
REMOVE_LIMIT_S = 60
STATE = """
SELECT current_setting('server_version_num')::int AS number,
    current_setting('server_version') AS version, current_schema() AS schema,
    (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_trgm') AS extension
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY tablename"


@dataclass(frozen=True)
class PostgresDumps:
    """Dumps and restores one environment's database.

    Args:
        login: the login of its server.
        tools: runs PostgreSQL's programs.
        folder: where a dump is a file until it is whole.
        store: where the dumps are kept.
        notice: called with a line before each step.
    """

    login: PostgresLogin
    tools: PostgresTools
    folder: Path
    store: DumpStore
    notice: Notice

    async def dump(self, stamp: str, at: str) -> tuple[Dump, str]:
        """Make a dump, as of one moment; return it with where it is, once it is whole and kept.

        Args:
            stamp: the time, for the name of the file.
            at: the time as ISO 8601.

        Raises:
            DumpError: the database refused, or what was written is not whole; no dump is left.
            BucketError: the bucket does not take it; no dump is left.
            MissingToolError: there is no pg_dump of the server's version.
        """
        name = f"{self.tools.environment}-{stamp}{SUFFIX}"
        with self._explained():
            async with self.login.connected(command_s=None) as connection, _one_moment(connection):
                state = await connection.fetchrow(STATE)
                tool = self.tools.find("pg_dump", state["number"] // 10000, "the server")
                snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
                rows = await count_rows(connection, state["schema"])
                self._check_ours(rows)
                self.notice(f"dump {sum(rows.values())} rows of {len(rows)} tables")
                part = begin_part(self.folder, name, self.tools.environment)
                try:
                    await self.tools.run(
                        tool,
                        (
                            *("--format=custom", "--no-owner", "--no-privileges", "--no-password"),
                            *(f"--schema={quoted(state['schema'])}", f"--snapshot={snapshot}"),
                            f"--file={part}",
                        ),
                        self.login,
                    )
                    await self._check_whole(part, state["schema"], rows, tool.major)
                except BaseException:  # also of Ctrl-C: a part has no use
                    part.unlink(missing_ok=True)
                    raise
        dump = Dump(
            name,
            at,
            part.stat().st_size,
            sha256_of(part),
            tool.major,
            state["version"].partition(" ")[0],
            state["schema"],
            state["extension"] or state["schema"],
            rows,
        )
        try:
            return dump, await self.store.keep(part, dump)
        finally:
            part.unlink(missing_ok=True)

    def _check_ours(self, rows: Mapping[str, int]) -> None:
        """Check that this is the server's database: a dump of nothing is no backup."""
        if PREFECTS_TABLE not in rows:
            raise DumpError(
                f"The database {self.login.address.database} has no table {PREFECTS_TABLE} of Prefect's.",
                where=self.tools.environment,
                advice=f"Correct the address, or apply first: {Command('apply', self.tools.environment)}",
            )

    async def _check_whole(
        self, path: Path, schema: str, rows: Mapping[str, int], major: int
    ) -> None:
        listed = "\n".join(await self._contents(path, major))
        missing = sorted(t for t in rows if f" TABLE DATA {schema} {t} " not in listed)
        if missing:
            raise DumpError(
                f"The dump lacks tables: {', '.join(missing)}.",
                where=self.tools.environment,
                advice="Give the user the right to read them, then run this again.",
            )

    async def _contents(self, path: Path, major: int) -> list[str]:
        """Return the lines of a dump's contents that hold rows or create something."""
        tool = self.tools.find("pg_restore", major, "the dump")
        text = await self.tools.run(tool, ("--list", str(path)), None)
        return [line for line in text.splitlines() if line and not line.startswith(";")]

    async def restore(self, dump: Dump, database: str) -> None:
        """Restore a dump into a new database of the same server, and count its rows.

        Raises:
            DumpError: the file is damaged, the server refused, or rows are missing; the new database
                is dropped.
            BucketError: the bucket does not give it; nothing was created.
            MissingToolError: there is no pg_restore of the dump's version.
        """
        async with self.store.fetched(dump) as path:
            if sha256_of(path) != dump.sha256:
                raise DumpError(
                    f"{dump.name} in {self.store.where} is not what was written: its sha256 is another one.",
                    where=self.tools.environment,
                    advice=f"Take another one: {Command('backups', self.tools.environment)}",
                )
            await self._restore(dump, path, database)

    async def _restore(self, dump: Dump, path: Path, database: str) -> None:
        contents = await self._contents(path, dump.major)
        await self._create(database)
        try:
            self.notice(f"restore {dump.name} into the database {database}")
            await self._fill(dump, path, contents, database)
        except BaseException:
            with anyio.move_on_after(REMOVE_LIMIT_S, shield=True):
                await self.drop(database)
            raise

    async def _create(self, database: str) -> None:
        self.notice(f"create the database {database}")
        with self._explained():
            async with self.login.connected() as connection:
                await connection.execute(f"CREATE DATABASE {quoted(database)}")

    async def _fill(self, dump: Dump, path: Path, contents: list[str], database: str) -> None:
        target = self.login.to(database)
        schema, extension = quoted(dump.schema), quoted(dump.extension)
        with self._explained():
            async with target.connected() as connection:
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {extension}")
                await connection.execute(
                    f"CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA {extension}"
                )
        tool = self.tools.find("pg_restore", dump.major, "the dump")
        with tempfile.TemporaryDirectory() as folder:
            chosen = Path(folder) / "contents"
            kept = [line for line in contents if f" SCHEMA - {dump.schema} " not in line]
            chosen.write_text("\n".join(kept) + "\n", encoding="utf-8")
            await self.tools.run(
                tool,
                (
                    *("--no-owner", "--no-privileges", "--no-password", "--single-transaction"),
                    *(f"--use-list={chosen}", f"--dbname=dbname={_conninfo(database)}"),
                    str(path),
                ),
                target,
            )
        with self._explained():
            async with target.connected(command_s=None) as connection:
                found = await count_rows(connection, dump.schema)
        if found != dict(dump.rows):
            differ = sorted(t for t in {*found, *dump.rows} if found.get(t) != dump.rows.get(t))
            raise DumpError(
                f"The restored rows are not those of the dump: {', '.join(differ)}.",
                where=self.tools.environment,
                advice=f"Take another one: {Command('backups', self.tools.environment)}",
            )

    @asynccontextmanager
    async def drilled(self, dump: Dump) -> AsyncIterator[str]:
        """Restore a dump into a database that is dropped at the end; yield its name.

        Raises:
            DumpError: see `restore`.
        """
        database = named_after(self.login.address.database, DRILL)
        await self._clear(database)
        await self.restore(dump, database)
        try:
            yield database
        finally:
            with anyio.move_on_after(REMOVE_LIMIT_S, shield=True):
                await self.drop(database)

    async def _clear(self, database: str) -> None:
        """Drop the database that a killed drill left; its name is a drill's alone."""
        with self._explained():
            async with self.login.connected() as connection:
                left = await connection.fetchval(
                    "SELECT count(*) FROM pg_database WHERE datname = $1", database
                )
        if left:
            self.notice(f"drop the database {database}, which an earlier drill left")
            await self.drop(database)

    async def drop(self, database: str) -> None:
        """Drop a database that this created."""
        self.notice(f"drop the database {database}")
        with self._explained():
            async with self.login.connected() as connection:
                await connection.execute(f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert any failure of the driver; not chained, as its text may hold the password.

        Raises:
            DumpError: has the server's words without it.
        """
        try:
            yield
        except RoostError:
            raise
        except Exception as error:  # noqa: BLE001 - the text of any error may hold the address
            words = words_of(str(error) or type(error).__name__, self.login.address)
            raise DumpError(
                f"The database cannot be used: {words}.",
                where=self.tools.environment,
                advice=f"See what is wrong with it: {Command('doctor', self.tools.environment, '--database')}",
            ) from None


@asynccontextmanager
async def _one_moment(connection: Any) -> AsyncIterator[None]:
    """Read as of one moment, without holding up anybody who writes.

    A provider may end a session that waits this long, and a proxy may cut it. By then pg_dump reads the
    moment in a session of its own, so the end of this one is no failure.
    """
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await connection.execute("SET LOCAL statement_timeout = 0")
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    yield
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await connection.execute("ROLLBACK")


async def count_rows(connection: Any, schema: str) -> dict[str, int]:
    """Return the number of rows of each table of a schema."""
    tables = [row["tablename"] for row in await connection.fetch(TABLES, schema)]
    return {
        table: await connection.fetchval(
            f"SELECT count(*) FROM {quoted(schema)}.{quoted(table)}"  # noqa: S608 - quoted names
        )
        for table in tables
    }


def named_after(database: str, suffix: str) -> str:
    """Return the name of a database beside another one, within PostgreSQL's limit."""
    room = LONGEST_NAME - len(suffix.encode())
    return database.encode()[:room].decode(errors="ignore") + suffix


def _conninfo(name: str) -> str:
    """Return a value for a connection string, in which `=` and spaces have a meaning."""
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
