"""Prefect's versions compare by number, and only whole ones are versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.prefect.versions import Version, parse_version

NUMBER = st.integers(0, 10_000)


@given(NUMBER, NUMBER, NUMBER)
def test_a_version_reads_back_as_it_is_written(major, minor, patch):
    version = Version(major, minor, patch)

    assert parse_version(str(version)) == version


@given(st.tuples(NUMBER, NUMBER, NUMBER), st.tuples(NUMBER, NUMBER, NUMBER))
def test_versions_order_as_their_numbers(one, other):
    assert (Version(*one) < Version(*other)) == (one < other)


def test_ten_is_later_than_nine():
    assert parse_version("3.10.0") > parse_version("3.9.9")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "3.8",
        "3.8.8.1",
        "v3.8.8",
        "3.8.8rc1",
        " 3.8.8",
        "3.8.8\n",
        "3.8.x",
        "3.8.-1",
        "٣.٨.٨",
    ],
)
def test_anything_else_is_no_version(text):
    assert parse_version(text) is None


@given(st.text())
def test_no_text_breaks_the_reader(text):
    version = parse_version(text)

    assert version is None or isinstance(version, Version)
