"""Run a copy of the database in place of the server, and report what it found.

Fly has no API for logs, so the result, and how far the copy is, are in the machine's metadata.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass

from roost_machine.metadata import write_metadata
from roost_server.errors import BootError
from roost_server.move_answers import turning_clients_away

KEY = "roost_move"
"""The metadata entry with the result (scripts/roost/plan/database_move.py reads it)."""
DIGITS = 8
LIMIT_S = 10.0


@dataclass(frozen=True)
class Copied:
    """A table whose rows and content are the same on both sides."""

    table: str
    rows: int
    digest: str


def run_copy(
    environ: MutableMapping[str, str],
    copy: Callable[[MutableMapping[str, str]], tuple[Copied, ...]],
) -> int:
    """Copy while clients are turned away, report the result, and return 0 or 1."""
    began = time.monotonic()
    try:
        with turning_clients_away(environ):
            copied = copy(environ)
    except BootError as error:
        print(f"roost: the database was not copied: {error}", flush=True)
        _report(environ, {"error": str(error)})
        return 1
    seconds = round(time.monotonic() - began, 1)
    tables = [[one.table, one.rows, one.digest[:DIGITS]] for one in copied]
    rows = sum(one.rows for one in copied)
    print(f"roost: {rows} rows of {len(copied)} tables were copied in {seconds} s", flush=True)
    _report(environ, {"tables": tables, "seconds": seconds})
    return 0


def _report(environ: Mapping[str, str], found: Mapping[str, object]) -> None:
    """Write the result into the machine's metadata, with the version of the machine's config."""
    entry = json.dumps({"version": environ.get("FLY_MACHINE_VERSION", ""), **found})
    if not write_metadata(KEY, entry, environ, LIMIT_S):
        print("roost: Fly did not take the result of the copy", flush=True)
