"""Run pg_dump and pg_restore: the login is in their environment, never on a command line."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from roost.errors import DumpError, MissingToolError
from roost.errors.command import Command
from roost.operations.postgres_connection import PostgresLogin, words_of
from roost.plan.database_address import SYSTEM

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_NO_LOGIN = ("PG", "LD_", "PYTHON")
"""Beginnings of variables that are kept from the programs: those of libpq would change the login."""


@dataclass(frozen=True)
class Tool:
    """A program of PostgreSQL's, and its major version."""

    path: str
    major: int


@dataclass(frozen=True)
class PostgresTools:
    """Runs PostgreSQL's programs for one environment.

    Args:
        environment: its name, for messages.
        environ: the variables of this process.
    """

    environment: str
    environ: Mapping[str, str]

    def find(self, name: str, least: int, what: str) -> Tool:
        """Return a program of a major version or a newer one.

        Args:
            name: the program.
            least: the oldest major version that works.
            what: what is of that version, for the message.

        Raises:
            MissingToolError: there is none, or it is older.
        """
        path = shutil.which(name, path=self.environ.get("PATH"))
        advice = f"Install it (Debian: apt-get install postgresql-client-{least}), or put the folder of a newer one first in PATH."
        if path is None:
            raise MissingToolError(
                f"There is no {name} here.", where=self.environment, advice=advice
            )
        said = subprocess.run(  # noqa: S603 - a program of PostgreSQL's that PATH names
            [path, "--version"], capture_output=True, text=True, check=False
        )
        found = _VERSION.search(said.stdout)
        major = int(found[1]) if found else 0
        if major < least:
            raise MissingToolError(
                f"{path} is of PostgreSQL {major or 'an unknown version'}, and {what} is of {least}: it needs that version or a newer one.",
                where=self.environment,
                advice=advice,
            )
        return Tool(path, major)

    async def run(self, tool: Tool, arguments: Sequence[str], login: PostgresLogin | None) -> str:
        """Run a program and return what it prints; it ends when this is cancelled.

        Raises:
            DumpError: it failed; has its first lines, without the password.
        """
        with libpq_variables(login) as variables:
            kept = {k: v for k, v in self.environ.items() if not k.startswith(_NO_LOGIN)}
            command = [tool.path, *arguments]
            done = await anyio.run_process(command, env={**kept, **variables}, check=False)
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            said = words_of(" / ".join(lines[:3]), login.address) if login else lines[0]
            raise DumpError(
                f"{Path(tool.path).name} failed: {said}.",
                where=self.environment,
                advice=f"Look at what is wrong with the database: {Command('doctor', self.environment, '--database')}",
            )
        return done.stdout.decode(errors="replace")


@contextmanager
def libpq_variables(login: PostgresLogin | None) -> Iterator[dict[str, str]]:
    """Yield libpq's variables of a login; the root certificate is in a file meanwhile.

    https://www.postgresql.org/docs/current/libpq-envars.html
    """
    if login is None:
        yield {}
        return
    address = login.address
    variables = {
        "PGHOST": login.host.name,
        "PGPORT": str(login.host.port),
        "PGUSER": address.user,
        "PGPASSWORD": address.password.reveal(),
        "PGDATABASE": address.database,
        "PGSSLMODE": address.mode,
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": "roost",
    }
    if not address.mode.startswith("verify-"):
        yield variables
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root.pem"
        root.write_text(f"{login.pem}\n", encoding="ascii")
        named = _system_authorities() if address.root in ("", SYSTEM) else str(root)
        yield {**variables, "PGSSLROOTCERT": named}


def _system_authorities() -> str:
    return ssl.get_default_verify_paths().cafile or "system"
