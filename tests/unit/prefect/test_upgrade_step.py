"""Which release comes next: one minor version at a time, old enough, and never an older one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.prefect.upgrade_step import Release, Step, Vulnerability, next_step
from roost.prefect.versions import Version, parse_version

NOW = datetime(2026, 12, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def version(text):
    return parse_version(text)


def release(text, *, days=30, yanked=False):
    return Release(version(text), NOW - timedelta(days=days) if days is not None else None, yanked)


def step(current, *releases, flaws=()):
    found = next_step(version(current), releases, flaws, NOW, WEEK)
    return str(found.version) if found else None


def flaw(*fixed):
    return Vulnerability("CVE-2026-1", tuple(version(each) for each in fixed))


@pytest.mark.parametrize(
    ("current", "published", "expected"),
    [
        ("3.8.8", ["3.8.8"], None),
        ("3.8.8", ["3.8.7", "3.7.9"], None),
        ("3.8.8", ["3.8.9", "3.8.10"], "3.8.10"),
        ("3.8.8", ["3.8.9", "3.9.0", "3.9.2"], "3.9.2"),
        ("3.8.8", ["3.9.2", "3.10.1", "3.11.0"], "3.9.2"),
        ("3.8.8", ["3.10.1", "3.11.0"], "3.10.1"),
        ("3.8.8", ["4.0.0"], None),
        ("3.8.8", ["4.0.0", "3.8.9"], "3.8.9"),
        ("3.8.8", [], None),
    ],
)
def test_a_step_goes_to_the_newest_patch_of_the_next_minor_version(current, published, expected):
    assert step(current, *(release(each) for each in published)) == expected


def test_a_release_is_left_alone_until_it_is_old_enough():
    young = release("3.9.2", days=6)

    assert step("3.8.8", young) is None
    assert step("3.8.8", young, release("3.9.1", days=8)) == "3.9.1"
    assert step("3.8.8", release("3.9.2", days=None)) is None  # its age is not known


def test_a_withdrawn_release_is_left_out():
    assert step("3.8.8", release("3.9.1", yanked=True)) is None
    assert step("3.8.8", release("3.9.1", yanked=True), flaws=[flaw("3.9.1")]) is None


def test_a_release_that_mends_a_vulnerability_need_not_be_old():
    found = next_step(version("3.9.1"), [release("3.9.4", days=1)], [flaw("3.9.4")], NOW, WEEK)

    assert found == Step(Version(3, 9, 4), (flaw("3.9.4"),))


def test_a_vulnerability_that_a_later_step_mends_is_not_claimed():
    releases = [release("3.9.1"), release("3.10.2", days=1)]

    assert next_step(version("3.8.8"), releases, [flaw("3.10.2")], NOW, WEEK) == Step(
        Version(3, 9, 1)
    )


numbers = st.builds(Version, st.just(3) | st.just(4), st.integers(0, 12), st.integers(0, 9))
ages = st.none() | st.integers(0, 60).map(lambda days: NOW - timedelta(days=days))
published = st.lists(st.builds(Release, numbers, ages, st.booleans()), max_size=12)
flaws = st.lists(
    st.builds(Vulnerability, st.just("CVE-1"), st.lists(numbers, max_size=3).map(tuple)), max_size=3
)


@given(numbers, published, flaws)
def test_a_step_is_always_upward_published_and_within_the_major_version(current, releases, known):
    found = next_step(current, releases, known, NOW, WEEK)

    if found is not None:
        assert found.version > current
        assert found.version.major == current.major
        assert any(each.version == found.version and not each.yanked for each in releases)
