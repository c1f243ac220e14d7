"""A server is woken when a run is due, and at no other time, whatever its machine's metadata holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from roost.fly.models import Machine
from roost.plan.desired import IDLE_ACTION, WINDOWS
from roost.plan.next_due import (
    LEAD,
    MAX_WORDS,
    NEXT_DUE_KEY,
    TRIES,
    Decision,
    NextDue,
    decide,
    next_due_of,
    parse_next_due,
)
from roost_server import flow_server_watch, next_due

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STARTED = {"type": "start", "status": "started"}


def left(at=NOW, **changes):
    """What a server leaves before it sleeps."""
    at = at.isoformat() if isinstance(at, datetime) else at
    fields = {"at": at, "flow_server": "nightly", "deployment": "load/all", **changes}
    return json.dumps(fields)


WINDOW = "mon-fri 08:00-18:00 Europe/Berlin"


def machine(text="", state="suspended", windows=WINDOW, **fields):
    """A machine that holds a text in its metadata."""
    config = {
        "metadata": {NEXT_DUE_KEY: text} if text else {},
        "env": {WINDOWS: windows, IDLE_ACTION: "suspend"} if windows else {},
    }
    return Machine.model_validate({"id": "m1", "state": state, "config": config, **fields})


def event(at, **fields):
    return {"id": "e1", "timestamp": int(at.timestamp() * 1000), **fields}


def ended(at, *, asked):
    request = {"exit_event": {"exit_code": 0 if asked else 1, "requested_stop": asked}}
    return event(at, type="exit", status="stopped", request=request)


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-30T09:00:00Z",
        "2026-11-30T09:00:00+00:00",
        "2026-11-30T10:00:00+01:00",
        "2026-11-30T03:30:00.000000-05:30",
    ],
)
def test_a_time_is_read_in_any_zone_as_utc(at):
    due = parse_next_due(left(at))

    assert due == NextDue(NOW, "nightly", "load/all")
    assert due.document()["at"] == "2026-11-30T09:00:00Z"


def test_nothing_in_the_metadata_is_nothing_due():
    assert parse_next_due("") is None
    assert next_due_of([machine()]) == (None, ())


@pytest.mark.parametrize(
    "text",
    [
        *("x", "7", "[]", "null", "{}", "[" * 9_000, '"2026-11-30T09:00:00Z"', "1" * 5_000),
        left(at=7),
        left(at=None),
        *(left(at=text) for text in ("", "soon", "2026-11-30", "2026-11-30T09:00:00")),
        *(left(at=text) for text in ("2026-13-30T09:00:00Z", "2026-11-30T25:00:00Z")),
        *(left(at=text) for text in ("0001-01-01T00:00:00+14:00", "2026-11-30 09:00:00Z")),
        left(flow_server=None),
        left(flow_server=" "),
        left(deployment=["load/all"]),
    ],
)
def test_a_value_of_another_form_wakes_nobody_and_is_named_in_a_note(text):
    decided = decide([machine(text)], NOW)

    assert (decided.decision, decided.due) == (Decision.NOTHING_DUE, None)
    [note] = decided.notes
    assert f"The metadata {NEXT_DUE_KEY} of m1 cannot be read" in note


def test_names_are_printable_and_of_bounded_length():
    due = parse_next_due(left(flow_server="a\n\x1b[31m", deployment="x" * 999))

    assert due.flow_server == "a ?[31m"
    assert len(due.deployment) == MAX_WORDS


def test_a_run_may_have_no_deployment():
    assert parse_next_due(left(deployment="")).deployment == ""


def test_what_a_newer_image_adds_is_no_fault():
    assert parse_next_due(left(more=[1]))


@pytest.mark.parametrize(
    ("at", "decision"),
    [
        (NOW + LEAD + SECOND, Decision.LATER),
        (NOW + LEAD, Decision.DUE),
        (NOW, Decision.DUE),
        (NOW - timedelta(minutes=20), Decision.DUE),
        (NOW - timedelta(days=9), Decision.DUE),
    ],
)
@pytest.mark.parametrize("state", ["suspended", "stopped", "suspending", "stopping"])
def test_a_server_that_sleeps_is_woken_from_a_minute_before_its_run_on(state, at, decision):
    decided = decide([machine(left(at), state)], NOW)

    assert decided.decision is decision
    assert decided.due.at == at


@pytest.mark.parametrize(
    ("state", "decision"),
    [
        *((state, Decision.AWAKE) for state in ("started", "starting")),
        *((state, Decision.BUSY) for state in ("created", "replacing", "failed", "anything")),
    ],
)
def test_a_server_that_does_not_sleep_is_never_woken(state, decision):
    assert decide([machine(left(NOW), state)], NOW).decision is decision


def test_where_one_of_several_machines_is_awake_nobody_is_woken():
    machines = [machine(left(NOW), "suspended"), machine(state="started")]

    assert decide(machines, NOW).decision is Decision.AWAKE


def test_the_earliest_of_several_machines_counts():
    machines = [machine(left(NOW + timedelta(hours=1))), machine("x"), machine(left(NOW))]

    decided = decide(machines, NOW)

    assert (decided.decision, decided.due.at, len(decided.notes)) == (Decision.DUE, NOW, 1)


def test_a_cordoned_machine_gets_no_request_and_so_is_not_woken():
    assert decide([machine(left(NOW), cordoned=True)], NOW).decision is Decision.NO_MACHINE
    assert decide([], NOW).decision is Decision.NO_MACHINE


DUE = NOW - TRIES - SECOND


@pytest.mark.parametrize(
    ("events", "decision"),
    [
        ([], Decision.DUE),
        ([event(DUE - SECOND, **STARTED)], Decision.DUE),
        ([event(DUE + SECOND, **STARTED)], Decision.LEFT_OVER),
        ([ended(NOW, asked=True), event(DUE + SECOND, **STARTED)], Decision.LEFT_OVER),
        ([ended(NOW, asked=False), event(DUE + SECOND, **STARTED)], Decision.DUE),
        ([event(DUE + SECOND, type="start", status="starting")], Decision.DUE),
    ],
    ids=["never started", "before it", "started", "and slept", "and failed", "not yet started"],
)
def test_a_time_that_an_older_image_leaves_for_ever_does_not_keep_the_server_awake(
    events, decision
):
    assert decide([machine(left(DUE), events=events)], NOW).decision is decision


def test_a_server_that_was_put_to_sleep_again_is_woken_again_for_an_hour():
    due = NOW - TRIES
    events = [ended(NOW, asked=True), event(due + SECOND, **STARTED)]

    assert decide([machine(left(due), events=events)], NOW).decision is Decision.DUE


def test_the_server_leaves_it_where_it_is_looked_for():
    assert next_due.KEY == NEXT_DUE_KEY
    # Else a server that was woken early would sleep again before its run.
    assert LEAD.total_seconds() <= flow_server_watch.NEAR_S


OFFICE = "mon-fri 08:00-18:00 Europe/Berlin"
OPENS = datetime(2026, 11, 30, 7, 0, tzinfo=UTC)
MORNING, NOON, LATER = (
    f"mon-fri {hours} Europe/Berlin" for hours in ("08:00-12:00", "12:00-18:00", "14:00-18:00")
)


def opens(at=OPENS, window=OFFICE):
    """What a server leaves whose next need is a window."""
    return json.dumps({"at": at.isoformat(), "window": window})


def test_a_window_is_read_and_written_in_its_own_form():
    found = parse_next_due(opens())

    assert found == NextDue(OPENS, window=OFFICE)
    assert found.document() == {"at": "2026-11-30T07:00:00Z", "window": OFFICE}


@pytest.mark.parametrize("window", ["", 7, None, [OFFICE]])
def test_a_window_without_a_text_is_a_fault_of_the_metadata(window):
    with pytest.raises(ValueError, match="it "):
        parse_next_due(json.dumps({"at": OPENS.isoformat(), "window": window}))


def test_the_text_of_a_window_is_printable_and_of_bounded_length():
    found = parse_next_due(opens(window="mon\x1b[31m\n" + "x" * 500))

    assert found.window.isprintable()
    assert len(found.window) <= MAX_WORDS


@pytest.mark.parametrize(
    ("far", "decision", "at"),
    [
        pytest.param(-2 * LEAD, Decision.LATER, OPENS, id="before"),
        pytest.param(-LEAD, Decision.DUE, OPENS, id="a minute before"),
        pytest.param(timedelta(hours=9), Decision.DUE, OPENS, id="open"),
        pytest.param(
            timedelta(hours=10), Decision.LATER, OPENS + timedelta(days=1), id="it has closed"
        ),
        pytest.param(
            timedelta(days=1, hours=1), Decision.DUE, OPENS + timedelta(days=1), id="the next"
        ),
    ],
)
def test_a_server_is_woken_for_a_window_while_it_is_open_and_not_for_one_that_closed(
    far, decision, at
):
    decided = decide([machine(opens())], OPENS + far)

    assert (decided.decision, decided.due.at) == (decision, at)


@pytest.mark.parametrize(
    ("windows", "hours", "decision", "at"),
    [
        pytest.param(
            (MORNING, NOON),
            *(6, Decision.DUE, OPENS),
            id="the second of two that adjoin is open",
        ),
        pytest.param(
            (MORNING, LATER),
            *(7, Decision.DUE, OPENS + timedelta(hours=6)),
            id="the second of the day is open",
        ),
        pytest.param(
            (MORNING, LATER),
            *(5, Decision.LATER, OPENS + timedelta(hours=6)),
            id="between two of a day",
        ),
    ],
)
def test_each_window_of_the_config_counts_and_not_only_the_one_that_was_named(
    windows, hours, decision, at
):
    left_by_it = machine(opens(window=windows[0]), windows="; ".join(windows))
    decided = decide([left_by_it], OPENS + timedelta(hours=hours))

    assert (decided.decision, decided.due.at) == (decision, at)
    assert decided.due.window == windows[at != OPENS]


def test_an_opening_is_never_taken_for_an_earlier_one_than_the_server_named():
    """Windows that never close are one long opening."""
    always = "daily 00:00-24:00 UTC"

    assert decide([machine(opens(window=always))], NOW).due.at == OPENS


@pytest.mark.parametrize("window", ["office hours", "mon-fri 08:00-18:00 Mars/Base"])
def test_a_window_that_cannot_be_understood_here_wakes_as_a_run_does(window):
    assert decide([machine(opens(window=window))], NOW).decision is Decision.DUE


def test_a_window_that_the_config_no_longer_has_is_not_due():
    """The metadata outlives the release that left it: an update and a rollback keep it."""
    text = json.dumps({"at": NOW.isoformat(), "window": WINDOW})

    assert next_due_of([machine(text, windows="")]) == (None, ())
    assert decide([machine(text, windows="")], NOW).decision is Decision.NOTHING_DUE
    assert decide([machine(text)], NOW).decision is Decision.DUE
