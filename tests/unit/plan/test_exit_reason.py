"""Why a machine ended is read from its metadata, which may hold anything."""

from __future__ import annotations

import json

import pytest

from roost.fly.models import Machine
from roost.plan.exit_reason import LAST_ERROR_KEY, last_words_of

VERSION = "01VERSION"


def words(left, version=VERSION):
    """What is read of what a machine left."""
    config = {"metadata": {LAST_ERROR_KEY: left}}
    return last_words_of(Machine(id="m", state="stopped", config=config), version)


def left(error, version=VERSION):
    return json.dumps({"version": version, "error": error})


def test_the_reason_of_the_same_config_is_told():
    assert words(left("no module")) == "no module"
    assert words(left("no module"), "") == "no module"


def test_the_reason_of_another_config_is_old_news():
    assert words(left("no module", "01BEFORE")) == ""


@pytest.mark.parametrize("junk", ["", "x", "[]", "7", "{}", '{"error": 7}', "[" * 9_000])
def test_what_is_no_reason_is_none(junk):
    assert words(junk) == ""


def test_a_reason_is_one_printable_line_of_bounded_length():
    told = words(left("a\nb \x1b[31m" + "x" * 999))

    assert told.startswith("a b ?[31mxxx")
    assert len(told) == 300


def test_a_machine_without_metadata_left_nothing():
    assert last_words_of(Machine(id="m", state="stopped"), VERSION) == ""
