"""A value of SQLite becomes PostgreSQL's, or is refused with a reason that does not show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from roost_server.move_values import (
    KINDS,
    Column,
    ContentHash,
    Kind,
    RefusedValueError,
    convert,
    source_text,
    sqlite_value,
    target_text,
)

CHOICE = Column("state", "state_type", Kind.CHOICE, choices=frozenset({"RUNNING"}))
SHORT = Column("name", "varchar", Kind.TEXT, length=3)
NUMBER = "3f2c8a10-0000-4000-8000-00000000abcd"


def column(kind, **fields):
    return Column("c", kind, KINDS[kind], **fields)


# What SQLite returns, what PostgreSQL is sent, and what it shows of that as text.
VALUES = [
    (column("uuid"), NUMBER.encode(), UUID(NUMBER), NUMBER),
    (column("uuid"), NUMBER.upper().encode(), UUID(NUMBER), NUMBER),
    (
        column("timestamptz"),
        b"2026-11-30 12:00:00.120000",
        datetime(2026, 11, 30, 12, 0, 0, 120000, UTC),
        "2026-11-30 12:00:00.12+00",
    ),
    (
        column("timestamptz"),
        b"2026-11-30T14:00:00+02:00",
        datetime.fromisoformat("2026-11-30T14:00:00+02:00"),
        "2026-11-30 12:00:00+00",
    ),
    (
        column("interval"),
        b"1970-01-02 00:00:00.250000",
        timedelta(days=1, seconds=0.25),
        "86400.25",
    ),
    (column("bool"), 1, True, "true"),
    (column("bool"), 0, False, "false"),
    (column("jsonb"), b'{"b": 1.50, "a": [null, 1e2]}', None, '{"a": [null, 100], "b": 1.50}'),
    (column("jsonb"), 5, "5", "5"),
    (column("jsonb"), 1.5, "1.5", "1.5"),
    (column("jsonb"), b'"caf\\u00e9 \\\\u0000"', None, '"caf\u00e9 \\\\u0000"'),
    (column("json"), b'"\\u0000"', None, '"\\u0000"'),
    (column("jsonb"), b"null", "null", "null"),
    (
        column("text"),
        "caf\u00e9 \U0001f426".encode(),
        "caf\u00e9 \U0001f426",
        "caf\u00e9 \U0001f426",
    ),
    (column("int4"), -(2**31), -(2**31), "-2147483648"),
    (column("float8"), 0.1, 0.1, "0.1"),
    (column("float8"), 1e20, 1e20, "1e+20"),
    (CHOICE, b"RUNNING", "RUNNING", "RUNNING"),
    (SHORT, "\u00e9\u00e9\u00e9".encode(), "\u00e9\u00e9\u00e9", "\u00e9\u00e9\u00e9"),
    (column("text"), None, None, None),
]


@pytest.mark.parametrize(("kind", "raw", "sent", "shown"), VALUES, ids=range(len(VALUES)))
def test_both_sides_of_a_value_are_written_alike(kind, raw, sent, shown):
    wanted = raw.decode() if sent is None and raw is not None else sent

    assert convert(kind, raw) == wanted
    assert source_text(kind, raw) == target_text(kind, shown)


@pytest.mark.parametrize(
    ("kind", "raw", "shown"),
    [(k, raw, shown) for k, raw, _, shown in VALUES],
    ids=range(len(VALUES)),
)
def test_a_value_that_comes_back_is_what_it_was(kind, raw, shown):
    back = sqlite_value(kind, shown)

    stored = back.encode() if isinstance(back, str) else back
    assert source_text(kind, stored) == source_text(kind, raw)


@pytest.mark.parametrize(
    ("kind", "shown", "written"),
    [
        (column("timestamptz"), "2026-11-30 12:00:00+00", "2026-11-30 12:00:00.000000"),
        (column("timestamptz"), "2026-11-30 12:00:00.12+00", "2026-11-30 12:00:00.120000"),
        (column("interval"), "86400.25", "1970-01-02 00:00:00.250000"),
        (column("interval"), "-0.000001", "1969-12-31 23:59:59.999999"),
        (column("bool"), "false", 0),
        (column("int8"), str(2**63 - 1), 2**63 - 1),
        (column("float8"), "1e+20", 1e20),
        (column("uuid"), NUMBER, NUMBER),
    ],
    ids=range(8),
)
def test_a_value_is_written_to_sqlite_as_prefect_writes_it(kind, shown, written):
    found = sqlite_value(kind, shown)

    assert (found, type(found)) == (written, type(written))


@pytest.mark.parametrize(
    ("kind", "shown", "why"),
    [
        (column("float8"), "NaN", "is NaN"),
        (column("timestamptz"), "infinity", "is no time"),
        (column("timestamptz"), "0044-03-15 12:00:00+00 BC", "is no time"),
        (column("interval"), "1e15", "is a length of time that SQLite cannot keep"),
    ],
    ids=range(4),
)
def test_a_value_that_sqlite_cannot_keep_is_refused(kind, shown, why):
    with pytest.raises(RefusedValueError, match=why):
        sqlite_value(kind, shown)


REFUSED = [
    (column("text"), b"a\0b", "has a NUL character"),
    (column("text"), b"\xff", "is no UTF-8"),
    (column("jsonb"), b'"a\\u0000b"', "is JSON with a NUL character"),
    (column("jsonb"), b'["\\ud800"]', "half a character"),
    (column("jsonb"), b'{"a": NaN}', "is JSON with NaN"),
    (column("json"), b"[Infinity]", "is JSON with Infinity"),
    (column("jsonb"), b"[1e999999]", "a number that is too large"),
    (column("jsonb"), b"{", "is no JSON"),
    (column("jsonb"), b"[" * 100_000, "too many levels"),
    (SHORT, b"abcd", "has 4 characters, and PostgreSQL takes 3"),
    (column("int2"), 2**15, "is no number of int2"),
    (column("bool"), 2, "is no boolean"),
    (column("timestamptz"), b"yesterday", "is no time"),
    (column("uuid"), b"hunter2", "is no UUID"),
    (CHOICE, b"LOST", "is none of the values of state_type"),
    (column("text", required=True), None, "PostgreSQL requires a value"),
]


@pytest.mark.parametrize(("kind", "raw", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_postgres_would_refuse_is_refused_before(kind, raw, said):
    with pytest.raises(RefusedValueError) as error:
        convert(kind, raw)

    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


def test_the_hash_of_rows_knows_no_order_and_every_difference():
    def digest(*rows):
        found = ContentHash()
        for row in rows:
            found.add(row)
        return found.rows, found.digest

    assert digest(("a", None), ("b", "c")) == digest(("b", "c"), ("a", None))
    different = [
        digest(("a", None)),
        digest(("a", "")),
        digest(("a", "~")),
        digest(("a1:b", None)),
        digest(("a", None), ("a", None)),
        digest((None, "a")),
    ]
    assert len(set(different)) == len(different)
