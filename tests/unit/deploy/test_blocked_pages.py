"""The expensive pages are blocked, and no others."""

from __future__ import annotations

import asyncio

import pytest

from helpers.asgi_calls import Client, answer, http
from roost_server.serve import BLOCKED_PAGES, block_costly_pages


async def open_to_all(_, __, send):
    """Answer any request."""
    await answer(send, 200, b"a page")


def visit(scope):
    return asyncio.run(Client().call(block_costly_pages(open_to_all), scope))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", [*sorted(BLOCKED_PAGES), "/docs/", "/openapi.json//"])
def test_a_costly_page_is_not_found(method, path):
    client = visit(http(method, path))

    assert (client.statuses, client.body) == ([404], b"")
    assert client.got[-1]["type"] == "http.response.body"


@pytest.mark.parametrize(
    "path", ["/", "", "/v2/", "/ui-settings", "/api/flows/", "/api/health", "/docs2", "/api/docs/x"]
)
def test_every_other_page_is_there(path):
    assert visit(http("GET", path)).body == b"a page"


@pytest.mark.parametrize("scope", [{"type": "websocket", "path": "/docs"}, {"type": "lifespan"}])
def test_what_is_no_request_passes(scope):
    passed = []

    async def app(*arguments):
        passed.append(arguments)

    client = Client()
    asyncio.run(client.call(block_costly_pages(app), scope))

    assert passed == [(scope, client.receive, client.send)]
