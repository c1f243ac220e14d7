"""Store JSON documents by kind and id in one SQLite file.

Every change is committed before its response is sent, so after a kill at any moment the next daemon
finds what was last reported. Only its owner can read the file, which holds secrets.
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
    """The state file is damaged or not a database."""


class Store:
    """The documents on disk.

    Raises:
        StateError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._database = sqlite3.connect(path, isolation_level=None)
        try:
            self._database.execute("pragma journal_mode=wal")
            # The file survives a crash of the daemon. A power failure need not be survived here.
            self._database.execute("pragma synchronous=normal")
            self._database.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise StateError(
                f"The state in {path} cannot be read: {error}.",
                advice="Start over: localfly reset --yes. Volumes are in the folder beside it.",
            ) from error

    def put(self, kind: str, key: str, document: Json) -> None:
        """Store a document, replacing an older one."""
        self._database.execute(
            "insert or replace into documents values (?, ?, ?)", (kind, key, json.dumps(document))
        )

    def delete(self, kind: str, key: str) -> None:
        """Delete a document."""
        self._database.execute("delete from documents where kind = ? and id = ?", (kind, key))

    def all(self, kind: str) -> Iterator[Json]:
        """Return every document of a kind, sorted by id."""
        query = "select document from documents where kind = ? order by id"
        for (text,) in self._database.execute(query, (kind,)).fetchall():
            yield json.loads(text)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
