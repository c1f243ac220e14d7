"""Objects that a check creates on a real server, and their removal."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Self

import anyio
import httpx

from roost.prefect.server import NOT_PREFECT, CheckFailedError, Json, Server

NAME_PREFIX = "roost-smoke-"
CLEANUP_LIMIT_S = 20
LEFTOVER_AGE = timedelta(hours=1)
_TROUBLE = (CheckFailedError, httpx.HTTPError, *NOT_PREFECT)


def own_name() -> str:
    """Return a name that no other check uses."""
    return f"{NAME_PREFIX}{secrets.token_hex(6)}"


class CreatedObjects:
    """The objects that a check created; those left at its end are removed, newest first.

    Removal goes on while the check is cancelled, for at most CLEANUP_LIMIT_S seconds. An object
    that could not be removed fails a check that passed, and hides no other failure.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._paths: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.move_on_after(CLEANUP_LIMIT_S, shield=True):
            for path in reversed(self._paths.copy()):
                with suppress(*_TROUBLE):
                    await self.remove(path)
        if self._paths and error is None:
            raise CheckFailedError(
                f"could not remove {', '.join(self._paths)}",
                "Look at the server's log. The next smoke removes what is older than an hour.",
            )

    async def make(self, path: str, body: Json) -> str:
        """Create an object and return its path, such as `/flows/ID`."""
        made = await self._server.call("POST", f"{path}/", body)
        own = f"{path}/{made['id']}"
        self._paths.append(own)
        return own

    async def remove(self, path: str) -> None:
        """Remove an object; one that is gone is fine."""
        await self._server.call("DELETE", path, also=HTTPStatus.NOT_FOUND)
        self._paths.remove(path)


def id_of(path: str) -> str:
    """Return the id at the end of an object's path."""
    return path.rpartition("/")[2]


async def remove_leftovers(server: Server) -> None:
    """Remove flows, with all that belongs to them, of checks that were killed over an hour ago."""
    chosen = {"flows": {"name": {"like_": NAME_PREFIX}}, "limit": 50}
    with suppress(*_TROUBLE):
        for flow in await server.call("POST", "/flows/filter", chosen):
            age = server.now() - datetime.fromisoformat(flow["created"])
            if flow["name"].startswith(NAME_PREFIX) and age > LEFTOVER_AGE:
                await server.call("DELETE", f"/flows/{flow['id']}", also=HTTPStatus.NOT_FOUND)
