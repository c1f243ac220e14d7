"""The times of a run are taken from the states that the server recorded, and compared as rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bench.errors import BenchError
from bench.flow_runs import Took, took
from bench.subjects.work import rows

BEGAN = datetime(2026, 11, 30, 9, tzinfo=UTC)


def state(kind, second):
    """Return a state as the server records it."""
    return {"type": kind, "timestamp": BEGAN.replace(second=second).isoformat()}


def test_the_first_running_counts_whatever_the_order_is():
    states = [state("RUNNING", 9), state("COMPLETED", 12), state("RUNNING", 4), state("PENDING", 1)]

    assert took(BEGAN.timestamp(), states) == Took(4, 12)


def test_a_run_that_never_ran_has_no_figure():
    with pytest.raises(BenchError, match="only the states SCHEDULED"):
        took(BEGAN.timestamp(), [state("SCHEDULED", 0)])


def test_each_trial_has_two_rows_beside_its_own_stock_and_the_aim_of_its_sleep():
    found = {
        "stock": [Took(6, 7)],
        "fast": [Took(2, 3)],
        "both stopped": [Took(16, 17), Took(9, 10), Took(8, 9)],
        "both awake": [Took(1, 2)],
    }

    table = list(rows(found, {"both stopped": "stock", "both awake": "fast"}))

    assert [(row.what, row.ours.median, row.stock.median, row.met) for row in table] == [
        ("both stopped: RUNNING", 9, 6, True),
        ("both stopped: COMPLETED", 10, 7, None),
        ("both awake: RUNNING", 1, 2, None),
        ("both awake: COMPLETED", 2, 3, None),
    ]
