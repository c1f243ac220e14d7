"""The root certificate of a database reaches asyncpg from every source."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from helpers.postgres import make_certificate
from roost_server.errors import BootError
from roost_server.postgres_address import ROOT_CERTIFICATE
from roost_server.postgres_certificate import FILE_VARIABLE, certificate_settings
from roost_server.settings import URL_VARIABLE


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("authority"))


def environ_of(folder, wanted, **extra):
    return {
        "PREFECT_HOME": str(folder / "home"),
        URL_VARIABLE: "DB_URL",
        ROOT_CERTIFICATE: wanted,
        **extra,
    }


@pytest.mark.parametrize(
    "written", [str, lambda text: text.replace("\n", "\\n")], ids=["as it is", "in one line"]
)
def test_a_secret_s_certificate_becomes_a_file(tmp_path, certificate, written):
    environ = environ_of(tmp_path, "DATABASE_CA", DATABASE_CA=written(certificate))

    settings = certificate_settings(environ)

    assert Path(settings[FILE_VARIABLE]).read_text() == certificate
    ssl.create_default_context(cafile=settings[FILE_VARIABLE])


def test_the_system_s_authorities_are_those_of_the_image(tmp_path):
    settings = certificate_settings(environ_of(tmp_path, "system"))

    assert ssl.create_default_context(cafile=settings[FILE_VARIABLE]).get_ca_certs()


def test_what_libpq_s_own_variable_says_stays(tmp_path):
    environ = environ_of(tmp_path, "system", PGSSLROOTCERT="/x.pem")

    assert certificate_settings(environ) == {FILE_VARIABLE: "/x.pem"}


def test_a_file_that_the_image_has_is_used(tmp_path):
    file = tmp_path / "ca.pem"
    file.touch()

    assert certificate_settings(environ_of(tmp_path, str(file))) == {FILE_VARIABLE: str(file)}


def test_an_address_that_verifies_nothing_needs_none(tmp_path):
    environ = environ_of(tmp_path, "DATABASE_CA")
    del environ[ROOT_CERTIFICATE]

    assert certificate_settings(environ) == {}


@pytest.mark.parametrize(
    ("wanted", "extra", "said"),
    [
        ("ca.pem", {}, "write sslrootcert=DATABASE_CA"),
        ("/certs/ca.pem", {}, "write sslrootcert=DATABASE_CA"),
        ("DATABASE_CA", {}, "the app has no secret of that name"),
        ("DATABASE_CA", {"DATABASE_CA": "hunter2"}, "holds no certificate"),
        ("DATABASE_CA", {"DATABASE_CA": "h\u00fcnter2"}, "holds no certificate"),
    ],
)
def test_a_certificate_that_is_not_there_is_told_with_the_way_out(tmp_path, wanted, extra, said):
    with pytest.raises(BootError, match=said) as caught:
        certificate_settings(environ_of(tmp_path, wanted, **extra))

    assert "nter2" not in str(caught.value)
