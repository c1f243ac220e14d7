"""A connection trusts the system's certificates, and reads them only where there are any."""

from __future__ import annotations

import ssl

import pytest

from roost.http.connection import certificates


def trusted(address):
    """How many authorities are trusted there."""
    return certificates(address).cert_store_stats()["x509_ca"]


def test_an_address_with_tls_trusts_the_systems_authorities():
    assert trusted("https://acme-prefect.fly.dev") > 0


@pytest.mark.parametrize("address", ["http://127.0.0.1:4200", "http://acme-prefect.flycast/api"])
def test_an_address_without_tls_reads_no_certificates_and_trusts_nobody(address):
    assert trusted(address) == 0
    assert certificates(address).verify_mode is ssl.CERT_REQUIRED
