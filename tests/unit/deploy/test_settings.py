"""Settings that follow from where the server runs: the database's address, and what the image implies."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_server.errors import BootError
from roost_server.settings import (
    APPLICATION_NAME,
    CACHE_SETTINGS,
    SCHEMES,
    URL_ALIAS,
    URL_SETTING,
    URL_VARIABLE,
    asyncpg_url,
    baked_folder,
    database_settings,
    home_folder,
    image_settings,
    uses_sqlite_file,
)

PLACE = "u:p@db.example:5432/prefect"
DRIVER = "PREFECT_SERVER_DATABASE_DRIVER"
# Whatever people choose and paste, but for what ends a password.
PASSWORDS = st.text(st.characters(exclude_characters="@", exclude_categories=["Cs"]))


def settled(url):
    """The settings that come of a secret named DB_URL with that value."""
    return database_settings({URL_VARIABLE: "DB_URL", "DB_URL": url})


def refusal(environ):
    with pytest.raises(BootError) as caught:
        database_settings(environ)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_scheme_of_postgres_becomes_the_one_of_asyncpg(scheme):
    assert settled(f"{scheme}://{PLACE}") == {URL_SETTING: f"postgresql+asyncpg://{PLACE}"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("sslmode=require", "?ssl=require", id="sslmode has another name"),
        pytest.param("pgbouncer=true", "", id="pgbouncer is a hint for others"),
        pytest.param("pgbouncer=true&sslmode=require", "?ssl=require", id="both"),
        pytest.param(
            "host=a%2Fb&ssl=require", "?host=a%2Fb&ssl=require", id="escapes stay escapes"
        ),
        pytest.param("passfile=", "?passfile=", id="an empty value is a value"),
        pytest.param("application_name=a&ssl=require", "?ssl=require", id="a setting of its own"),
        pytest.param(
            "sslmode=require&channel_binding=require", "?ssl=require", id="as Neon has it"
        ),
        pytest.param("pgbouncer=true&connection_limit=1", "", id="as Prisma has it"),
        pytest.param("", "", id="nothing after the question mark"),
    ],
)
def test_the_query_is_put_in_asyncpg_s_words(query, expected):
    assert (
        asyncpg_url(f"postgres://{PLACE}?{query}", "X") == f"postgresql+asyncpg://{PLACE}{expected}"
    )


def test_the_name_of_the_application_is_a_setting():
    settings = settled(f"postgres://{PLACE}?application_name=roost%20here&sslmode=require")

    assert settings == {
        URL_SETTING: f"postgresql+asyncpg://{PLACE}?ssl=require",
        APPLICATION_NAME: "roost here",
    }


@pytest.mark.parametrize(
    "query", ["options=-c%20x%3D1", "sslrootcert=a.pem", "hunter2", "x=hunter2"]
)
def test_what_asyncpg_does_not_know_is_refused_without_a_trace_of_it(query):
    message = refusal({URL_VARIABLE: "DB_URL", "DB_URL": f"postgres://{PLACE}?{query}"})

    assert message.startswith("DB_URL has an option after its ? that asyncpg does not know")
    assert "channel_binding" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "place",
    [
        *("u:a@hunter2@db.example/prefect", "u:a@b:hunter2@db.example:5432/prefect"),
        *("u:a@db.example:hunter2/prefect", "u:p@db.example/a@hunter2", "u@b:hunter2@db.example"),
        "u:p@a.example:5432,b.example:hunter2/prefect",
    ],
)
def test_an_at_sign_that_was_not_escaped_shows_no_part_of_a_password(place):
    """The driver would read the rest as host and port, and say so with both."""
    message = refusal({URL_VARIABLE: "DB_URL", "DB_URL": f"postgres://{place}"})

    assert message.startswith("DB_URL has no host and port after its first @")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "place", ["", "/prefect", "u:p@/prefect", "u:p@[::1]/db", "u:p@a,b:1/db", "u:p@h:/db", "h"]
)
def test_every_way_to_write_a_place_is_one(place):
    assert settled(f"postgres://{place}")[URL_SETTING] == f"postgresql+asyncpg://{place}"


@pytest.mark.parametrize(
    "password", ["p%40ss%2Fw%3Frd", "a?b", "a/b", "a:6543", "a#b&sslmode=c", ""]
)
def test_a_password_is_not_touched(password):
    url = f"postgresql://u:{password}@db.example:5432/prefect?sslmode=require"

    settings = settled(url)

    assert settings == {
        URL_SETTING: f"postgresql+asyncpg://u:{password}@db.example:5432/prefect?ssl=require"
    }


@given(password=PASSWORDS)
def test_no_password_there_is_is_touched(password):
    settings = settled(f"postgres://u:{password}@db.example/prefect?sslmode=require")

    assert settings == {
        URL_SETTING: f"postgresql+asyncpg://u:{password}@db.example/prefect?ssl=require"
    }


@given(scheme=st.sampled_from(SCHEMES), password=PASSWORDS)
def test_an_address_that_was_rewritten_stays_as_it_is(scheme, password):
    once = asyncpg_url(f"{scheme}://u:{password}@db.example/prefect?sslmode=require", "X")

    assert asyncpg_url(once, "X") == once


@pytest.mark.parametrize(
    "place",
    [
        "u:p@pooler.example:6543/postgres",
        "u:p@pooler.example:6543",
        "u:p@pooler.example:6543/postgres?sslmode=require",
        "u@pooler.example:6543/postgres",
        "pooler.example:6543/postgres",
        "u:p@[2001:db8::1]:6543/postgres",
        "u:p@a.example:6543,b.example:5432/postgres",
    ],
)
def test_nothing_is_prepared_through_a_transaction_pooler(place):
    settings = settled(f"postgresql://{place}")

    assert {name: settings.get(name) for name in CACHE_SETTINGS} == dict.fromkeys(
        CACHE_SETTINGS, "0"
    )


@pytest.mark.parametrize(
    "place",
    [
        "u:p@db.example:5432/prefect",
        "u:p@db.example:65432/prefect",
        "u:p@db.example/prefect",
        "u:6543@db.example/prefect",
        "u:a:6543/b@db.example/prefect",
        "u:p@db.example/prefect?application_name=other:6543",
    ],
)
def test_statements_are_prepared_where_6543_is_not_the_port(place):
    assert not set(settled(f"postgresql://{place}")) & set(CACHE_SETTINGS)


@pytest.mark.parametrize("environ", [{}, {"DB_URL": ""}], ids=["unset", "empty"])
def test_a_secret_without_a_value_is_named(environ):
    message = refusal({URL_VARIABLE: "DB_URL"} | environ)

    assert "the secret DB_URL has no value" in message


@given(value=st.text(min_size=1).filter(lambda value: not value.startswith("postgres")))
def test_a_wrong_address_is_refused_without_a_trace_of_it(value):
    # The same words whatever the value is: so there is nothing of it in them.
    assert refusal({URL_VARIABLE: "DB_URL", "DB_URL": value}) == (
        "DB_URL is no Postgres address; it must begin with postgresql://"
    )


@pytest.mark.parametrize(
    "value",
    ["mysql://u:p@h/db", "sqlite:///x.db", "postgresql+psycopg2://u:p@h", "postgresql:u:p@h", "x"],
)
def test_an_address_of_something_else_is_refused(value):
    assert "must begin with postgresql://" in refusal({URL_VARIABLE: "DB_URL", "DB_URL": value})


@pytest.mark.parametrize("environ", [{}, {URL_VARIABLE: ""}, {"DB_URL": "postgres://h/db"}])
def test_without_a_secret_named_for_it_the_database_is_prefect_s_affair(environ):
    assert database_settings(environ) == {}


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
