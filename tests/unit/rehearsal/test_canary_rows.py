"""A few rows are written and found again, or are known to be lost."""

from __future__ import annotations

import httpx
import pytest

from helpers import virtual_time
from helpers.fake_prefect import LOGIN, FakePrefect, say
from roost.prefect.server import Server
from roost.rehearsal.canary_rows import ROWS, TROUBLE, count_canary_rows, write_rows
from roost.secret_text import SecretText


def asking(prefect, act, *arguments):
    """Do something with a server as one who is logged in."""

    async def ask():
        transport = httpx.MockTransport(prefect)
        async with httpx.AsyncClient(transport=transport, base_url="http://prefect.test") as http:
            return await act(Server(http, SecretText(LOGIN)), *arguments)

    return virtual_time.run(ask)


@pytest.mark.parametrize("csrf", [False, True])
def test_what_was_written_is_counted(csrf):
    prefect = FakePrefect(csrf=csrf)

    rows = asking(prefect, write_rows)

    assert len(set(rows)) == ROWS
    assert asking(prefect, count_canary_rows, rows) == ROWS


def test_what_is_gone_is_missing_in_the_count():
    prefect = FakePrefect()
    rows = asking(prefect, write_rows)
    del prefect.things[rows[0]]

    assert asking(prefect, count_canary_rows, rows) == ROWS - 1


@pytest.mark.parametrize("answer", [say(500), say(200, []), httpx.ReadTimeout("slow")])
def test_a_server_that_does_not_take_them_is_trouble(answer):
    prefect = FakePrefect(broken={("POST", "/api/flows/"): answer})

    with pytest.raises(TROUBLE):
        asking(prefect, write_rows)
