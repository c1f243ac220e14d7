"""Which missed runs are skipped, by policy; the database is tried in tests/e2e/test_flow_servers.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost_server.flow_servers import Missed
from roost_server.missed_runs import OverdueRun, missed_runs

NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)


def overdue(*seconds, same="d"):
    return [OverdueRun(f"{same}{each}", NOW - timedelta(seconds=each), same) for each in seconds]


@pytest.mark.parametrize(
    ("policy", "runs", "skipped"),
    [
        pytest.param(Missed.RUN_LATEST, overdue(90, 180, 270), ["d180", "d270"], id="latest"),
        pytest.param(Missed.RUN_LATEST, overdue(5, 90, 180), ["d90", "d180"], id="latest is new"),
        pytest.param(Missed.RUN_LATEST, overdue(5, 50, 90), ["d90"], id="just due is not missed"),
        pytest.param(Missed.RUN_LATEST, overdue(7200), [], id="one alone runs late"),
        pytest.param(Missed.SKIP, overdue(90, 180), ["d90", "d180"], id="skip"),
        pytest.param(Missed.SKIP, overdue(5, 90, 180), ["d90", "d180"], id="skip all but new"),
        pytest.param(Missed.SKIP, overdue(7200), [], id="skip none alone"),
        pytest.param(Missed.RUN_ALL, overdue(90, 180), [], id="all"),
        pytest.param(
            Missed.RUN_LATEST,
            [*overdue(90, 180), *overdue(95, 185, same="e")],
            ["d180", "e185"],
            id="each kind for itself",
        ),
        pytest.param(Missed.RUN_LATEST, [], [], id="none"),
    ],
)
def test_the_policy_decides_what_is_skipped(policy, runs, skipped):
    assert [run.run for run, _ in missed_runs(runs, policy, NOW)] == skipped


def test_the_reason_names_the_policy_and_the_number():
    [(_, why)] = missed_runs(overdue(90, 180), Missed.RUN_LATEST, NOW)

    assert why == "missed: run_latest: of 2 waiting runs only the latest is executed"
