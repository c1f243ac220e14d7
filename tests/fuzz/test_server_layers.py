"""The server's own layers under junk: no request breaks them, opens a closed door, or keeps it awake."""

from __future__ import annotations

import asyncio
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.asgi_calls import Client, answer, body_of, chunks
from helpers.fuzzing import examples
from helpers.waiting import LIMIT_S
from roost_server.idle_suspend import Activity
from roost_server.maintenance_mode import (
    AUTH_SETTING,
    GATE_HEADER,
    OPEN_PATH,
    OWNER,
    MaintenanceMode,
)
from roost_server.serve import BLOCKED_PAGES, block_costly_pages
from roost_server.write_requests import queue_requests

LOGIN = "admin:s3cret"
RIGHT = b"Basic " + base64.b64encode(LOGIN.encode())
PATHS = [
    OPEN_PATH,
    "/api/health",
    "/api/ready",
    "/roost/hold",
    "/docs",
    "/docs/",
    "//docs",
    "/",
    "",
]
NAMES = [GATE_HEADER, b"authorization", b"fly-request-id", b"X-Roost-Gate", b"host", b""]
VALUES = [b"", b"1", b"Basic", b"Basic !!!", b"Bearer x", RIGHT[:-1], b"\xff\xfe", b"Basic " * 500]
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(NAMES) | st.binary(max_size=12),
        st.sampled_from(VALUES) | st.binary(max_size=12),
    ),
    max_size=5,
)
SCOPES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["http", "http", "http", "websocket"]),
        "method": st.sampled_from(["GET", "POST", "DELETE", "PROPFIND", "", "get"]),
        "path": st.sampled_from(PATHS) | st.text(max_size=12),
        "headers": HEADERS,
    }
)
BODIES = st.lists(st.binary(max_size=10), min_size=1, max_size=3)


class Behind:
    """Stands where Prefect does: reads the body, answers 200, and counts."""

    def __init__(self):
        self.reached = []

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        self.reached.append(scope)
        if scope["type"] == "http":
            await body_of(receive)
            await answer(send, 200)
        else:
            await send({"type": "websocket.close", "code": 1000})


@pytest.fixture
def closed(tmp_path):
    """The home of a server that another machine wrote last: it is closed until proved."""
    (tmp_path / OWNER).write_text("another-machine")
    return tmp_path


def layered(home):
    """The layers as the server has them; gives them with what is behind and what they keep."""
    behind, activity = Behind(), Activity(clock=lambda: 7.0)
    environ = {AUTH_SETTING: LOGIN, "FLY_MACHINE_ID": "this-machine"}
    # A socket of a server that is closed is held, as long as this says.
    maintenance = MaintenanceMode(home, environ, clock=lambda: 1000.0, socket_s=0.0)
    app = activity.layer(maintenance.layer(queue_requests(block_costly_pages(behind))))
    return app, behind, activity, maintenance


@given(scope=SCOPES, bodies=BODIES)
@examples(80)
def test_a_closed_server_opens_for_nothing_but_the_gate_with_its_login(closed, scope, bodies):
    app, behind, activity, maintenance = layered(closed)
    client = Client(chunks(*bodies))

    asyncio.run(asyncio.wait_for(client.call(app, scope), LIMIT_S))

    names = [name for name, _ in scope["headers"]]
    looks = scope["path"] in {"/api/health", "/api/ready"} and b"fly-request-id" not in names
    if GATE_HEADER not in names and not looks:
        assert behind.reached == []
    assert not maintenance.is_open()
    assert activity.open == 0
    assert (
        len([message for message in client.got if message["type"].endswith((".start", ".close"))])
        == 1
    )


@given(scope=SCOPES, bodies=BODIES)
@examples(80)
def test_an_open_server_answers_everything_once_and_costly_pages_never(tmp_path, scope, bodies):
    app, behind, activity, _ = layered(tmp_path)
    client = Client(chunks(*bodies))

    asyncio.run(asyncio.wait_for(client.call(app, scope), LIMIT_S))

    assert activity.open == 0
    assert len(client.statuses) == (scope["type"] == "http")
    if scope["type"] == "http" and scope["path"].rstrip("/") in BLOCKED_PAGES:
        assert behind.reached == []


@given(scope=SCOPES, sent=st.integers(0, 2))
@examples(30)
def test_a_client_that_vanishes_in_its_body_leaves_nothing_open(tmp_path, scope, sent):
    app, _, activity, _ = layered(tmp_path)
    parts = [{"type": "http.request", "body": b"x", "more_body": True}] * sent
    client = Client([*parts, {"type": "http.disconnect"}])

    with_error = asyncio.run(asyncio.wait_for(_call(client, app, scope), LIMIT_S))

    assert with_error is None or isinstance(with_error, ConnectionError)
    assert activity.open == 0


async def _call(client, app, scope):
    try:
        await client.call(app, scope)
    except ConnectionError as error:
        return error
    return None
