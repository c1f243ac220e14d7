"""GET /api/v1/apps/{app}/logs: what an app's machines wrote, in pieces that follow each other.

The token of the next piece says how far each file was read. A process writes its lines without
times, so that a line has the time of its file's last change.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import ApiState, answer, app_of
from localfly.api_errors import ApiError
from localfly.machines.process_spec import log_path

Json = dict[str, Any]
FIRST_LINES = 100
"""The lines of each file that the first piece has at most."""
PIECE_BYTES = 64 * 1024
"""The bytes of each file that a piece has at most."""
_OWN = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<by>proxy|flyd)\b")


@dataclass(frozen=True)
class Source:
    """One log file: of a machine, or of the app's own proxy."""

    path: Path
    instance: str
    region: str


async def read_logs(api: ApiState, request: Request) -> Response:
    """GET /api/v1/apps/{app}/logs?next_token=&instance=&region=."""
    app, query = app_of(api, request), request.query_params
    offsets = _read_token(query.get("next_token") or "")
    sources = [Source(log_path(api.world.home, app.name), "", "")]
    machines = [m for m in api.world.machines.values() if m.app == app.name]
    sources += [Source(log_path(api.world.home, m.id), m.id, m.region) for m in machines]
    wanted = [
        source
        for source in sources
        if query.get("instance") in (None, "", source.instance)
        and query.get("region") in (None, "", source.region)
    ]
    entries, ends = await asyncio.to_thread(_read_all, wanted, offsets)
    data = [{"id": str(number), "attributes": entry} for number, entry in enumerate(entries)]
    return answer({"data": data, "meta": {"next_token": _write_token({**offsets, **ends})}})


def _read_token(text: str) -> dict[str, int]:
    """Return how far each file was read; nothing was for an empty token.

    Raises:
        ApiError: 400 for a token that was not given here.
    """
    if not text:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(text))
        return {str(name): int(offset) for name, offset in found.items()}
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        raise ApiError(400, "invalid_argument: next_token is not one of this API") from None


def _write_token(offsets: dict[str, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(offsets, sort_keys=True).encode()).decode()


def _read_all(sources: list[Source], offsets: dict[str, int]) -> tuple[list[Json], dict[str, int]]:
    """Return new entries in the order of their times, and where each file's next piece begins."""
    entries: list[Json] = []
    ends: dict[str, int] = {}
    for source in sources:
        if source.path.is_file():
            name = source.path.stem
            found, ends[name] = _read_file(source, offsets.get(name))
            entries += found
    return sorted(entries, key=lambda entry: str(entry["timestamp"])), ends


def _read_file(source: Source, offset: int | None) -> tuple[list[Json], int]:
    state = source.path.stat()
    begin = offset if offset is not None else max(0, state.st_size - PIECE_BYTES)
    if not 0 <= begin <= state.st_size:
        begin = 0  # the file was rotated
    with source.path.open("rb") as file:
        file.seek(begin)
        content = file.read(PIECE_BYTES)
    whole, newline, rest = content.rpartition(b"\n")
    if not newline and len(rest) == PIECE_BYTES:
        whole, rest = rest, b""  # a line that is longer than a piece is cut
    lines = whole.decode(errors="replace").splitlines()
    if offset is None:
        lines = lines[-FIRST_LINES:]
    changed = datetime.fromtimestamp(state.st_mtime, UTC)
    written = changed.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return list(_entries(source, lines, written)), begin + len(content) - len(rest)


def _entries(source: Source, lines: list[str], written: str) -> Iterator[Json]:
    for line in lines:
        own = _OWN.match(line)
        provider = {"proxy": "proxy", "flyd": "runner"}[own["by"]] if own else "app"
        yield {
            "timestamp": own["time"] if own else written,
            "message": line[own.start("by") :] if own else line,
            "level": "info",
            "instance": source.instance,
            "region": source.region,
            "meta": {
                "instance": source.instance,
                "region": source.region,
                "event": {"provider": provider},
            },
        }
