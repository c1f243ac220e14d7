"""A stop takes no more work, lets flow runs end, ends the command, and keeps the schedules."""

from __future__ import annotations

import pytest

from helpers.flow_server_api import LOGIN
from roost_flows.processes import SETTLE_S
from roost_flows.stop import END_LIMIT_S, stop_gracefully

LIMIT_S = 60.0


@pytest.fixture
def stop(client, running, clock, server):
    """Stops a flow server whose command pauses what it serves, as Prefect's runner does."""
    server.record = {"deployments": [{"id": "d1"}, {"id": "d2"}]}
    server.paused = {"d1": False, "d2": True}
    ended = []

    def end_command(limit_s):
        ended.append((clock.elapsed, limit_s, running.flow_runs()))
        server.paused = {"d1": True, "d2": True}
        return True

    def run(*, paused=None, end=end_command):
        stop_gracefully(client, running, clock, LIMIT_S, paused or {}, end)
        return ended

    return run


def test_an_idle_flow_server_ends_at_once(stop, server, running):
    ended = stop()

    assert ended == [(SETTLE_S, END_LIMIT_S, frozenset())]
    assert server.called("drain") == [{"draining": True}]
    assert running.killed


def test_flow_runs_may_end_first(stop, running, clock):
    running.runs = {"r1", "r2"}
    clock.happenings[10] = lambda: running.runs.discard("r1")
    clock.happenings[20] = running.runs.clear

    assert stop() == [(pytest.approx(20, abs=0.5), END_LIMIT_S, frozenset())]


def test_a_run_that_begins_just_after_the_drain_may_end_too(stop, running, clock):
    clock.happenings[1] = lambda: running.runs.add("r1")
    clock.happenings[30] = running.runs.clear

    assert stop() == [(pytest.approx(30, abs=0.5), END_LIMIT_S, frozenset())]


def test_what_takes_too_long_is_left_to_prefect_and_said(stop, running, capsys):
    running.runs = {"r2", "r1"}

    ((at, _, left),) = stop()

    assert at == pytest.approx(SETTLE_S + LIMIT_S, abs=0.5)
    assert left == {"r1", "r2"}
    assert (
        "2 flow runs did not end within 60 s; Prefect cancels them now: r1, r2. "
        "Raise `stop_limit`" in capsys.readouterr().out
    )


def test_only_what_the_command_paused_is_resumed(stop, server):
    stop()

    assert server.paused == {"d1": False, "d2": True}


def test_a_command_that_does_not_end_is_killed(stop, running, capsys):
    stop(end=lambda _: False)

    assert running.killed
    assert "the command did not end within 40 s and is killed" in capsys.readouterr().out


def test_a_server_that_is_away_shortens_the_stop(stop, server, running):
    server.statuses = {path: [503] for path in ("drain", "record", "/deployments/filter")}

    assert len(stop()) == 1
    assert running.killed
    assert server.paused["d1"]


def test_a_record_that_cannot_be_read_is_replaced_by_what_was_known(stop, server):
    server.statuses = {"record": [503]}

    stop(paused={"d1": False, "d2": True})

    assert server.paused == {"d1": False, "d2": True}


def test_a_server_that_forgot_it_keeps_the_schedules_that_were_known(stop, server):
    server.statuses = {"drain": [404], "record": [404]}

    stop(paused={"d1": False, "d2": True})

    assert server.paused == {"d1": False, "d2": True}


def test_the_login_is_in_no_message(stop, server, capsys):
    server.login = "somebody:else"

    stop()

    out = capsys.readouterr().out
    assert "refuses the login (status 401)" in out
    assert LOGIN not in out
    assert "s3cret" not in out


def test_a_start_that_was_replaced_leaves_the_schedules_to_the_newer_one(stop, server):
    server.statuses = {"drain": [409], "record": [409]}

    assert len(stop(paused={"d1": False})) == 1
    assert server.called("/deployments/filter") == []
