"""A mark tells one value from another, gives none away, and never harms who reads it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.plan.secret_fingerprints import (
    MARKS_KEY,
    MODERATE,
    SALT_BYTES,
    Effort,
    Mark,
    fingerprint,
    read_marks,
    same_value,
    with_marks,
)
from roost.secret_text import SecretText

QUICK = Effort(ln=1)
SALT = b"0" * SALT_BYTES
ANY_TEXT = st.text(st.characters())  # what a variable may hold, lone surrogates included


@given(ANY_TEXT, ANY_TEXT, st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES))
def test_a_fingerprint_is_that_of_its_value_and_of_no_other(value, other, salt):
    made = fingerprint(SecretText(value), salt, QUICK)

    assert same_value(SecretText(value), made)
    assert same_value(SecretText(other), made) == (other == value)


def test_the_same_value_has_another_fingerprint_with_another_salt():
    one, other = (fingerprint(SecretText("x"), bytes([n]) * SALT_BYTES, QUICK) for n in (1, 2))

    assert one != other


def test_the_effort_that_is_in_use_stands_in_the_fingerprint():
    made = fingerprint(SecretText("x"), SALT)

    assert made.startswith("scrypt$ln=15,r=8,p=1$")
    assert MODERATE.memory >= 2**25, "less than 32 MiB would make guessing cheap"
    assert same_value(SecretText("x"), made)


GOOD = fingerprint(SecretText("x"), SALT, QUICK)


@pytest.mark.parametrize(
    "known",
    [
        "",
        "x",
        GOOD.replace("scrypt", "md5"),
        GOOD[:-1],
        GOOD.replace("ln=1,", "ln=40,"),
        GOOD.replace("ln=1,", "ln=0,"),
        GOOD.replace("r=8", "r=0"),
        GOOD.replace("r=8", "r=99").replace("ln=1,", "ln=22,"),
        GOOD.replace("p=1", "p=99"),
        GOOD.replace("p=1", "p=0"),
    ],
)
def test_what_is_no_fingerprint_or_too_costly_is_no_match_and_takes_no_time(known):
    assert not same_value(SecretText("x"), known)


def test_marks_come_out_of_metadata_as_they_went_in():
    marks = {"HOOK": Mark("d1", GOOD), "KEY": Mark("d2", GOOD)}
    config = {"image": "x", "metadata": {"other": "stays", MARKS_KEY: "old"}}

    written = with_marks(config, marks)

    assert read_marks(written["metadata"]) == marks
    assert (written["image"], written["metadata"]["other"]) == ("x", "stays")
    assert config["metadata"][MARKS_KEY] == "old", "the config that was given stays as it is"


def test_no_marks_leave_no_entry():
    assert with_marks({"metadata": {MARKS_KEY: "old"}}, {}) == {"metadata": {}}


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
@settings(max_examples=50)
def test_what_is_none_of_ours_counts_as_no_mark(text):
    assert read_marks({MARKS_KEY: text}) == {}


@pytest.mark.parametrize("text", ['{"A": {}}', '{"A": 1}', '{"A": {"digest": "d"}}', "[" * 99_999])
def test_half_a_mark_counts_as_none(text):
    assert read_marks({MARKS_KEY: text}) == {}


def test_a_mark_stays_small():
    mark = Mark("0123456789abcdef", fingerprint(SecretText("x" * 5_000), SALT))
    text = with_marks({}, {"PREFECT_SERVER_API_AUTH_STRING": mark})["metadata"][MARKS_KEY]

    assert len(text) < 200
