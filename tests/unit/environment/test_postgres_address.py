"""The form of a Postgres address as people paste it, and what is said of it: never any part of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.environment.postgres_address import OPTIONS, address_fault, address_note, native_fault
from roost_server.errors import BootError
from roost_server.postgres_address import HINTS, OURS, WORDS, asyncpg_url

GOOD = "postgresql://u:hunter2@db.example:5432/prefect"
NEON = "ep-cool-darkness-123456"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f"{GOOD}\n", "has a line break or a tab"),
        ("postgresql://u:p@db.example:99999/db", "has a port that is no number from 1 to 65535"),
        ("postgresql://u:p@a,[::1]:0/db", "has a port that is no number from 1 to 65535"),
        ("postgresql://u:p@db.example/db?port=x", "has a port that is no number from 1 to 65535"),
        (f" {GOOD}", "begins or ends with white space"),
        (f'"{GOOD}"', "begins or ends with a quotation mark"),
        (f"\u201c{GOOD}\u201d", "begins or ends with a quotation mark"),
        (f"{GOOD}\x07", "a character that cannot be printed"),
        (f"DATABASE_URL={GOOD}", "only the address is its value"),
        (f"psql {GOOD}", "begins with a command"),
        (f"jdbc:{GOOD}", "is written for Java"),
        ("mysql://u:hunter2@h/db", "is no Postgres address"),
        ("https://hunter2", "is no Postgres address"),
        ("hunter2", "is no Postgres address"),
        ("postgresql:u:hunter2@h/db", "has no ://"),
        ("postgresql://u:hunter2@/db", "has no host"),
        ("postgresql://u:hunter2@:5432/db", "has no host"),
        ("postgresql://db.example/db", "has no user"),
        ("postgresql://u:hunter2@db.example", "names no database"),
        ("postgresql://u:hunter2@db.example:5432/", "names no database"),
        ("postgresql://u:a@hunter2@db.example/db", "write an @ in the user or the password as %40"),
        ("postgresql://u:p@db.example:hunter2/db", "a port as a number"),
        ("postgresql://USER:PASSWORD@HOST:5432/NAME", "still has a placeholder"),
        ("postgresql://u:PASSWORD@db.example/db", "still has a placeholder"),
        ("postgresql://u:[YOUR-PASSWORD]@db.example/db", "still has a placeholder"),
        ("postgresql://u:<password>@db.example/db", "still has a placeholder"),
        ("postgresql://u:${PASSWORD}@db.example/db", "still has a placeholder"),
        ("postgresql://u:$PASSWORD@db.example/db", "still has a placeholder"),
        ("postgresql://u:{{hunter2}}@db.example/db", "still has a placeholder"),
        ("postgresql://u:********@db.example/db", "still has a placeholder"),
        ("postgresql://u:hunter2@<host>:5432/db", "still has a placeholder"),
        (f"{GOOD}?sslmode=hunter2", "has an unknown sslmode"),
        (f"{GOOD}?hunter2=1", "does not know"),
        (f"{GOOD}?sslcert=hunter2", "a user with a password instead"),
        (f"{GOOD}?sslrootcert=hunter2.pem", "write sslrootcert=DATABASE_CA"),
        (f"{GOOD}?sslrootcert=hunter2", "that the file does not list"),
        (f"{GOOD}?options=-c%20x%3Dhunter2", "ALTER ROLE"),
        (f"{GOOD}?options=endpoint%3D{NEON}", "use the host that begins with the endpoint's name"),
    ],
)
def test_an_address_that_cannot_work_is_told_without_any_part_of_it(value, said):
    fault = address_fault(value, ["DATABASE_URL", "DATABASE_CA"])

    assert said in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        "postgres://u:p%40ss%2Fw@db.example/db?sslmode=require&channel_binding=require",
        "postgresql+asyncpg://u:p@db.example:5432/db",
        "postgresql://u@db.example/db",
        "postgresql://u:p@[2001:db8::1]:5432/db",
        "postgresql://u:p@a.example:5432,b.example:5433/db?target_session_attrs=read-write",
        "postgresql://u:a[b]c<d>e@db.example/db",
        "postgresql://u:password@db.example/db",
        "postgresql://u:%40word@db.example/db",
        "postgresql://u:$ecret1@db.example/db",
        "postgresql://u:a:6543/b?@db.example/db",
        f"{GOOD}?sslmode=verify-full&sslrootcert=DATABASE_CA",
        f"{GOOD}?sslrootcert=system",
        f"postgresql://u:p@{NEON}-pooler.us-east-2.aws.neon.tech/db?options=endpoint%3D{NEON}",
        "postgresql://u:p@127.0.0.1:16543/postgres",
    ],
)
def test_an_address_that_may_work_is_taken(value):
    assert address_fault(value, ["DATABASE_CA"]) == ""
    asyncpg_url(value, "X")


@given(st.text(st.characters(exclude_characters="@", exclude_categories=["C", "Z"]), min_size=1))
def test_what_is_taken_the_server_takes_too(password):
    value = f"postgresql://u:{password}@db.example/db?sslmode=require"

    if not address_fault(value, ()):
        asyncpg_url(value, "X")


@given(st.text(max_size=40))
def test_whatever_is_pasted_the_server_s_own_check_refuses_nothing_more(rest):
    value = f"postgresql://u:p@{rest}"

    if not address_fault(value, ["A"]):
        try:
            asyncpg_url(value, "X")
        except BootError as error:
            pytest.fail(f"{error}: {value!r}")


def test_the_server_knows_the_same_options():
    assert OPTIONS == HINTS | WORDS | OURS


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (GOOD, "does not begin with postgresql+asyncpg://"),
        ("postgresql+asyncpg://u:p@db.example/db", ""),
        (f'"{GOOD}"', "begins or ends with a quotation mark"),
    ],
)
def test_an_image_of_the_user_s_own_needs_the_driver_s_own_form(value, fault):
    assert native_fault(value).startswith(fault)
    assert bool(native_fault(value)) == bool(fault)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (f"{NEON}-pooler.us-east-2.aws.neon.tech/db", "the same host without -pooler"),
        ("aws-0-eu-west-1.pooler.supabase.com:6543/postgres", "the session pooler"),
        ("db.ref.supabase.co:6543/postgres", "the direct connection"),
        ("pgbouncer.x.flympg.net/db", "begins with direct."),
        ("db.example:6543/db", "a pooler in session mode"),
        ("db.example/db?pgbouncer=true", "a pooler in session mode"),
        ("db.example/db", ""),
        (f"{NEON}.us-east-2.aws.neon.tech/db", ""),
        ("aws-0-eu-west-1.pooler.supabase.com:5432/postgres", ""),
        ("db.ref.supabase.co:5432/postgres", ""),
        ("direct.x.flympg.net/db", ""),
    ],
)
def test_a_better_address_than_a_pooler_s_is_named(place, said):
    note = address_note(f"postgresql://u:hunter2@{place}")

    assert said in note
    assert bool(note) == bool(said)
    assert "hunter2" not in note
