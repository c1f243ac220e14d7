"""What `doctor --database` concludes from what it read; tests/e2e/test_doctor_database.py reads real databases."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from helpers.environments import POSTGRES, REPLICATED, environment_file
from roost.doctor.check import State
from roost.doctor.database_distance import AWS, FLY, kilometres, nearest
from roost.doctor.database_facts import Facts, Limits, Outcome, Pooling, Reach, Schema
from roost.doctor.database_findings import findings, reach_finding
from roost.doctor.database_probe import _unreached
from roost.doctor.database_refusals import Place, Refusal, refused
from roost.environment.regions import REGIONS
from roost.plan.database_address import read_address
from roost.secret_text import SecretText
from roost_server.postgres_connection import BY_WORDS

GOOD = Facts(
    150008,
    "15.8",
    "",
    Schema("public", has_prefect=True, owner="u", extension="public"),
    Limits(97, -1, -1, 0),
    Pooling.SESSION,
    0.004,
    0.0,
)
PUBLIC = ("93.184.216.34",)
SUPABASE = "aws-0-us-east-1.pooler.supabase.com"


def place(host, options="?sslmode=require"):
    """Return where a login was tried."""
    address = read_address(SecretText(f"postgresql://u:hunter2@{host}/x{options}"))
    assert address is not None
    return Place(address.hosts[0], address, "DATABASE_URL", "staging")


def wrong(where, facts=GOOD, reached=None, **fields):
    """Return the findings that are not well, as one text."""
    reached = reached or Reach(Outcome.ANSWERS, PUBLIC, 0.01, has_tls=True)
    environment = environment_file(POSTGRES, **fields).environment
    checks = findings(where, reached, facts, environment)
    return "\n".join(
        f"{c.state.value}: {c.what} -> {c.mend}" for c in checks if c.state is not State.OK
    )


@pytest.mark.parametrize(
    ("host", "facts", "fields", "what", "mend"),
    [
        ("db.acme.com", replace(GOOD, number=120022, version="12.22"), {}, "PostgreSQL 12.22: Prefect needs PostgreSQL 13", "upgrade"),
        ("ep-a-pooler.us-east-1.aws.neon.tech", GOOD, {}, "transaction mode: Neon has it", "turn connection pooling off"),
        (f"{SUPABASE}:6543", GOOD, {}, "transaction mode: Supabase's pooler has it", "port 5432"),
        (SUPABASE, GOOD, {}, "5 + 10 + 1, 16 in all", '_POOL_SIZE: "5", PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW: "9"'),
        ("ep-a.eu-central-1.aws.neon.tech", GOOD, {}, "km from iad: every statement takes 6", "region: fra is the nearest"),
        ("db.acme.com", replace(GOOD, roundtrip_s=0.08), {}, "unknown: a statement takes 80.0 ms from this computer", "near to it"),
        ("db.acme.com", replace(GOOD, limits=Limits(2, -1, -1, 0)), {}, "takes 2 connections", "run fewer machines"),
        ("db.acme.com", replace(GOOD, limits=Limits(40, -1, -1, 0)), REPLICATED, "48 in all", "_POOL_SIZE"),
    ],
)  # fmt: skip
def test_what_only_facts_show_has_a_finding(host, facts, fields, what, mend):
    text = wrong(place(host), facts, **fields)

    assert what in text
    assert mend in text
    assert text.count("\n") == 0


@pytest.mark.parametrize(
    ("host", "fields"),
    [
        ("ep-a.us-east-1.aws.neon.tech", {}),
        (SUPABASE, {"prefect": {"settings": {"PREFECT_SQLALCHEMY_MAX_OVERFLOW": "5"}}}),
        ("direct.abc.flympg.net", {}),
    ],
)
def test_a_good_address_of_each_provider_has_nothing_wrong(host, fields):
    assert wrong(place(host), **fields) == ""


def test_rows_that_cross_the_internet_in_the_clear_are_wrong_and_in_a_private_network_not():
    clear = Reach(Outcome.ANSWERS, PUBLIC, 0.01, has_tls=False)
    private = replace(clear, addresses=("10.0.0.9",))

    assert "in the clear -> turn TLS on" in wrong(place("db.acme.com", ""), reached=clear)
    assert wrong(place("db.acme.com", ""), reached=private) == ""
    assert wrong(place("db.acme.com", "")) == ""  # the server has TLS, and `prefer` uses it


def test_a_host_with_ipv6_alone_is_not_wrong_where_this_computer_has_none():
    unreached = _unreached(("2001:db8::1",), [OSError(errno.ENETUNREACH, "Network is unreachable")])
    check = reach_finding(place("db.abc.supabase.co"), unreached)

    assert check.state is State.UNKNOWN
    assert "has IPv6 addresses only, and this computer has no IPv6" in check.what
    assert "session pooler, which has IPv4" in check.mend


@pytest.mark.parametrize(
    ("host", "reached", "what", "mend"),
    [
        ("db.abc.supabase.co", Reach(Outcome.NO_NAME, words="unknown"), "name of a paused project", "resume the project"),
        ("db.acme.com", _unreached(PUBLIC, [TimeoutError()]), "does not answer on port 5432 (no answer in 5 s)", "firewall"),
        ("db.acme.com", Reach(Outcome.OTHER_PROTOCOL, PUBLIC, words="b''"), "it closes the connection", "no database behind"),
    ],
)  # fmt: skip
def test_a_closed_way_has_its_cause(host, reached, what, mend):
    check = reach_finding(place(host), reached)

    assert check.state is State.MISSING
    assert what in check.what
    assert mend in check.mend


def test_every_region_has_a_place_and_each_is_nearest_to_its_neighbour():
    assert set(FLY) == set(REGIONS)
    assert kilometres("iad", "us-east-1") == 0
    assert (nearest("eu-west-1"), nearest("us-west-2")) == ("lhr", "sjc")
    assert all(nearest(region) in FLY for region in AWS)


@pytest.mark.parametrize(
    "address",
    ["postgresql://u:hunter2@h/x", "postgresql://u:hunter2@h1:1,h2/x?sslmode=require"],
)
def test_no_password_is_in_what_stands_for_an_address(address):
    assert "hunter2" not in repr(read_address(SecretText(address)))


def test_the_command_checks_databases_alone_and_says_what_it_lacks(roost, rewrite, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    sqlite = roost("doctor", "staging", "--database")
    rewrite(POSTGRES)
    postgres = roost("doctor", "staging", "--database")

    assert (sqlite.code, postgres.code) == (0, 2)
    assert "SQLite on the server's volume" in sqlite.out
    assert "the environment variable DATABASE_URL is not set" in postgres.out
    assert "Fly" not in postgres.out


def test_the_same_words_of_databases_are_known_here_and_at_the_start_of_a_server():
    where = place("db.acme.com")
    unknown = [
        words for words in BY_WORDS
        if refused(where, Refusal(f'database "x" {words}')).state is State.UNKNOWN
    ]  # fmt: skip

    assert unknown == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("postgresql://u%2B:p%40@H.example/db", ("u+", "p@", "h.example:5432", "db", "prefer", "")),
        ("postgres://u:p@[::1]:55/db?sslrootcert=CA", ("u", "p", "[::1]:55", "db", "verify-full", "CA")),
        ("postgresql://u:p@h/db?user=v&password=q&database=e&port=7", ("v", "q", "h:7", "e", "prefer", "")),
        ("postgresql://u:p@h/db?host=other&ssl=true", ("u", "p", "other:5432", "db", "require", "")),
        ("postgresql://u:p@h/db?sslmode=require&sslrootcert=system", ("u", "p", "h:5432", "db", "verify-full", "system")),
    ],
)  # fmt: skip
def test_an_address_is_read_as_sqlalchemy_and_the_server_read_it(text, parts):
    """Compared by hand with `make_url` and asyncpg's dialect of SQLAlchemy 2.0, in a server's image."""
    found = read_address(SecretText(text))

    assert found is not None
    host, password = found.hosts[0].text, found.password.reveal()
    assert (found.user, password, host, found.database, found.mode, found.root) == parts
