"""What the part `runs` calls lost, executed twice or stuck."""

from __future__ import annotations

import pytest

from chaos.flow_runs import Fate, Killed, Toll, Trouble, Verdict, judge
from chaos.report import runs_table

ONE, TWO = ("begin", 1), ("begin", 2)


@pytest.mark.parametrize(
    ("flow", "state", "lines", "killed", "verdict"),
    [
        pytest.param("once", "COMPLETED", [ONE, ("end", 1)], [], Verdict.COMPLETED, id="well"),
        pytest.param("once", "CRASHED", [ONE], [1], Verdict.CRASHED, id="killed"),
        pytest.param("once", "CRASHED", [], ["run"], Verdict.CRASHED, id="killed before it began"),
        pytest.param(
            *("again", "COMPLETED", [ONE, TWO, ("end", 2)], [1], Verdict.COMPLETED), id="again"
        ),
        pytest.param(
            *("again", "COMPLETED", [ONE, ("end", 1), TWO, ("end", 2)], [1], Verdict.COMPLETED),
            id="killed before the server knew that it completed",
        ),
        pytest.param("once", "COMPLETED", [ONE], [], Verdict.LOST, id="not to its end"),
        pytest.param("once", "CRASHED", [ONE, ("end", 1)], [], Verdict.LOST, id="not killed"),
        pytest.param("once", "CANCELLED", [], [], Verdict.LOST, id="never begun"),
        pytest.param("once", "RUNNING", [ONE], [1], Verdict.STUCK, id="stuck"),
        pytest.param("once", "SCHEDULED", [], [], Verdict.STUCK, id="never taken"),
        pytest.param("once", "COMPLETED", [ONE, TWO], [1], Verdict.DOUBLED, id="no retries"),
        pytest.param(
            *("again", "COMPLETED", [ONE, ("end", 1), TWO, ("end", 2)], [], Verdict.DOUBLED),
            id="twice though nobody killed it",
        ),
        pytest.param(
            *("again", "COMPLETED", [ONE, ("overlap", 2), TWO], [1], Verdict.DOUBLED),
            id="two at a time",
        ),
        pytest.param("again", "CRASHED", [ONE] * 7, [1], Verdict.DOUBLED, id="too often"),
    ],
)
def test_a_run_is_judged_by_its_journal_and_its_last_state(flow, state, lines, killed, verdict):
    was = Killed({each for each in killed if each != "run"}, {"run"} & set(killed))

    assert judge(Fate("run", flow, state, "", lines), was) is verdict


def test_the_table_counts_every_verdict_and_trouble():
    toll = Toll(1, runs=10, executions=12, seconds=120)
    toll.verdicts.update({Verdict.COMPLETED: 8, Verdict.CRASHED: 2})
    toll.troubles[Trouble.NETWORK] = 3

    text = runs_table(toll)

    assert "| 10        | 12               | 8         | 2  " in text
    assert "network cut: 3" in text
    assert "2 minutes." in text
