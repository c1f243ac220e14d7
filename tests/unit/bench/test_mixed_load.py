"""The load of a busy team: its sizes, its pace, and its figures."""

from __future__ import annotations

import pytest

from bench.client import UNANSWERED, Answer
from bench.mixed_load import BATCH, Mixed, Size


@pytest.mark.parametrize(
    ("scale", "size"),
    [
        (1.0, Size(50, 200, 1000)),
        (0.1, Size(5, 20, 100)),
        (0.01, Size(1, 2, BATCH)),  # one batch a second is the least
    ],
)
def test_a_scale_is_a_share_of_each_part_of_the_load(scale, size):
    assert Size.at(scale) == size


def answer(status, took_s):
    return Answer(status, b"", 10.0, 10.0 + took_s)


def test_what_was_not_answered_counts_against_the_share_and_in_the_times():
    load = Mixed((answer(200, 1), answer(503, 1), answer(UNANSWERED, 30), answer(201, 2)), 4.0, 5.0)

    assert (load.well_share(), load.rate(), load.p95_s()) == (50.0, 0.5, 30.0)
