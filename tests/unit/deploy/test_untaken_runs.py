"""When a due run that nobody takes keeps nobody awake any more."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from helpers.flow_books import served
from roost_server.due_runs import WaitingRun
from roost_server.untaken_runs import AGAIN_S, PATIENCE_S, Patience, _Place, _reason

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
HELD, BESIDE, OTHER = (
    WaitingRun("held", AT, "d"),
    WaitingRun("beside", AT, "d"),
    WaitingRun("other", AT, "e"),
)


def test_a_run_is_untaken_after_a_while_in_which_it_could_be_taken():
    patience = Patience()

    assert patience.untaken({}, [HELD], PATIENCE_S - 1) == {}
    assert patience.untaken({}, [HELD], 0.0) == {}
    assert patience.untaken({}, [HELD], 1.0) == {"held": AT.timestamp()}


def test_one_that_was_taken_is_forgotten():
    patience = Patience()
    known = patience.untaken({}, [HELD], PATIENCE_S)

    assert patience.untaken(known, [], 2.0) == {}
    assert patience.untaken({}, [HELD], PATIENCE_S - 1) == {}


def test_what_the_same_limit_holds_is_untaken_sooner_and_others_are_not():
    patience = Patience()
    known = patience.untaken({}, [HELD], PATIENCE_S)

    assert set(patience.untaken(known, [HELD, BESIDE, OTHER], AGAIN_S - 1)) == {"held"}
    assert set(patience.untaken(known, [HELD, BESIDE, OTHER], 1.0)) == {"held", "beside"}


def test_what_was_untaken_is_waited_for_again_for_a_short_while():
    patience = Patience()
    patience.untaken({"held": 7.0}, [HELD], 0.0)

    patience.begin_again()

    assert patience.untaken({}, [HELD], AGAIN_S - 1) == {}
    assert set(patience.untaken({}, [HELD], 1.0)) == {"held"}


def test_one_that_was_untaken_before_a_restart_still_is():
    assert Patience().untaken({"held": 7.0}, [HELD], 0.0) == {"held": 7.0}


FREE = ("pool", False, None, "default", False, None)


@pytest.mark.parametrize(
    ("state", "place", "why"),
    [
        pytest.param("AwaitingConcurrencySlot", FREE, "limit of its deployment", id="deployment"),
        pytest.param("Late", ("pool", True, *FREE[2:]), "pool pool is paused", id="paused pool"),
        pytest.param(
            "Late", (*FREE[:4], True, None), "default of pool is paused", id="paused queue"
        ),
        pytest.param(
            "Late", ("pool", False, 2, *FREE[3:]), "pool pool executes at most 2", id="limit"
        ),
        pytest.param(
            "Late", (*FREE[:5], 0), "default of pool executes at most 0", id="queue's limit"
        ),
        pytest.param("Late", FREE, "asks for work and does not take it", id="unknown"),
        pytest.param("Late", (None,) * 6, "asks for work and does not take it", id="no pool"),
    ],
)
def test_the_likely_reason_is_named(state, place, why):
    assert why in _reason(served(["d"], ["pool"]), state, _Place(*place))


def test_a_queue_that_nobody_polls_is_named():
    place = _Place(*FREE)

    assert _reason(served(pool=["urgent", "b"]), "Late", place) == (
        "its queue default of pool is not polled, only b, urgent"
    )
