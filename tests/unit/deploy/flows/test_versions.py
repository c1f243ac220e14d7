"""Which Prefect clients fit a server."""

from __future__ import annotations

from importlib import metadata

import pytest

from roost_flows import versions
from roost_flows.errors import ImageError, WrongVersionError
from roost_flows.versions import check_versions, client_version


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ("3.9.1", "3.9.1"),
        ("3.8.8", "3.9.1"),
        ("3.9.5", "3.9.1"),
        ("3.9.1", "3.10.0"),
        ("x", "3.1.0"),
    ],
)
def test_a_client_that_is_not_newer_fits(client, server):
    check_versions(client, server)


@pytest.mark.parametrize(
    ("client", "server", "words"),
    [
        ("3.10.0", "3.9.1", "is newer than the server's 3.9.1"),
        ("2.20.0", "3.9.1", "of different major versions"),
        ("4.0.0", "3.9.1", "of different major versions"),
    ],
)
def test_another_one_is_refused_with_the_version_to_take(client, server, words):
    with pytest.raises(WrongVersionError, match=words) as refused:
        check_versions(client, server)

    assert 'Write "prefect==3.9.1"' in str(refused.value)


@pytest.mark.parametrize("package", ["prefect", "prefect-client"])
def test_either_package_is_a_client(monkeypatch, package):
    def version(name):
        if name != package:
            raise metadata.PackageNotFoundError(name)
        return "3.9.1"

    monkeypatch.setattr(versions.metadata, "version", version)

    assert client_version() == "3.9.1"


def test_an_image_without_prefect_is_refused():
    """The environment of the tests has none."""
    with pytest.raises(ImageError, match="neither prefect nor prefect-client"):
        client_version()
