"""A volume, a PostgreSQL, and the program on the machine that copies from one to the other."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from helpers.filled_database import fill
from helpers.postgres import Postgres
from helpers.prefect_process import free_port
from helpers.waiting import LIMIT_S


class Move:
    """Runs the program, as its machine does.

    Args:
        image: the image's folder and settings.
        home: the folder of the volume.
        database: the PostgreSQL.
        programs: the folder of PostgreSQL's programs.
    """

    def __init__(self, image: Any, home: Path, database: Postgres, programs: Path) -> None:
        self.image, self.home, self.database = image, home, database
        self.url = database.url
        self.file = home / "prefect.db"
        self._programs = programs
        self._processes: list[subprocess.Popen[str]] = []

    def fill(self, runs: int) -> None:
        """Put a database with so many runs on the volume."""
        shutil.copyfile(self.image.folder / "baked" / "prefect.db", self.file)
        fill(self.file, runs)

    def begin(self, how: str = "move-database") -> subprocess.Popen[str]:
        """Start the program."""
        process = subprocess.Popen(
            [self.image.bin / "python", "server.py", how],
            env={
                "PATH": f"{self.image.bin}:/usr/bin:/bin",
                "HOME": str(self.home),
                "LANG": "C.UTF-8",
                **self.image.env,
                "IMAGE_ROOT": str(self.image.folder),
                "PREFECT_HOME": str(self.home),
                "PREFECT_SERVER_API_PORT": str(free_port()),
                "ROOST_DATABASE_URL_VARIABLE": "DATABASE_URL",
                "DATABASE_URL": self.url,
            },
            cwd=self.image.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.append(process)
        return process

    def run(self, code: int, how: str = "move-database") -> str:
        """Run the program, check its exit code, and return what it printed."""
        process = self.begin(how)
        printed, _ = process.communicate(timeout=LIMIT_S * 60)
        assert process.returncode == code, printed
        assert self.database.password not in printed
        return printed

    def sql(self, statement: str) -> list[str]:
        """Run SQL in PostgreSQL; return the words of what it answers."""
        psql, url = str(self._programs / "psql"), self.database.url
        command = [psql, url, "-qAtX", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*command, "-c", statement],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout).split()

    def writing(self, statement: str) -> subprocess.Popen[str]:
        """Run a statement in PostgreSQL again and again, until `close`."""
        psql, url = str(self._programs / "psql"), self.database.url
        process = subprocess.Popen(
            [psql, url, "-qAtX"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._processes.append(process)
        assert process.stdin
        process.stdin.write(f"{statement} \\watch 0.01\n")
        process.stdin.flush()
        return process

    def counts(self, tables: Iterable[str]) -> dict[str, int]:
        """Return how many rows PostgreSQL has of each table."""
        return {table: int(self.sql(f"SELECT count(*) FROM {table}")[0]) for table in tables}

    def change(self, *statements: str) -> None:
        """Change the database on the volume."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    @property
    def stage(self) -> Any:
        """How far the note on the volume says that the move is."""
        return json.loads((self.home / "roost-move.json").read_text())["stage"]

    def close(self) -> None:
        """End what still runs."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what is left for a program that has ended
                        pipe.close()
