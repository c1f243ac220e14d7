"""A connection trusts the system's certificates, and reads them only where there are any."""

from __future__ import annotations

import ssl

import anyio
import httpx
import pytest

from roost.http.connection import Pools, certificates, service_client


def trusted(address):
    """How many authorities are trusted there."""
    return certificates(address).cert_store_stats()["x509_ca"]


def test_an_address_with_tls_trusts_the_systems_authorities():
    assert trusted("https://acme-prefect.fly.dev") > 0


@pytest.mark.parametrize("address", ["http://127.0.0.1:4200", "http://acme-prefect.flycast/api"])
def test_an_address_without_tls_reads_no_certificates_and_trusts_nobody(address):
    assert trusted(address) == 0
    assert certificates(address).verify_mode is ssl.CERT_REQUIRED


class Counting(httpx.AsyncBaseTransport):
    """A pool that counts its requests, and knows whether it was closed."""

    def __init__(self):
        self.asked, self.closed = 0, False

    async def handle_async_request(self, request):
        """Count and answer."""
        self.asked += 1
        return httpx.Response(200, request=request)

    async def aclose(self):
        """Note it."""
        self.closed = True


def test_pools_are_used_in_turn_and_all_are_closed():
    pools = [Counting(), Counting(), Counting()]

    async def ask():
        async with httpx.AsyncClient(transport=Pools(pools), base_url="http://a") as http:
            for _ in range(7):
                await http.get("/")

    anyio.run(ask)

    assert [pool.asked for pool in pools] == [3, 2, 2]
    assert all(pool.closed for pool in pools)


@pytest.mark.parametrize(
    ("address", "proxied"), [("http://fly.example", True), ("http://127.0.0.1:1", False)]
)
def test_a_proxy_of_the_environment_is_used_but_for_this_computer(monkeypatch, address, proxied):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)

    client = service_client(address, {}, 1, None)

    chosen = client._transport_for_url(httpx.URL(address))
    assert isinstance(chosen, Pools) is not proxied
