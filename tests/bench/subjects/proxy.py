"""Compare a machine behind the local Fly's proxy with the same machine asked directly."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial

from bench.errors import BenchError
from bench.lab import Lab, free_port
from bench.rounds import interleaved
from bench.site import Machine, Site, local_fly, path
from bench.stats import Aim, Limit, Row, Sample, Table, Unit

ABOUT = """
One machine of the local Fly, a small application on uvicorn. Ours: through the proxy, at the app's
port. Stock: the same machine at its own address, without the proxy. Both in turns, in one run; the
client, the proxy and the machine share the computer.

- *small requests*: how long 2,000 GET requests take over 20 connections, each of which asks again as
  soon as it is answered. The response has 100 bytes.
- *300 MB*: how long one response of 300 MB takes, over a new connection.
"""

CONNECTIONS, REQUESTS = 20, 2000
BODY_MB = 300
LIMIT_S = 300
MARK = b"#end"
ASK = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"
_READ = 1024 * 1024
PROGRAM = f"""
import os, uvicorn
SMALL = b"x" * (100 - {len(MARK)}) + {MARK!r}
PIECE = b"x" * 1024 * 1024

async def app(scope, receive, send):
    path = scope["path"].strip("/")
    pieces = [SMALL] if path == "small" else [PIECE] * int(path)
    size = str(sum(map(len, pieces))).encode()
    head = [(b"content-length", size), (b"content-type", b"text/plain")]
    await send({{"type": "http.response.start", "status": 200, "headers": head}})
    for piece in pieces:
        await send({{"type": "http.response.body", "body": piece, "more_body": True}})
    await send({{"type": "http.response.body", "body": b""}})

uvicorn.run(app, host=os.environ["HOST"], port=int(os.environ["PORT"]), lifespan="off",
            log_level="warning", access_log=False)
"""


class Asker(asyncio.Protocol):
    """A connection that asks again as soon as it is answered, while requests are left."""

    def __init__(self, go_on: Callable[[], bool], done: Callable[[], None]) -> None:
        self._go_on = go_on
        self._done = done
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Ask again once the whole response has come."""
        self._tail = (self._tail + data)[-len(MARK) :]
        if self._tail == MARK:
            self._tail = b""
            self._next()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Count it as done."""
        self._done()

    def _next(self) -> None:
        assert self._transport is not None
        if self._go_on():
            self._transport.write(ASK)
        else:
            self._transport.close()


def measure(lab: Lab) -> Table:
    """Ask one machine both ways, in turns, after a first request that warms each up."""
    requests, size = (20, 3) if lab.smallest else (REQUESTS, BODY_MB)
    with local_fly(lab) as site:
        places = started(site)
        trials = {}
        for name, place in places.items():
            download(place, 1)
            trials[f"{name} small"] = partial(ask_often, place, requests)
            trials[f"{name} large"] = partial(download, place, size)
        return table(interleaved(lab, trials))


def started(site: Site) -> dict[str, tuple[str, int]]:
    """Start the machine; return its own address and that of its app."""
    port = free_port()
    service = {
        "protocol": "tcp",
        "internal_port": port,
        "autostart": True,
        "concurrency": {"type": "requests", "soft_limit": 2 * CONNECTIONS},
        "ports": [{"port": 443, "handlers": ["tls", "http"]}],
    }
    config = {
        "image": site.lab.image.ref,
        "init": {"exec": ["python", "-c", PROGRAM]},
        "env": {"HOST": "0.0.0.0", "PORT": str(port)},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
        "services": [service],
    }
    app = "bench-proxy"
    site.send("POST", "/apps", {"name": app, "org_slug": "personal"})
    made = site.send("POST", f"/apps/{app}/machines", {"config": config})
    machine = Machine(app, made["id"], "")
    site.send("GET", f"{path(machine)}/wait?state=started&timeout=60")
    proxied = ("127.0.0.1", site.port(app))
    download(proxied, 1)  # the proxy waits until the machine listens
    return {"proxy": proxied, "direct": (site.send("GET", path(machine))["private_ip"], port)}


def ask_often(place: tuple[str, int], requests: int) -> float:
    """Return the seconds that so many requests take over all connections.

    Raises:
        BenchError: not all were answered in time.
    """
    return asyncio.run(_ask_often(place, requests))


async def _ask_often(place: tuple[str, int], requests: int) -> float:
    loop = asyncio.get_running_loop()
    left, open_ones = requests + CONNECTIONS, CONNECTIONS
    over = loop.create_future()

    def go_on() -> bool:
        nonlocal left
        left -= 1
        return left >= CONNECTIONS

    def done() -> None:
        nonlocal open_ones
        open_ones -= 1
        if not open_ones and not over.done():
            over.set_result(None)

    began = time.monotonic()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Asker(go_on, done), *place)
    async with asyncio.timeout(LIMIT_S):
        await over
    if left > 0:
        raise BenchError(f"{place} broke connections: {left} requests were not sent")
    return time.monotonic() - began


def download(place: tuple[str, int], megabytes: int) -> float:
    """Return the seconds that a response of this size takes.

    Raises:
        BenchError: it was cut.
    """
    began = time.monotonic()
    buffer = bytearray(_READ)
    received = 0
    with socket.create_connection(place, LIMIT_S) as client:
        client.sendall(b"GET /%d HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n" % megabytes)
        while size := client.recv_into(buffer):
            received += size
    if received < megabytes * 1024 * 1024:
        raise BenchError(f"{place} sent {received} bytes of {megabytes} MB")
    return time.monotonic() - began


def table(found: dict[str, Sample]) -> Table:
    """Return the table of proxied and direct."""
    rows = (
        Row(
            "small requests",
            Unit.SECONDS,
            found["proxy small"],
            found["direct small"],
            Limit(Aim.RATIO_AT_MOST, 2.0),
        ),
        Row(
            f"{BODY_MB} MB",
            Unit.SECONDS,
            found["proxy large"],
            found["direct large"],
            Limit(Aim.RATIO_AT_MOST, 1.11),
        ),
    )
    return Table("proxy", "the local Fly's proxy", ABOUT, rows)
