"""What becomes of a run whose process is gone; tests/e2e/test_flow_servers.py does it for real."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roost_server.dead_runs import Attempt, Ending, ending_of

RUNNING = Attempt("RUNNING", count=1, retries=0, has_deployment=True)


@pytest.mark.parametrize(
    ("change", "ending"),
    [
        pytest.param({}, Ending.CRASHED, id="no retries"),
        pytest.param({"retries": 1}, Ending.RETRY, id="one retry left"),
        pytest.param({"retries": 1, "count": 2}, Ending.CRASHED, id="retries used up"),
        pytest.param({"retries": 1, "has_deployment": False}, Ending.CRASHED, id="a subflow"),
        pytest.param({"state": "PENDING", "count": 0}, Ending.RETRY, id="not begun"),
        pytest.param({"state": "PENDING", "count": 1}, Ending.CRASHED, id="begun before"),
        pytest.param({"state": "CANCELLING", "retries": 1}, Ending.CANCELLED, id="cancelling"),
        pytest.param(
            {"state": "SCHEDULED", "waits_in_process": True},
            Ending.RETRY,
            id="between two attempts",
        ),
        pytest.param(
            {"state": "SCHEDULED", "waits_in_process": True, "has_deployment": False},
            Ending.CRASHED,
            id="a subflow between two attempts",
        ),
        *[
            pytest.param({"state": state, "retries": 1}, Ending.NONE, id=state.lower())
            for state in ("SCHEDULED", "COMPLETED", "FAILED", "CRASHED", "CANCELLED", "PAUSED", "")
        ],
    ],
)
def test_a_run_ends_or_starts_again(change, ending):
    assert ending_of(replace(RUNNING, **change)) is ending


def test_where_nobody_is_left_to_start_it_again_it_ends():
    assert ending_of(replace(RUNNING, retries=3), may_retry=False) is Ending.CRASHED
