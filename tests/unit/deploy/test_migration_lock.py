"""One machine at a time migrates a Postgres database, from before Prefect's start until its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from helpers.asgi_calls import Client, Scripted, http
from roost_server.errors import BootError
from roost_server.migration_lock import migrate_under_lock, postgres_lock
from roost_server.postgres_address import POOLING
from roost_server.settings import URL_SETTING

LIFE = {"type": "lifespan"}


class Turns:
    """Records when the lock is taken and released."""

    def __init__(self):
        self.happened = []

    @asynccontextmanager
    async def __call__(self):
        """Take the lock."""
        self.happened.append("taken")
        try:
            yield
        finally:
            self.happened.append("let go")

    def live(self, *sends, error=None):
        """Run an application that sends these messages; return the events in order."""

        async def app(_, __, send):
            self.happened.append("migrating")
            for kind in sends:
                await send({"type": kind})
            if error:
                raise error

        async def send(message):
            self.happened.append(message["type"])

        asyncio.run(migrate_under_lock(app, self)(LIFE, None, send))


@pytest.mark.parametrize("said", ["lifespan.startup.complete", "lifespan.startup.failed"])
def test_the_turn_lasts_from_before_the_start_until_it_has_ended(said):
    turns = Turns()

    turns.live(said, "lifespan.shutdown.complete")

    assert turns.happened == ["taken", "migrating", "let go", said, "lifespan.shutdown.complete"]


def test_an_application_that_breaks_lets_the_turn_go():
    turns = Turns()

    with pytest.raises(LookupError):
        turns.live(error=LookupError())

    assert turns.happened == ["taken", "migrating", "let go"]


def test_a_turn_that_does_not_come_ends_the_start_with_why():
    sent = []

    @asynccontextmanager
    async def no_turn():
        raise BootError("process 7 has it")
        yield

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    asyncio.run(migrate_under_lock(Scripted([200]), no_turn)(LIFE, receive, send))

    assert sent == [{"type": "lifespan.startup.failed", "message": "roost: process 7 has it."}]


def test_requests_take_no_turn():
    turns = Turns()

    client = asyncio.run(Client().call(migrate_under_lock(Scripted([200]), turns), http()))

    assert (client.statuses, turns.happened) == ([200], [])


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {URL_SETTING: "postgresql+asyncpg://u:p@h:6543/db"},
        {URL_SETTING: "postgresql+asyncpg://u:p@h/db", POOLING: "transaction"},
    ],
    ids=["no address", "a transaction pooler by its port", "one that was found by asking"],
)
def test_where_no_session_lasts_no_lock_is_tried(environ, capsys):
    async def take():
        async with postgres_lock(environ)():
            return True

    assert asyncio.run(take())
    assert capsys.readouterr() == ("", "")
