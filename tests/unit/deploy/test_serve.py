"""Prefect's application with Roost's layers, and the errors of wrong settings."""

from __future__ import annotations

import asyncio
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    Field,
    PostgresDsn,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from helpers.asgi_calls import Client, Scripted, http
from roost_server import serve, write_requests
from roost_server.disk_full import Fullness
from roost_server.errors import BootError
from roost_server.last_error import LastError
from roost_server.serve import make_app
from roost_server.server_report import REPORT_PATH
from roost_server.settings import home_folder
from roost_server.settings_errors import explain
from roost_server.write_freeze import FREEZE_PATH
from roost_server.write_queue import WriteQueue

SECRET = "s3cret-value"  # "x" and it fit no type below
HOME = {"PREFECT_HOME": "/data"}
URL_ALIAS = "PREFECT_API_DATABASE_CONNECTION_URL"
FILE, OTHER_FILE = "sqlite+aiosqlite:////data/prefect.db", "sqlite+aiosqlite:////x.db"
POSTGRES = f"postgresql+asyncpg://bob:{SECRET}@db.internal/railway"
GATE = {"x_roost_gate": "1"}


class Database(BaseModel):
    """A group of settings."""

    connection_url: PostgresDsn | None = None
    timeout: Annotated[int, Field(gt=0)] = 10


class Settings(BaseModel):
    """Settings as Prefect has them, in groups."""

    database: Database = Database()
    level: Literal["INFO", "DEBUG"] = "INFO"
    port: int = 4200

    @model_validator(mode="after")
    def _check_together(self):
        if self.port == 1:
            raise ValueError("a port below 1024 needs level DEBUG")
        return self


def error_of(settings):
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(settings)
    return caught.value


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"port": SECRET}, "port: Input should be a valid integer"),
        ({"level": SECRET}, "level: Input should be 'INFO' or 'DEBUG'"),
        ({"database": {"timeout": -77077}}, "database.timeout: Input should be greater than 0"),
        ({"database": {"connection_url": f"x://{SECRET}"}}, "database.connection_url: URL scheme"),
        ({"database": SECRET}, "database: Input should be a valid dictionary"),
        ({"port": 1, "level": "INFO"}, "Settings: Value error, a port below 1024 needs"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(settings, named):
    text = explain(error_of(settings))

    assert named in text
    assert SECRET not in text
    assert "77077" not in text
    assert text.endswith("fix prefect.settings and apply again")


def test_every_wrong_setting_is_named():
    text = explain(error_of({"port": SECRET, "level": SECRET, "database": {"timeout": SECRET}}))

    assert all(name in text for name in ("port: ", "level: ", "database.timeout: "))


class Talkative(BaseModel):
    """Settings whose validators show the given value, as some of Prefect's do."""

    name: str = ""
    many: dict[str, SecretStr] = {}

    @field_validator("name")
    @classmethod
    def _check_name(cls, value):
        raise ValueError(f"{value} is no name, nor is {value!r}; up to 63 letters")

    @model_validator(mode="before")
    @classmethod
    def _check_all(cls, values):
        if "many" in values:
            raise ValueError(f"cannot have {values}")
        return values


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": SECRET}, "Value error, [hidden] is no name, nor is [hidden]; up to 63 letters"),
        ({"many": {"a": SECRET, "b": [SECRET, 77077]}}, "Value error, cannot have {'many': "),
        ({"many": SecretStr(SECRET)}, "Value error, cannot have {'many': "),
    ],
)
def test_what_a_check_says_of_a_value_is_told_without_it(settings, said):
    with pytest.raises(ValidationError) as caught:
        Talkative.model_validate(settings)

    text = explain(caught.value)

    assert said in text
    assert SECRET not in text
    assert "77077" not in text


@given(value=st.text().map("x{}".format))
def test_the_words_are_the_same_whatever_the_value_is(value):
    assert explain(error_of({"port": value, "level": value})) == explain(
        error_of({"port": SECRET, "level": SECRET})
    )


def made(environ):
    """Make the application as `serve` does, without the message handover."""
    fullness = Fullness(home_folder(environ))
    return make_app(environ, WriteQueue(before_service=fullness.wait_for_room), fullness)


@pytest.fixture
def prefect(monkeypatch):
    """Replaces Prefect by an application, or by an exception."""

    def put(made, url="sqlite+aiosqlite:////data/prefect.db", api_path=None):
        address = SimpleNamespace(get_secret_value=lambda: url)
        server = SimpleNamespace(
            database=SimpleNamespace(connection_url=address),
            api=SimpleNamespace(base_path=api_path),
        )

        def create_app():
            if isinstance(made, Exception):
                raise made
            return made

        parts = "prefect", "prefect.server", "prefect.server.api", "prefect.server.api.server"
        for name in (*parts, "prefect.settings"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        sys.modules[parts[-1]].create_app = create_app
        settings = SimpleNamespace(server=server)
        sys.modules["prefect.settings"].get_current_settings = lambda: settings
        sys.modules["prefect.settings"].Settings = type("Settings", (), {})
        for name in ("queue_writes", "survive_full"):  # tests/e2e has the real ones
            monkeypatch.setattr(serve, name, lambda _: None)

    return put


def visit(app, scope):
    return asyncio.run(Client().call(app, scope)).statuses


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        pytest.param({}, FILE, 201, id="Prefect's own file"),
        pytest.param({URL_ALIAS: OTHER_FILE}, OTHER_FILE, 201, id="SQLite"),
        pytest.param(
            {"PREFECT_SERVER_DATABASE_DRIVER": "postgresql+asyncpg"}, POSTGRES, 503, id="Postgres"
        ),
    ],
)
def test_writes_share_the_queue_on_sqlite_only(prefect, monkeypatch, environ, url, expected):
    monkeypatch.setattr(write_requests, "RETRY_DELAYS_S", (0,))
    prefect(Scripted([503, 201]), url)

    assert visit(made(HOME | environ), http("POST")) == [expected]


@pytest.mark.parametrize(
    ("environ", "url"), [({}, FILE), ({URL_ALIAS: POSTGRES}, POSTGRES)], ids=["SQLite", "Postgres"]
)
def test_costly_pages_are_closed_on_every_database(prefect, environ, url):
    prefect(Scripted([200]), url)
    app = made(HOME | environ)

    assert visit(app, http("GET", "/openapi.json")) == [404]
    assert visit(app, http("GET", "/api/version")) == [200]


@pytest.mark.parametrize("url", [POSTGRES, OTHER_FILE, "sqlite+aiosqlite:///:memory:"])
def test_a_database_that_only_prefect_found_ends_the_start_without_its_address(prefect, url):
    """Named in lower case, in JSON, or in a file of Prefect's settings: no list has them all."""
    prefect(Scripted([200]), url)

    with pytest.raises(
        BootError, match=r"Prefect uses \w.*, and not the file on the vol"
    ) as caught:
        made(HOME)

    assert "set database.backend: postgres" in str(caught.value)
    assert not [
        part for part in ("bob", SECRET, "db.internal", "x.db") if part in str(caught.value)
    ]


@pytest.mark.parametrize(
    ("environ", "url", "hold"),
    [
        pytest.param({}, FILE, 503, id="the file, which is not there"),
        pytest.param({URL_ALIAS: FILE}, FILE, 503, id="the file by its address"),
        pytest.param({URL_ALIAS: OTHER_FILE}, OTHER_FILE, 409, id="another file"),
        pytest.param({URL_ALIAS: POSTGRES}, POSTGRES, 409, id="Postgres"),
    ],
)
def test_only_the_file_on_the_volume_is_held_still(prefect, environ, url, hold, tmp_path):
    home = {"PREFECT_HOME": str(tmp_path)}
    own = url.replace("/data", str(tmp_path))
    prefect(Scripted([]), own)
    app = made(home | dict.fromkeys(environ, own))

    assert visit(app, http("POST", FREEZE_PATH, **GATE)) == [hold]


@pytest.mark.parametrize(
    ("environ", "url", "database"),
    [
        ({}, FILE, "sqlite on the volume"),
        ({URL_ALIAS: OTHER_FILE}, OTHER_FILE, "sqlite elsewhere"),
        ({URL_ALIAS: POSTGRES}, POSTGRES, "postgres"),
    ],
)
def test_the_gate_is_told_which_database_it_is_and_nothing_of_its_address(
    prefect, environ, url, database
):
    prefect(Scripted([]), url, "/prefect/api")

    client = asyncio.run(Client().call(made(HOME | environ), http("GET", REPORT_PATH, **GATE)))

    told = json.loads(client.body)
    assert told == {"database": database, "api_path": "/prefect/api", "last_error": ""}


def test_a_setting_that_prefect_refuses_is_told_without_the_trace_that_shows_it(prefect):
    prefect(error_of({"port": SECRET}))

    with pytest.raises(BootError, match=r"a Prefect setting is wrong \(port: ") as caught:
        made({})

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_any_other_trouble_of_prefect_keeps_its_trace(prefect):
    prefect(LookupError("no such thing"))

    with pytest.raises(LookupError):
        made({})


def test_a_watch_that_fails_is_logged_and_ends_no_other(capsys, monkeypatch):
    """Otherwise a server whose volume cannot be checked would never be suspended again."""
    ran = []
    known = LastError()
    known.learn_secrets({"HOOK": "canary-of-a-secret"})
    monkeypatch.setattr(serve, "LAST_ERROR", known)

    async def fail():
        raise PermissionError("no canary-of-a-secret")

    async def go_on():
        await asyncio.sleep(0)
        ran.append("to its end")

    async def both():
        server = SimpleNamespace(started=True)
        await serve._log_ready_and_watch(server, serve.StartTimes(0.0, 0.0), [fail(), go_on()])

    asyncio.run(both())

    assert ran == ["to its end"]
    told = capsys.readouterr().out
    assert "roost: a watch of the server ended (PermissionError: no [hidden])" in told
