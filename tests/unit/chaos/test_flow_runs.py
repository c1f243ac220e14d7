"""What the part `runs` calls lost, executed twice or stuck."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos.flow_runs import Fate, Killed, Toll, Trouble, Verdict, judge, share_out
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
    toll = Toll(1, runs=10, killed=4, executions=12)
    toll.verdicts.update({Verdict.COMPLETED: 8, Verdict.CRASHED: 2})
    toll.troubles[Trouble.NETWORK] = 3
    other = Toll(2, runs=5, executions=5, verdicts=Counter({Verdict.COMPLETED: 5}))
    other.troubles[Trouble.NETWORK] = 1

    text = runs_table([toll, other], 120)

    assert "| 1    | 10        | 4      | 12         | 8         | 2  " in text
    assert "| all  | 15        | 4      | 17         | 13        | 2  " in text
    assert "network cut: 4" in text
    assert "2 minutes." in text


def test_a_table_of_one_pair_has_no_sum():
    assert "all" not in runs_table([Toll(1)], 120)


@pytest.mark.parametrize(
    ("count", "pairs", "shares"),
    [
        pytest.param(1000, 3, {5: 334, 6: 333, 7: 333}, id="evenly"),
        pytest.param(12, 4, {5: 12}, id="few"),
        pytest.param(50, 4, {5: 25, 6: 25}, id="none has too few"),
    ],
)
def test_the_runs_are_shared_out_among_pairs_of_machines(count, pairs, shares):
    assert share_out(count, pairs, 5) == shares
