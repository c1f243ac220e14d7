"""The note on the volume about a move to PostgreSQL: which of two databases may be served.

The copy is made by this machine, and the volume stays with it. So the file beside SQLite's decides,
whatever the settings ask for: a server starts on PostgreSQL only after a complete copy, and on
SQLite only while no client has written to PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

from roost_server.errors import BootError
from roost_server.seed_database import flush
from roost_server.settings import MOVED_FROM, home_folder, uses_sqlite_file

FILE = "roost-move.json"


class Stage(Enum):
    """How far a move is."""

    COPYING = "copying"
    COPIED = "copied"
    OPENED = "opened"
    """Clients have been admitted to PostgreSQL: SQLite's file is out of date for good."""
    STALE = "stale"
    """SQLite was served after the copy, so the copy is out of date."""


@dataclass(frozen=True)
class MoveNote:
    """A move.

    Args:
        stage: how far it is.
        attempts: the marks that this volume's copies left in PostgreSQL, the newest last.
        at: when it came to this stage, in seconds since 1970.
    """

    stage: Stage
    attempts: tuple[str, ...]
    at: float


def is_moved(environ: Mapping[str, str]) -> bool:
    """Return whether this server's data was moved from the file on its volume."""
    return bool(environ.get(MOVED_FROM))


def read_move(home: Path) -> MoveNote | None:
    """Return the note; None if there is none.

    Raises:
        BootError: it cannot be read, so it is not known which database is the newer one.
    """
    try:
        fields = json.loads((home / FILE).read_text("utf-8"))
        return MoveNote(Stage(fields["stage"]), tuple(fields["attempts"]), float(fields["at"]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise BootError(
            f"{FILE} on the volume cannot be read ({type(error).__name__}), so it is not known whether "
            "the data is in PostgreSQL; restore the file from a snapshot of the volume"
        ) from None


def write_move(home: Path, note: MoveNote) -> None:
    """Write the note, whole or not at all."""
    aside = home / f"{FILE}.new"
    aside.write_text(json.dumps({**asdict(note), "stage": note.stage.value}), "utf-8")
    flush(aside)
    aside.replace(home / FILE)
    flush(home)


def guard_move(environ: Mapping[str, str], now: float) -> None:
    """Check before a start that the database that the settings name is the one with the data.

    Raises:
        BootError: it is not.
    """
    home = home_folder(environ)
    note = read_move(home)
    if is_moved(environ) and not uses_sqlite_file(environ):
        if note is None or note.stage not in (Stage.COPIED, Stage.OPENED):
            raise BootError(
                "the data on the volume was not copied to PostgreSQL completely; apply again, which "
                "copies it"
            )
    elif note and uses_sqlite_file(environ):
        if note.stage is Stage.OPENED:
            raise BootError(
                "the data was moved from this volume to PostgreSQL, and clients have written there "
                "since; set database.backend: postgres and apply"
            )
        if note.stage is Stage.COPIED:
            write_move(home, replace(note, stage=Stage.STALE, at=now))


def closed_since(environ: Mapping[str, str]) -> float | None:
    """Return since when a moved server waits for its proof, in s since 1970; None if it does not."""
    if not is_moved(environ):
        return None
    note = read_move(home_folder(environ))
    return note.at if note and note.stage is Stage.COPIED else None


def finish_move(environ: Mapping[str, str], now: float) -> None:
    """Note that clients are admitted to PostgreSQL; from now on SQLite's file is not served again."""
    home = home_folder(environ)
    if not is_moved(environ) or uses_sqlite_file(environ):
        return
    if (note := read_move(home)) and note.stage is Stage.COPIED:
        write_move(home, replace(note, stage=Stage.OPENED, at=now))
