"""Medians, spreads, ratios and verdicts of the benchmarks."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import Aim, Limit, Row, Sample, Unit, longest_gap, percentile

FIGURES = st.floats(min_value=0, max_value=1e6, allow_nan=False)


def row(ours, stock=None, limit=None):
    return Row("a thing", Unit.SECONDS, Sample(ours), Sample(stock) if stock else None, limit)


def test_a_sample_gives_its_middle_and_its_ends():
    sample = Sample((3.0, 1.0, 2.0, 9.0, 2.5))

    assert (sample.median, sample.spread) == (2.5, (1.0, 9.0))


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Sample(())


def test_the_ratio_is_of_the_medians():
    assert row((1.0, 2.0, 90.0), (4.0, 4.0, 0.1)).ratio == 0.5


@pytest.mark.parametrize("stock", [None, (0.0,)], ids=["no stock", "stock of zero"])
def test_without_a_measure_there_is_no_ratio_and_no_verdict_on_it(stock):
    found = row((1.0,), stock, Limit(Aim.RATIO_AT_MOST, 0.5))

    assert (found.ratio, found.met) == (None, None)


@pytest.mark.parametrize(
    ("aim", "limit", "met"),
    [
        (Aim.AT_MOST, 2.0, True),
        (Aim.AT_MOST, 1.9, False),
        (Aim.AT_LEAST, 2.0, True),
        (Aim.AT_LEAST, 2.1, False),
        (Aim.RATIO_AT_MOST, 0.5, True),
        (Aim.RATIO_AT_MOST, 0.49, False),
    ],
)
def test_a_limit_itself_still_meets_the_aim(aim, limit, met):
    assert row((2.0,), (4.0,), Limit(aim, limit)).met is met


def test_a_row_without_an_aim_has_no_verdict():
    assert row((2.0,), (4.0,)).met is None


@pytest.mark.parametrize(
    ("unit", "value", "told"),
    [
        (Unit.SECONDS, 0.0312, "0.031 s"),
        (Unit.SECONDS, 12.345, "12.35 s"),
        (Unit.MILLISECONDS, 6006.4, "6006 ms"),
        (Unit.PERCENT, 99.54, "99.5 %"),
        (Unit.CALLS, 5.0, "5 calls"),
    ],
)
def test_a_value_is_told_with_its_unit_and_the_digits_that_mean_something(unit, value, told):
    assert unit.tell(value) == told


@given(st.lists(FIGURES, min_size=1), st.floats(0, 1))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values, share):
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) <= share * len(values)


def test_the_95th_percentile_of_a_hundred_leaves_five_above():
    assert percentile(range(1, 101), 0.95) == 95


def test_the_middle_percentile_of_an_odd_number_is_the_median():
    assert percentile([5.0, 1.0, 3.0], 0.5) == statistics.median([5.0, 1.0, 3.0])


def test_a_percentile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_the_longest_gap_counts_from_the_beginning_and_to_the_end():
    assert longest_gap([1.0, 1.1], 0.0, 3.0) == pytest.approx(1.9)
    assert longest_gap([2.5, 2.6], 0.0, 3.0) == pytest.approx(2.5)
    assert longest_gap([], 0.0, 3.0) == 3.0


def test_moments_outside_shorten_no_gap():
    assert longest_gap([-1.0, 5.0], 0.0, 3.0) == 3.0
