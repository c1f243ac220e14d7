"""Requests in the private network: plain HTTP reads no certificate, and HTTPS is checked as ever."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from roost_server import flow_server_wake, waker_announcement
from roost_server.private_http import open_client


async def on_a_server(call):
    """Return what a call to a small server returns."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await call(f"http://127.0.0.1:{port}")


@pytest.fixture
def no_certificates(monkeypatch):
    """Certificates of the system that must not be read."""

    def refuse(*_, **__):
        raise AssertionError("the certificates of the system were read")

    monkeypatch.setattr(ssl, "create_default_context", refuse)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", refuse)


@pytest.mark.usefixtures("no_certificates")
@pytest.mark.parametrize(
    "call",
    [flow_server_wake.request, lambda address: waker_announcement.send(address, {})],
    ids=["a wake", "an announcement"],
)
def test_a_request_over_plain_http_reads_no_certificate(call):
    assert asyncio.run(on_a_server(call)) == 204


@pytest.mark.usefixtures("no_certificates")
def test_a_client_for_https_checks_the_other_side():
    with pytest.raises(AssertionError, match="were read"):
        open_client("https://acme.fly.dev", 1.0)
