"""A provider's Postgres address: the settings for Prefect, and the pooler in front of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_server.errors import BootError
from roost_server.postgres_address import (
    APPLICATION_NAME,
    CACHE_SETTINGS,
    POOLING,
    RECYCLE,
    ROOT_CERTIFICATE,
    SCHEMES,
    Pooling,
    asyncpg_url,
    database_settings,
    pooling_of,
)
from roost_server.settings import URL_ALIAS, URL_SETTING, URL_VARIABLE

PLACE = "u:p@db.example:5432/prefect"
# Whatever people choose and paste, but for what ends a password.
PASSWORDS = st.text(st.characters(exclude_characters="@", exclude_categories=["Cs"]))
NEON = "ep-cool-darkness-123456"


def settled(url):
    """The settings from a secret DB_URL with that value."""
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
            "ssl=require&host=a%2Fb", "?ssl=require&host=a%2Fb", id="escapes stay escapes"
        ),
        pytest.param("passfile=", "?passfile=", id="an empty value is a value"),
        pytest.param("application_name=a&ssl=require", "?ssl=require", id="a setting of its own"),
        pytest.param(
            "sslmode=require&channel_binding=require", "?ssl=require", id="as Neon has it"
        ),
        pytest.param("pgbouncer=true&connection_limit=1", "", id="as Prisma has it"),
        pytest.param("", "", id="nothing after the question mark"),
        pytest.param("ssl=true", "?ssl=require", id="as drivers of node have it"),
        pytest.param("sslmode=verify-full", "?ssl=verify-full", id="with the system's authorities"),
        pytest.param("sslrootcert=DATABASE_CA", "?ssl=verify-full", id="a certificate is for use"),
        pytest.param("sslmode=require&sslrootcert=CA", "?ssl=verify-ca", id="as libpq takes it"),
        pytest.param(
            "sslmode=require&sslrootcert=system", "?ssl=verify-full", id="public authority"
        ),
        pytest.param("sslmode=disable&sslrootcert=CA", "?ssl=disable", id="nothing to verify"),
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
    ("place", "expected"),
    [
        ("u:p@a,b:1/db", "u:p@/db?host=a%2Cb&port=5432%2C1"),
        ("u:p@a:1,b:2", "u:p@?host=a%2Cb&port=1%2C2"),
        ("u:p@[::1]:7,b/db?sslmode=require", "u:p@/db?host=%3A%3A1%2Cb&port=7%2C5432&ssl=require"),
        (
            "u:p@a,b/db?target_session_attrs=read-write&host=c",
            "u:p@/db?host=a%2Cb&port=5432%2C5432&target_session_attrs=read-write",
        ),
    ],
)
def test_several_hosts_become_options_as_sqlalchemy_takes_them(place, expected):
    assert asyncpg_url(f"postgres://{place}", "X") == f"postgresql+asyncpg://{expected}"


@pytest.mark.parametrize("query", ["search_path=hunter2", "schema=hunter2", "hunter2", "x=hunter2"])
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
    """The driver would read the rest as host and port, and show both in an error."""
    message = refusal({URL_VARIABLE: "DB_URL", "DB_URL": f"postgres://{place}"})

    assert message.startswith("DB_URL has no host and port after its first @")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "place", ["", "/prefect", "u:p@/prefect", "u:p@[::1]/db", "u:p@h:/db", "h"]
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
    ("place", "expected"),
    [
        (f"u:p@{NEON}-pooler.us-east-2.aws.neon.tech/db", Pooling.TRANSACTION),
        (f"u:p@{NEON}-pooler.eastus2.azure.neon.tech:5432/db", Pooling.TRANSACTION),
        (f"u:p@{NEON}.us-east-2.aws.neon.tech/db", Pooling.DIRECT),
        ("postgres.ref:p@aws-0-eu-west-1.pooler.supabase.com:6543/postgres", Pooling.TRANSACTION),
        ("postgres.ref:p@aws-0-eu-west-1.pooler.supabase.com:5432/postgres", Pooling.SESSION),
        ("postgres:p@db.ref.supabase.co:6543/postgres", Pooling.TRANSACTION),
        ("postgres:p@db.ref.supabase.co:5432/postgres", Pooling.DIRECT),
        ("u:p@direct.k1v53olmk7vr8q6p.flympg.net/fly-db", Pooling.DIRECT),
        ("u:p@pgbouncer.k1v53olmk7vr8q6p.flympg.net/fly-db", Pooling.UNKNOWN),
        ("u:p@DB.REF.SUPABASE.CO:6543/postgres", Pooling.TRANSACTION),
        ("u:p@db.example:5432/db?pgbouncer=true", Pooling.TRANSACTION),
        ("u:p@db.example:5432/db?pgbouncer=false", Pooling.UNKNOWN),
        ("u:p@a.example:5432,b.example:6543/db", Pooling.TRANSACTION),
        ("u:p@db.example:16543/db", Pooling.UNKNOWN),
        ("u:p@my-pooler.example/db", Pooling.UNKNOWN),
        (f"u:{NEON}-pooler.aws.neon.tech@db.example/db", Pooling.UNKNOWN),
    ],
)
def test_a_pooler_is_known_by_what_its_provider_documents(place, expected):
    settings = settled(f"postgresql://{place}")

    assert pooling_of(settings) is expected
    assert (CACHE_SETTINGS[0] in settings) is (expected is Pooling.TRANSACTION)


def test_what_was_found_of_an_address_goes_before_what_it_looks_like():
    found = {URL_SETTING: f"postgresql+asyncpg://{PLACE}", POOLING: "transaction"}

    assert pooling_of(found) is Pooling.TRANSACTION


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+asyncpg://u:p@h:6543/db", Pooling.TRANSACTION),
        ("postgresql+asyncpg://u:p@h:5432/db", Pooling.UNKNOWN),
        ("sqlite+aiosqlite:////x.db", Pooling.UNKNOWN),
        ("postgresql+asyncpg://u:a@b@c:6543/db", Pooling.UNKNOWN),
        ("", Pooling.UNKNOWN),
    ],
)
def test_an_address_that_is_a_setting_is_judged_too(url, expected):
    assert pooling_of({URL_ALIAS: url}) is expected


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("u:p@pgbouncer.k1v53olmk7vr8q6p.flympg.net/fly-db", "540"),
        ("u:p@direct.k1v53olmk7vr8q6p.flympg.net/fly-db", "540"),
        (f"u:p@{NEON}-pooler.us-east-2.aws.neon.tech/db", "540"),
        ("postgres.ref:p@aws-0-eu-west-1.pooler.supabase.com:5432/postgres", "540"),
        ("u:p@db.example/db", None),
        (f"u:p@{NEON}.us-east-2.aws.neon.tech/db", None),
    ],
)
def test_a_connection_is_replaced_before_a_proxy_cuts_it(place, expected):
    assert settled(f"postgresql://{place}").get(RECYCLE) == expected


def test_how_long_a_connection_is_kept_is_the_user_s_to_say():
    url = "postgresql://u:p@pgbouncer.x.flympg.net/db"

    settings = database_settings({URL_VARIABLE: "DB_URL", "DB_URL": url, RECYCLE: "60"})

    assert RECYCLE not in settings


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslmode=verify-full", "system"),
        ("sslmode=verify-ca&sslrootcert=DATABASE_CA", "DATABASE_CA"),
        ("sslrootcert=DATABASE_CA", "DATABASE_CA"),
        ("sslmode=require&sslrootcert=system", "system"),
        ("sslmode=disable&sslrootcert=DATABASE_CA", None),
        ("sslmode=require", None),
    ],
)
def test_the_certificate_to_verify_with_is_read(query, expected):
    assert settled(f"postgres://{PLACE}?{query}").get(ROOT_CERTIFICATE) == expected


@pytest.mark.parametrize("host", [NEON, f"{NEON}-pooler"])
@pytest.mark.parametrize("options", [f"endpoint%3D{NEON}", f"project%3D{NEON}"])
def test_an_endpoint_of_neon_that_the_host_names_too_is_understood(host, options):
    place = f"u:p@{host}.us-east-2.aws.neon.tech/db"

    assert settled(f"postgres://{place}?options={options}")[URL_SETTING] == (
        f"postgresql+asyncpg://{place}"
    )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"options=endpoint%3D{NEON}", "use the host that begins with the endpoint's name"),
        ("options=-c%20search_path%3Dhunter2", "ALTER ROLE"),
        ("sslmode=hunter2", "another sslmode than those that there are: allow, disable"),
        ("ssl=hunter2", "another sslmode than those that there are: allow, disable"),
        ("sslcert=hunter2&sslkey=hunter2", "a user with a password"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_way_out(query, said):
    message = refusal({URL_VARIABLE: "DB_URL", "DB_URL": f"postgres://{PLACE}?{query}"})

    assert said in message
    assert "hunter2" not in message
