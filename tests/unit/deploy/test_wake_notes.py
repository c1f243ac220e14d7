"""The request that woke the server is noted once, without a secret, and left in the metadata before a sleep."""

from __future__ import annotations

import json

import anyio
import pytest

from helpers.asgi_calls import Client, answer, http
from roost_server.last_error import LastError, redactor
from roost_server.wake_notes import KEPT, KEY, LONGEST, WakeNotes, shorten

SECRET = "ada:hunter22"
ENTRY = f"/v1/apps/acme/machines/m1/metadata/{KEY}"
ALL = "/v1/apps/acme/machines/m1/metadata"


async def serve(_scope, _receive, send):
    await answer(send, 200)


def proxied(path, **headers):
    return http("GET", path, fly_request_id="1", **headers)


@pytest.fixture
def environ(machine_api):
    return machine_api.environ


@pytest.fixture
def notes(environ):
    hide = redactor({"PREFECT_SERVER_API_AUTH_STRING": SECRET})
    return WakeNotes(environ, clock=lambda: 1000.5, redact=LastError(hide).redact)


def ask(notes, *scopes):
    """Send requests one after the other."""

    async def send():
        for scope in scopes:
            await Client().call(notes.layer(serve), scope)

    anyio.run(send)


def found(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_only_the_first_request_through_the_proxy_is_noted(notes):
    ask(
        notes,
        http("GET", "/api/health"),
        proxied("/api/ready", user_agent="monitor/1", fly_client_ip="203.0.113.9"),
        proxied("/api/flows/", user_agent="other"),
    )

    assert notes.report() == {
        "wakes": [{"at": 1000, "path": "/api/ready", "agent": "monitor/1", "from": "203.0.113.x"}]
    }


def test_a_note_keeps_nobody_awake_and_waits_again_after_a_sleep(notes, machine_api):
    machine_api.answers = [found(b"{}"), found(b"")]
    ask(notes, proxied("/a"))

    assert notes.stays_awake() is None
    assert anyio.run(notes.prepare_sleep)
    ask(notes, proxied("/b"), proxied("/c"))

    assert [wake["path"] for wake in notes.report()["wakes"]] == ["/a", "/b"]
    assert machine_api.asked == [("GET", ALL), ("POST", ENTRY)]


def test_without_a_new_wake_fly_is_not_called_before_a_sleep(notes, machine_api):
    assert anyio.run(notes.prepare_sleep)

    assert machine_api.asked == []


def test_notes_of_earlier_starts_stay_up_to_the_limit(notes, machine_api):
    earlier = [{"at": number, "path": f"/{number}"} for number in range(KEPT)]
    machine_api.answers = [found(json.dumps({KEY: json.dumps(earlier)}).encode()), found(b"")]
    ask(notes, proxied("/new"))

    anyio.run(notes.prepare_sleep)

    [written] = machine_api.bodies
    left = json.loads(written["value"])
    assert len(left) == KEPT
    assert [note["path"] for note in left][-2:] == [f"/{KEPT - 1}", "/new"]


@pytest.mark.parametrize("entry", ["5", "[", '"x"', "[5]"])
def test_an_entry_of_another_form_is_replaced(notes, machine_api, entry):
    machine_api.answers = [found(json.dumps({KEY: entry}).encode()), found(b"")]
    ask(notes, proxied("/new"))

    anyio.run(notes.prepare_sleep)

    assert [note["path"] for note in json.loads(machine_api.bodies[0]["value"])] == ["/new"]


def test_a_refused_note_is_tried_again_at_the_next_sleep_and_the_sleep_goes_on(
    notes, machine_api, says
):
    machine_api.answers = [says(403)]
    ask(notes, proxied("/a"))

    assert anyio.run(notes.prepare_sleep)
    assert anyio.run(notes.prepare_sleep)

    assert [verb for verb, _ in machine_api.asked].count("POST") == 2


def test_no_secret_and_no_query_is_noted_and_long_words_are_cut(notes):
    scope = proxied(f"/{SECRET}/" + "x" * 500, user_agent=f"a {SECRET} \x1b[31m")
    ask(notes, {**scope, "query_string": b"token=hunter22"})

    [wake] = notes.report()["wakes"]
    assert "hunter22" not in json.dumps(wake)
    assert len(wake["path"]) == LONGEST
    assert wake["agent"].isprintable()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.9", "203.0.113.x"),
        ("2a01:4f8:1:2::9", "2a01:4f8:1::/48"),
        ("", ""),
        ("who knows", ""),
    ],
)
def test_of_an_address_only_the_network_is_kept(address, shown):
    assert shorten(address) == shown
