"""Settings that follow from where the server runs: its database and its image."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost_server.settings import (
    URL_ALIAS,
    URL_SETTING,
    URL_VARIABLE,
    baked_folder,
    home_folder,
    image_settings,
    uses_sqlite_file,
)

DRIVER = "PREFECT_SERVER_DATABASE_DRIVER"


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        pytest.param({}, True, id="Prefect's default"),
        pytest.param({URL_SETTING: ""}, True, id="an empty address"),
        pytest.param({DRIVER: "sqlite+aiosqlite"}, True, id="its driver by name"),
        pytest.param({DRIVER: "postgresql+asyncpg"}, False, id="another driver"),
        pytest.param({URL_SETTING: "sqlite+aiosqlite:////x.db"}, False, id="another file"),
        pytest.param({URL_SETTING: "sqlite+aiosqlite:////data/prefect.db"}, True, id="the file"),
        pytest.param({URL_ALIAS: "sqlite+aiosqlite:////x.db"}, False, id="by the alias"),
        pytest.param({URL_SETTING: "postgresql+asyncpg://h/db"}, False, id="an address"),
        pytest.param({URL_ALIAS: "postgresql+asyncpg://h/db"}, False, id="alias"),
        pytest.param({URL_VARIABLE: "DB_URL"}, False, id="a secret"),
    ],
)
def test_tells_prefect_s_own_file_from_another_and_from_postgres(environ, file):
    assert uses_sqlite_file({"PREFECT_HOME": "/data", **environ}) is file


def test_what_was_baked_lies_in_the_image_s_root():
    assert baked_folder({"IMAGE_ROOT": "/images/one"}) == Path("/images/one/baked")
    assert baked_folder({}) == Path("/opt/roost/baked")


def test_the_pages_are_the_ones_of_the_image():
    settings = image_settings({"IMAGE_ROOT": "/images/one"})

    assert settings["PREFECT_SERVER_UI_STATIC_DIRECTORY"] == "/images/one/baked/ui"


def test_prefect_is_quiet_and_starts_no_server_by_itself():
    settings = image_settings({})

    assert settings["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert settings["DO_NOT_TRACK"] == "1"
    assert settings["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] == "false"


def test_the_home_folder_is_found_as_prefect_finds_it(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")

    assert home_folder({}) == Path("/home/somebody/.prefect")
    assert home_folder({"PREFECT_HOME": "~/p"}) == Path("/home/somebody/p")
    assert home_folder({"PREFECT_HOME": "/data"}) == Path("/data")
