"""The waker as a process: it wakes who announced itself, over restarts, and takes nothing else."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from helpers.waiting import until
from helpers.waker_machine import Sleeper, WakerMachine
from roost_waker import launcher
from roost_waker.book import LEAD
from roost_waker.launcher import Waker
from roost_waker.settings import read_settings
from roost_waker.waking import Waking

SOON = LEAD + timedelta(seconds=2)


def in_time(span):
    return (datetime.now(UTC) + span).isoformat()


def test_it_proves_itself_by_a_wake_of_its_own(waker, api):
    proof = json.loads(until(lambda: api.metadata.get("roost_waker_proof")))

    assert (proof["version"], proof["error"]) == ("01V", "")
    assert datetime.fromisoformat(proof["at"]) <= datetime.now(UTC)
    assert proof["seconds"] > 0
    until(lambda: waker.call("GET", "/")[1]["proved"])
    until(lambda: not [key for key in api.metadata if key.startswith("roost_wake_")])


def test_a_server_is_requested_when_its_time_has_come_and_no_earlier(waker, api, sleeper):
    at = in_time(SOON)
    assert waker.announce("acme", sleeper.address, at) == (200, {"kept": True})
    assert json.loads(api.metadata["roost_wake_acme"])["at"] == at
    assert not sleeper.requests

    [request] = until(lambda: sleeper.requests)

    assert datetime.now(UTC) >= datetime.fromisoformat(at) - LEAD
    assert request["path"] == "/"
    assert request["x-roost-wake"] == at
    assert not {"authorization", "cookie"} & set(request)
    until(lambda: "woke acme in" in waker.log)
    # It is requested once more at its time, also by the next start of the waker.
    assert "roost_wake_acme" in api.metadata
    until(lambda: waker.call("GET", "/")[1]["entries"] == 1)  # its proof of itself may be one, too


def test_a_kill_loses_nothing(waker, sleeper):
    waker.announce("acme", sleeper.address, in_time(SOON))
    waker.kill()
    waker.start()

    until(lambda: sleeper.requests)


def test_what_was_due_while_it_was_away_is_woken_at_once(waker, api, sleeper):
    waker.announce("acme", sleeper.address, in_time(timedelta(hours=1)))
    waker.kill()
    kept = json.loads(api.metadata["roost_wake_acme"])
    api.metadata["roost_wake_acme"] = json.dumps({**kept, "at": in_time(-timedelta(hours=3))})
    waker.start()

    until(lambda: sleeper.requests)
    until(lambda: "s late" in waker.log)
    until(lambda: "roost_wake_acme" not in api.metadata)
    until(lambda: waker.call("GET", "/")[1]["entries"] == 0)


def test_a_withdrawal_is_kept_as_well(waker, api, sleeper):
    waker.announce("acme", sleeper.address, in_time(SOON))

    assert waker.announce("acme", sleeper.address, None) == (200, {"kept": True})
    assert "roost_wake_acme" not in api.metadata
    # Its proof of itself is an entry too, until it arrives.
    until(lambda: waker.call("GET", "/")[1]["entries"] == 0)


def test_one_that_does_not_answer_delays_nobody(waker, sleeper):
    with Sleeper() as hanging:
        hanging.hold.clear()
        waker.announce("hanging", hanging.address, in_time(timedelta(0)))
        until(lambda: hanging.requests)
        waker.announce("acme", sleeper.address, in_time(timedelta(0)))

        until(lambda: sleeper.requests)
        assert waker.call("GET", "/")[1]["late"] >= 1


def test_a_server_that_fly_could_not_start_is_requested_again(waker):
    with Sleeper(statuses=[502, 503, 302]) as failing:
        waker.announce("acme", failing.address, in_time(timedelta(0)))

        until(lambda: len(failing.requests) == 3)
        until(lambda: "woke acme" in waker.log)
    assert "cannot wake acme: status 502" in waker.log


def test_what_fly_does_not_keep_is_not_confirmed_and_still_done(waker, api, sleeper):
    """A server that hears this tries again, and falls back to the tick; the wake itself stays."""
    until(lambda: waker.call("GET", "/")[1]["proved"])
    api.refuse = True

    status, answer = waker.announce("acme", sleeper.address, in_time(SOON + timedelta(seconds=5)))

    assert status == 503
    assert "a restart would forget it" in answer["detail"]
    until(lambda: sleeper.requests)


def test_a_lost_answer_of_fly_is_made_good(waker, api, sleeper):
    until(lambda: waker.call("GET", "/")[1]["proved"])
    api.lose = 1

    assert waker.announce("acme", sleeper.address, in_time(timedelta(hours=1)))[0] == 200
    assert api.lose == 0


def test_what_is_kept_already_is_not_written_again(waker, api, sleeper):
    """A server sends the same until it is answered, and Fly takes few writes a second."""
    until(lambda: waker.call("GET", "/")[1]["proved"])
    at = in_time(timedelta(hours=1))
    waker.announce("acme", sleeper.address, at)
    api.refuse = True

    assert waker.announce("acme", sleeper.address, at) == (200, {"kept": True})
    assert waker.announce("acme", sleeper.address, in_time(timedelta(hours=2)))[0] == 503


def test_a_time_that_no_server_plans_is_refused(waker, sleeper):
    """With it, anybody could fill the book for good."""
    status, answer = waker.announce("acme", sleeper.address, in_time(timedelta(days=500)))

    assert (status, answer["detail"]) == (422, "at must be within 400 days")


def test_an_entry_that_cannot_be_looked_at_does_not_end_the_others(
    tmp_path, api, monkeypatch, capsys
):
    looks, stopping = [], threading.Event()

    def fail(_):
        looks.append(1)
        if len(looks) == 2:
            stopping.set()
        raise OverflowError("date value out of range")

    monkeypatch.setattr(Waking, "step", fail)
    monkeypatch.setattr(launcher, "LOOK_S", 0.01)
    monkeypatch.setattr(launcher.Proof, "run", lambda _: None)
    environ = WakerMachine(tmp_path, api).environ

    Waker(read_settings(environ), environ, stopping).run()

    assert len(looks) == 2
    assert "looking for due servers failed (OverflowError); trying again" in capsys.readouterr().out


def test_a_stop_leaves_everything_in_the_metadata(waker, api, sleeper):
    """An update of the machine replaces its metadata, and may lose what was written meanwhile."""
    waker.announce("acme", sleeper.address, in_time(timedelta(hours=1)))
    kept = api.metadata.pop("roost_wake_acme")

    assert waker.stop() == 0
    assert api.metadata["roost_wake_acme"] == kept


def test_metadata_that_is_broken_is_left_out(waker, api, sleeper):
    waker.announce("acme", sleeper.address, in_time(timedelta(hours=1)))
    waker.kill()
    api.metadata |= {
        "roost_wake_junk": "{",
        "roost_wake_evil": json.dumps(
            {"app": "evil", "address": "http://169.254.169.254", "at": in_time(timedelta(0))}
        ),
    }
    waker.start()

    until(lambda: waker.call("GET", "/")[1]["entries"] >= 1)
    for line in ("roost_wake_evil is left out: address must be", "roost_wake_junk is left out"):
        until(lambda line=line: f"the metadata {line}" in waker.log)


@pytest.mark.parametrize(
    ("verb", "path", "body", "headers", "status"),
    [
        ("POST", "/roost/wake", {"app": "acme", "address": "http://evil", "at": None}, {}, 422),
        ("POST", "/roost/wake", "x" * 2049, {}, 413),
        ("POST", "/roost/wake", None, {"Content-Length": "9" * 30}, 413),
        ("POST", "/roost/wake", None, {"Content-Length": "-1"}, 411),
        ("POST", "/elsewhere", {}, {}, 404),
        ("DELETE", "/roost/wake", None, {}, 501),
        ("GET", "/anything", None, {}, 200),
    ],
)
def test_other_requests_change_nothing(waker, verb, path, body, headers, status):
    if status == 501:
        with pytest.raises(json.JSONDecodeError):
            waker.call(verb, path, body, **headers)
    else:
        assert waker.call(verb, path, body, **headers)[0] == status
    assert waker.answers()


def test_many_connections_and_junk_leave_it_running(waker, sleeper):
    connections = [socket.create_connection(("127.0.0.1", waker.port)) for _ in range(100)]
    for connection in connections:
        connection.sendall(b"\x16\x03\x01 junk\r\n\r\n")
    for connection in connections:
        connection.close()

    until(waker.answers)
    assert waker.announce("acme", sleeper.address, in_time(timedelta(0)))[0] == 200
    until(lambda: sleeper.requests)
    assert "Traceback" not in waker.log


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ROOST_WAKER_ADDRESS": "http://other.flycast"}, "ROOST_WAKER_ADDRESS must be"),
        ({"FLY_APP_NAME": ""}, "FLY_APP_NAME must be"),
        ({"ROOST_WAKER_PORT": "99999"}, "ROOST_WAKER_PORT must be a port"),
    ],
)
def test_a_wrong_variable_ends_it_with_the_reason(tmp_path, api, variables, message):
    machine = WakerMachine(tmp_path, api)
    found = subprocess.run(
        [sys.executable, "deploy/waker/waker.py"],
        env={**machine.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1
    assert message in found.stderr
    assert "roost apply" in found.stderr
