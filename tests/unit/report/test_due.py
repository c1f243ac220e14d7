"""Sentences about runs that are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost.errors.command import bare
from roost.plan.next_due import Decided, Decision, NextDue
from roost.plan.server_work import ConnectedClients, FlowServerWork, ServerWork, UntakenRun
from roost.report.due import (
    asleep_notes,
    length,
    tick_line,
    what,
    when,
    woken_line,
    work_notes,
)

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
RUN = "load/all on the flow server nightly"


def due(**far):
    return NextDue(NOW + timedelta(**far), "nightly", "load/all")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (-192, "3 min 12 s"),
        (3 * 3600, "3 h"),
        (3 * 3600 + 30, "3 h"),
        (86400 * 2 + 3600, "2 d 1 h"),
    ],
)
def test_a_length_has_two_units(seconds, expected):
    assert length(timedelta(seconds=seconds)) == expected


def test_a_time_says_how_far_it_is():
    assert when(due(hours=3), NOW) == "2026-11-30 12:00:00 UTC, in 3 h"
    assert when(due(minutes=-12), NOW) == "2026-11-30 08:48:00 UTC, 12 min ago"


def test_a_woken_server_is_said_to_be_late_or_early():
    assert woken_line("staging", due(minutes=-3), NOW, 2.314) == (
        f"staging: woken in 2.31 s, 3 min after a run was due at 2026-11-30 08:57:00 UTC ({RUN})."
    )
    assert "12 s before a run is due" in woken_line("staging", due(seconds=12), NOW, 1)


def test_a_run_without_a_deployment_is_said_to_have_none():
    assert what(NextDue(NOW, "nightly", "")).startswith("a run without a deployment on the flow")


@pytest.mark.parametrize(
    ("decided", "words"),
    [
        (Decided(Decision.NO_MACHINE), "it has no machine that serves"),
        (Decided(Decision.AWAKE, due(hours=1)), "awake already."),
        (Decided(Decision.BUSY), "See: roost status staging"),
        (Decided(Decision.NOTHING_DUE), "asleep, nothing is due."),
        (Decided(Decision.LATER, due(hours=1)), f"2026-11-30 10:00:00 UTC, in 1 h ({RUN})."),
        (Decided(Decision.LEFT_OVER, due(hours=-2)), "wake the server: roost wake staging"),
    ],
)
def test_what_is_not_woken_is_said_in_one_line_with_the_next_step(decided, words):
    line = bare(tick_line("staging", decided, NOW))

    assert line.startswith("staging: ")
    assert words in line


def test_a_late_what_a_sleeping_server_names_the_command_that_starts_it():
    [run, late] = asleep_notes("staging", due(minutes=-12), (), NOW)

    assert run == f"Next run: 2026-11-30 08:48:00 UTC, 12 min ago, {RUN}."
    assert "To start it now: roost wake staging." in bare(late)


def test_a_later_what_a_sleeping_server_says_what_wakes_it():
    [note, _, wakes] = asleep_notes("staging", due(hours=1), ("It cannot be read.",), NOW)

    assert note == "It cannot be read."
    assert "`roost tick staging` wakes it" in bare(wakes)


def test_a_run_that_is_due_right_now_is_not_called_late():
    assert len(list(asleep_notes("staging", due(seconds=-30), (), NOW))) == 1
    assert list(asleep_notes("staging", None, (), NOW)) == []


def test_an_awake_server_s_work_says_who_runs_what_what_is_overdue_and_why():
    nightly = FlowServerWork("nightly", NOW, 2, 0, "connection refused.")
    hourly = FlowServerWork("hourly", None, 0, 1, "")
    slow = FlowServerWork("slow", None, 1, 0, "")
    broken = FlowServerWork("broken", None, 0, 0, "timed out")
    work = ServerWork(None, (nightly, hourly, slow, broken), due(minutes=5))

    assert list(work_notes(work, NOW)) == [
        f"Next run: 2026-11-30 09:05:00 UTC, in 5 min, {RUN}.",
        "2 runs of nightly should have started. It could not be woken: connection refused.",
        "The flow server hourly executes 1 run.",
        "1 run of slow should have started. It has not taken them yet.",
        "The flow server broken could not be woken: timed out.",
    ]


def test_a_run_that_nobody_takes_is_named_with_the_reason_and_what_becomes_of_it():
    run = UntakenRun("run-1", NOW - timedelta(minutes=20), "load/all", "its work pool p is paused")
    bare = UntakenRun("run-2", None, "", "")
    work = ServerWork(None, (FlowServerWork("nightly", None, 0, 0, "", (run, bare)),))

    named, unnamed = work_notes(work, NOW)

    assert named == (
        "nightly does not take a run of load/all (run-1) that was due, 20 min ago: its work pool p is "
        "paused. It wakes nobody and keeps nobody awake; it starts once it can, while both are awake."
    )
    assert "a run without a deployment (run-2) that was due:" in unnamed


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        (
            ConnectedClients(1, 6),
            ["1 open socket, and 6 polls for work in the last minute. They keep"],
        ),
        (ConnectedClients(0, 0), []),
        (None, []),
    ],
)
def test_connected_clients_are_said_to_keep_the_server_awake(clients, words):
    notes = list(work_notes(ServerWork(clients), NOW))

    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


OFFICE = "mon-fri 08:00-18:00 Europe/Berlin"


def opens(**far):
    return NextDue(NOW + timedelta(**far), window=OFFICE)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(
            tick_line("staging", Decided(Decision.LATER, opens(hours=3)), NOW),
            f"staging: asleep, the next window opens 2026-11-30 12:00:00 UTC, in 3 h ({OFFICE}).",
            id="later",
        ),
        pytest.param(
            woken_line("staging", opens(minutes=-3), NOW, 2.314),
            "staging: woken in 2.31 s, 3 min after a window opened at 2026-11-30 08:57:00 UTC",
            id="woken late",
        ),
        pytest.param(
            woken_line("staging", opens(seconds=12), NOW, 2.314),
            f"12 s before a window opens at 2026-11-30 09:00:12 UTC ({OFFICE}).",
            id="woken early",
        ),
        pytest.param(
            tick_line("staging", Decided(Decision.LEFT_OVER, opens(hours=-2)), NOW),
            "not woken. A window opened 2026-11-30 07:00:00 UTC, 2 h ago",
            id="left over",
        ),
    ],
)
def test_a_tick_says_window_where_a_window_is_due(line, words):
    assert words in bare(line)
    assert "run " not in bare(line).replace("roost", "")


def test_the_next_window_of_a_sleeping_server_is_named_by_the_clock_there():
    first, then = asleep_notes("staging", opens(days=1, hours=-2), (), NOW)

    assert first == "Next window: Tue 08:00 Europe/Berlin (mon-fri 08:00-18:00), in 22 h."
    assert then.startswith("The server sleeps until then. ")


def test_a_window_that_is_open_is_left_to_the_notes_on_windows():
    assert list(asleep_notes("staging", opens(minutes=-2), (), NOW)) == []


def test_a_window_that_the_server_cannot_use_is_named():
    work = ServerWork(window_faults=("the time zone Mars/Base is not known",))

    assert list(work_notes(work, NOW)) == [
        "The server may sleep in one of its windows: the time zone Mars/Base is not known."
    ]
