"""What a server reports of its work is read where it has the form agreed on, and else unknown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from roost.plan.next_due import NextDue
from roost.plan.server_work import (
    ConnectedClients,
    FlowServerWork,
    ServerWork,
    UntakenRun,
    read_work,
)

AT = "2026-11-30T09:00:00Z"
NINE = datetime(2026, 11, 30, 9, tzinfo=UTC)
RECORD = {
    "name": "nightly",
    "due": AT,
    "overdue": 2,
    "running": ["run-1"],
    "wake_error": "GET http://acme-prefect-nightly.flycast/: timed out",
    "polled_at": AT,
    "untaken": [{"run": "r", "due": AT, "deployment": "load/all", "why": "it is paused"}],
}
UNTAKEN = UntakenRun("r", NINE, "load/all", "it is paused")


def test_a_report_is_read_whole():
    due = {"at": AT, "flow_server": "nightly", "deployment": "load/all"}
    report = {
        "clients": {"sockets": 1, "polls_last_minute": 6},
        "flow_servers": [RECORD],
        "next_due": due,
    }

    work = read_work({"database": "postgres", **report})

    assert work == ServerWork(
        ConnectedClients(1, 6),
        (FlowServerWork("nightly", NINE, 2, 1, RECORD["wake_error"], (UNTAKEN,)),),
        NextDue(NINE, "nightly", "load/all"),
    )
    document = work.document()
    assert (document["clients"], document["next_due"]) == (report["clients"], due)
    [server] = document["flow_servers"]
    assert (server["due"], server["overdue"], server["running"]) == (AT, 2, 1)
    assert server["untaken"] == RECORD["untaken"]


def test_an_older_image_reports_nothing_and_nothing_is_known():
    work = read_work({"database": "sqlite on the volume"})

    assert work == ServerWork()
    assert not any(work.document().values())


@pytest.mark.parametrize(
    "junk",
    [
        *(7, "x", None, [], {}, {"sockets": 1}, {"sockets": -1, "polls_last_minute": 0}),
        *({"sockets": True, "polls_last_minute": 1}, {"sockets": 2**60, "polls_last_minute": 0}),
        {"sockets": "1", "polls_last_minute": "2"},
    ],
)
def test_clients_of_another_form_are_unknown(junk):
    assert read_work({"clients": junk}).clients is None


def test_nobody_connected_is_known_and_is_nobody():
    work = read_work({"clients": {"sockets": 0, "polls_last_minute": 0}})

    assert not work.clients.are_there
    assert work.document()["clients"] == {"sockets": 0, "polls_last_minute": 0}


@pytest.mark.parametrize("junk", [7, "x", None, {}, True])
def test_flow_servers_of_another_form_are_unknown(junk):
    assert read_work({"flow_servers": junk, "next_due": junk}) == ServerWork()


def test_a_record_of_another_form_is_left_out_and_its_fields_are_what_can_be_read():
    untaken = [7, {"run": 7, "due": "soon", "why": "\x1b" + "x" * 999}]
    bad = {"name": "b\x1b" + "x" * 999, "due": "soon", "overdue": "2", "running": 7}
    bad["untaken"] = untaken

    [server] = read_work({"flow_servers": [7, {"due": AT}, {"name": 7}, bad]}).flow_servers

    assert server.name.startswith("b?x")
    assert len(server.name) == 100
    assert (server.due, server.overdue, server.running, server.wake_error) == (None, 0, 0, "")
    assert server.untaken == (UntakenRun("", None, "", "?" + "x" * 299),)


def test_faults_of_windows_are_texts_and_few():
    faults = ["the time zone\nMars/Base is not known", 7, None, *["x" * 500] * 100]

    found = read_work({"windows": {"open_until": None, "faults": faults}}).window_faults

    assert found[0] == "the time zone Mars/Base is not known"
    assert len(found) < len(faults)
    assert max(map(len, found)) <= 300


@pytest.mark.parametrize("junk", [None, 7, [], "x", {}, {"faults": 7}, {"faults": {}}])
def test_windows_of_another_form_have_no_faults(junk):
    assert read_work({"windows": junk}) == ServerWork()


def test_a_window_may_be_due_next():
    due = {"at": AT, "window": "mon-fri 08:00-18:00 Europe/Berlin"}

    assert read_work({"next_due": due}).document()["next_due"] == due
