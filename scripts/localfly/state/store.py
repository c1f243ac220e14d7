"""What survives: JSON documents by kind and id, in one SQLite file.

Every change is committed before it is answered, so a daemon that is killed at any moment finds its
world again as it last told it. The file is readable by its owner alone: it holds secrets.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localfly.errors import LocalFlyError

Json = dict[str, Any]

_SCHEMA = """
create table if not exists documents (
    kind text not null, id text not null, document text not null, primary key (kind, id)
) without rowid
"""


class StateError(LocalFlyError):
    """The file that holds the state is damaged, or is something else."""


class Store:
    """Documents on disk.

    Raises:
        StateError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._database = sqlite3.connect(path, isolation_level=None)
        try:
            self._database.execute("pragma journal_mode=wal")
            # The file outlives us, not the power: a local stand-in need not wait for the disk.
            self._database.execute("pragma synchronous=normal")
            self._database.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise StateError(
                f"The state in {path} cannot be read: {error}.",
                advice="Begin anew: localfly reset --yes. Volumes are in the folder beside it.",
            ) from error

    def put(self, kind: str, key: str, document: Json) -> None:
        """Keep a document, in place of an older one."""
        self._database.execute(
            "insert or replace into documents values (?, ?, ?)", (kind, key, json.dumps(document))
        )

    def delete(self, kind: str, key: str) -> None:
        """Forget a document."""
        self._database.execute("delete from documents where kind = ? and id = ?", (kind, key))

    def all(self, kind: str) -> Iterator[Json]:
        """Return every document of a kind, by id."""
        query = "select document from documents where kind = ? order by id"
        for (text,) in self._database.execute(query, (kind,)).fetchall():
            yield json.loads(text)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
