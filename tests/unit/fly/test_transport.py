"""What is sent to Fly, and what is sent again: the rule is a property of the call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from helpers import virtual_time
from helpers.fly_answers import TOKEN, ScriptedFly, ask, says
from roost.errors import (
    FlyAnswerError,
    FlyError,
    FlyNotFoundError,
    FlyRateLimitedError,
    FlyUnavailableError,
    UsageError,
)
from roost.fly.client import FlyClient
from roost.fly.transport import Call, Transport, authorization
from roost.http.exchange import ATTEMPTS
from roost.http.retry import RETRY_AFTER_LIMIT_S, retry_after_s
from roost.secret_text import SecretText

VERSION = "01J"
IP, VOLUME, MACHINE = {"ip": "2a09::1"}, {"id": "vol_1"}, {"id": "m1"}
LEASE = {"status": "success", "data": {"nonce": "n1", "expires_at": 1}}
SECRETS = {"secrets": [], "version": 3}

READS = {
    "get_app": (lambda f: f.get_app("a"), {"name": "a"}),
    "list_apps": (lambda f: f.list_apps("personal"), {"apps": [{"name": "a"}]}),
    "list_ips": (lambda f: f.list_ips("a"), {"ips": [IP]}),
    "list_volumes": (lambda f: f.list_volumes("a"), [VOLUME]),
    "list_org_volumes": (
        lambda f: f.list_org_volumes("personal"),
        {"volumes": [{**VOLUME, "app_name": "a"}], "next_cursor": ""},
    ),
    "list_snapshots": (lambda f: f.list_snapshots("a", "vol_1"), [{"id": "vs_1"}]),
    "current_tokens": (lambda f: f.current_tokens(), {"tokens": [{"apps": ["a"]}]}),
    "list_secrets": (lambda f: f.list_secrets("a"), SECRETS),
    "list_machines": (lambda f: f.list_machines("a"), [MACHINE]),
    "get_machine": (lambda f: f.get_machine("a", "m1"), MACHINE),
    "wait_machine": (
        lambda f: f.wait_machine("a", "m1", "started", 5, version="01J"),
        {"ok": True},
    ),
    "list_events": (lambda f: f.list_events("a", "m1"), []),
    "get_lease": (lambda f: f.get_lease("a", "m1"), LEASE),
}
REPEATABLE = {
    "delete_app": (lambda f: f.delete_app("a"), None),
    "release_ip": (lambda f: f.release_ip("a", "2a09::1"), None),
    "update_volume": (lambda f: f.update_volume("a", "vol_1", snapshot_retention=7), VOLUME),
    "extend_volume": (lambda f: f.extend_volume("a", "vol_1", 3), {"volume": VOLUME}),
    "delete_volume": (lambda f: f.delete_volume("a", "vol_1"), VOLUME),
    "set_secrets": (lambda f: f.set_secrets("a", {"A": None}), SECRETS),
    "start_machine": (lambda f: f.start_machine("a", "m1"), {"ok": True}),
    "stop_machine": (lambda f: f.stop_machine("a", "m1"), {"ok": True}),
    "suspend_machine": (lambda f: f.suspend_machine("a", "m1"), {"ok": True}),
    "cordon_machine": (lambda f: f.cordon_machine("a", "m1"), {"ok": True}),
    "uncordon_machine": (lambda f: f.uncordon_machine("a", "m1"), {"ok": True}),
    "destroy_machine": (lambda f: f.destroy_machine("a", "m1"), {"ok": True}),
    "patch_metadata": (lambda f: f.patch_metadata("a", "m1", {"k": "v"}), None),
    "delete_metadata": (lambda f: f.delete_metadata("a", "m1", "k"), None),
    "refresh_lease": (lambda f: f.refresh_lease("a", "m1", 30, "test", "n1"), LEASE),
    "release_lease": (lambda f: f.release_lease("a", "m1", "n1"), None),
}
ONCE = {
    "create_app": (lambda f: f.create_app("a", "personal"), None),
    "assign_ip": (lambda f: f.assign_ip("a", "v6"), IP),
    "create_volume": (lambda f: f.create_volume("a", {"name": "data"}), VOLUME),
    "create_snapshot": (lambda f: f.create_snapshot("a", "vol_1"), None),
    "create_machine": (lambda f: f.create_machine("a", "n", "iad", {}), MACHINE),
    "update_machine": (lambda f: f.update_machine("a", "m1", {}, current_version=VERSION), MACHINE),
    "restart_machine": (lambda f: f.restart_machine("a", "m1"), {"ok": True}),
    "acquire_lease": (lambda f: f.acquire_lease("a", "m1", 30, "test"), LEASE),
    "exec_machine": (lambda f: f.exec_machine("a", "m1", ["true"], 5), {"exit_code": 0}),
}
SAFE = {**READS, **REPEATABLE}
ALL = {**SAFE, **ONCE}

NOT_SENT = (httpx.ConnectError("no"), httpx.ConnectTimeout("no"), httpx.PoolTimeout("no"))
MAYBE_TAKEN = (
    httpx.ReadTimeout("late"),
    httpx.WriteTimeout("late"),
    httpx.ReadError("reset"),
    httpx.WriteError("reset"),
    httpx.CloseError("closed"),
    httpx.RemoteProtocolError("closed before the answer was whole"),
    httpx.DecodingError("not gzip"),
)
SERVER_ERRORS = (500, 502, 503, 504)


def each(calls):
    return pytest.mark.parametrize(("call", "body"), calls.values(), ids=calls.keys())


def each_call(calls):
    return pytest.mark.parametrize("call", [call for call, _ in calls.values()], ids=calls.keys())


def name_of(value):
    return type(value).__name__ if isinstance(value, Exception) else str(value)


def test_every_call_of_the_client_stands_in_these_tables():
    methods = {
        name
        for name in dir(FlyClient)
        if not name.startswith("_") and callable(getattr(FlyClient, name))
    }

    assert methods == set(ALL)


@each(ALL)
def test_a_call_that_goes_well_is_sent_once(call, body):
    result, fly = ask(call, says(200, body))

    assert not isinstance(result, Exception)
    assert len(fly.asked) == 1


@each(ALL)
@pytest.mark.parametrize("failure", NOT_SENT, ids=name_of)
def test_any_call_is_sent_again_when_no_connection_was_made(call, body, failure):
    result, fly = ask(call, failure, failure, says(200, body))

    assert not isinstance(result, Exception)
    assert len(fly.asked) == 3


@each(ALL)
def test_any_call_is_sent_again_after_429(call, body):
    result, fly = ask(call, says(429, {"error": "slow down"}), says(200, body))

    assert not isinstance(result, Exception)
    assert len(fly.asked) == 2


@each(SAFE)
@pytest.mark.parametrize("failure", MAYBE_TAKEN, ids=name_of)
def test_a_safe_call_is_sent_again_when_its_answer_is_lost(call, body, failure):
    result, fly = ask(call, failure, says(200, body))

    assert not isinstance(result, Exception)
    assert len(fly.asked) == 2


@each(SAFE)
@pytest.mark.parametrize("status", SERVER_ERRORS)
def test_a_safe_call_is_sent_again_after_a_server_error(call, body, status):
    result, fly = ask(call, says(status, b"<html>bad gateway"), says(200, body))

    assert not isinstance(result, Exception)
    assert len(fly.asked) == 2


@each_call(ONCE)
@pytest.mark.parametrize("failure", MAYBE_TAKEN, ids=name_of)
def test_a_call_that_makes_something_is_never_sent_again_blindly(call, failure):
    error, fly = ask(call, failure, says(200, {}))

    assert isinstance(error, FlyUnavailableError)
    assert error.ambiguous
    assert "unknown" in error.advice
    assert len(fly.asked) == 1


@each_call(ONCE)
@pytest.mark.parametrize("status", SERVER_ERRORS)
def test_a_server_error_leaves_open_whether_something_was_made(call, status):
    error, fly = ask(call, says(status), says(200, {}))

    assert isinstance(error, FlyUnavailableError)
    assert error.ambiguous
    assert len(fly.asked) == 1


@each_call(REPEATABLE)
def test_a_change_whose_every_answer_is_lost_is_ambiguous(call):
    error, fly = ask(call, httpx.ReadTimeout("late"))

    assert isinstance(error, FlyUnavailableError)
    assert error.ambiguous
    assert len(fly.asked) == ATTEMPTS


@each_call(ALL)
def test_what_never_reached_fly_is_not_ambiguous(call):
    error, fly = ask(call, httpx.ConnectError("refused"))

    assert isinstance(error, FlyUnavailableError)
    assert not error.ambiguous
    assert "changed nothing" in error.advice
    assert len(fly.asked) == ATTEMPTS


@each_call(READS)
def test_a_read_is_never_ambiguous(call):
    lost, _ = ask(call, httpx.ReadTimeout("late"))
    refused, _ = ask(call, says(503))

    assert not lost.ambiguous
    assert not refused.ambiguous


@each_call(ALL)
@pytest.mark.parametrize("status", [301, 400, 401, 403, 408, 409, 412, 418, 422])
def test_a_refusal_is_not_sent_again(call, status):
    error, fly = ask(call, says(status, {"error": "no"}), says(200, {}))

    assert isinstance(error, FlyError)
    assert error.status == status
    assert len(fly.asked) == 1


def test_429_for_ever_ends_in_its_own_error():
    error, fly = ask(lambda f: f.list_machines("a"), says(429, {"error": "slow down"}))

    assert isinstance(error, FlyRateLimitedError)
    assert "Wait" in error.advice
    assert len(fly.asked) == ATTEMPTS


def test_every_request_that_is_sent_is_counted():
    async def two_calls(fly):
        await fly.list_machines("a")
        await fly.list_machines("a")
        return fly.calls

    calls, _ = ask(two_calls, says(503), says(200, []))

    assert calls == 3


# Waiting


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0", 0),
        ("2", 2),
        ("1.5", 1.5),
        ("-4", 0),
        ("1e9", RETRY_AFTER_LIMIT_S),
        ("inf", RETRY_AFTER_LIMIT_S),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Nov 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_in_seconds_is_read_and_capped(written, expected):
    assert retry_after_s(says(429, retry_after=written), lambda: datetime.now(UTC)) == expected


@pytest.mark.parametrize(("ahead_s", "expected"), [(7, 7), (-7, 0), (3600, RETRY_AFTER_LIMIT_S)])
def test_retry_after_as_a_date_is_read_against_the_clock(ahead_s, expected):
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    written = format_datetime(now + timedelta(seconds=ahead_s), usegmt=True)

    assert retry_after_s(says(429, retry_after=written), lambda: now) == expected


@given(st.text(st.characters(max_codepoint=126, min_codepoint=32)))
def test_no_retry_after_header_breaks_the_client(written):
    wait = retry_after_s(says(429, retry_after=written), lambda: datetime.now(UTC))

    assert wait is None or 0 <= wait <= RETRY_AFTER_LIMIT_S


class FakeClock:
    """Seconds that pass only when somebody looks."""

    def __init__(self, step_s):
        self.time, self.step_s = 0.0, step_s

    def __call__(self):
        """Look."""
        self.time += self.step_s
        return self.time


def send_with_clock(clock, *answers, deadline_s=120.0):
    fly = ScriptedFly(list(answers))

    async def run():
        transport = Transport(
            "http://fly.test",
            SecretText(TOKEN),
            transport=httpx.MockTransport(fly),
            deadline_s=deadline_s,
            clock=clock,
        )
        async with transport.http:
            await transport.send(Call("GET", "/apps/a"))

    with stamina.set_testing(True, attempts=20, cap=True), pytest.raises(FlyError) as failure:
        virtual_time.run(run)
    return failure.value, fly


def test_nothing_is_sent_again_after_the_deadline():
    error, fly = send_with_clock(FakeClock(50.0), says(503))

    assert isinstance(error, FlyUnavailableError)
    assert len(fly.asked) == 2


def test_a_repeat_that_is_not_answered_ends_with_the_deadline():
    asked = []

    async def answer(request):
        asked.append(request.url.path)
        if len(asked) > 1:
            await anyio.sleep(60)
        return httpx.Response(503)

    async def run():
        transport = Transport(
            "http://fly.test",
            SecretText(TOKEN),
            transport=httpx.MockTransport(answer),
            deadline_s=30,
            clock=anyio.current_time,
        )
        async with transport.http:
            began = anyio.current_time()
            with stamina.set_testing(True, attempts=6, cap=True), pytest.raises(FlyError) as failed:
                await transport.send(Call("GET", "/apps/a"))
            return failed.value, anyio.current_time() - began

    error, seconds = virtual_time.run(run)

    assert isinstance(error, FlyUnavailableError)
    assert error.advice == "Run the same command again."
    assert seconds < 31


def test_a_wait_that_would_pass_the_deadline_is_not_begun():
    error, fly = send_with_clock(FakeClock(0.0), says(429, retry_after="30"), deadline_s=20)

    assert isinstance(error, FlyRateLimitedError)
    assert len(fly.asked) == 1


def test_the_wait_that_fly_names_is_waited():
    fly = ScriptedFly([says(429, retry_after="20"), says(200, [])])

    async def run():
        client = FlyClient("http://fly.test", SecretText("t"), transport=httpx.MockTransport(fly))
        async with client:
            began = anyio.current_time()
            await client.list_machines("a")
            return anyio.current_time() - began

    assert virtual_time.run(run) >= 20


def test_repeats_are_told_to_no_one_on_the_terminal(capfd):
    async def run():
        transport = httpx.MockTransport(ScriptedFly([says(429, retry_after="0"), says(200, [])]))
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
            await client.list_machines("a")

    virtual_time.run(run)

    assert capfd.readouterr() == ("", "")


# Not visible yet


def test_what_was_just_made_may_be_invisible_for_a_moment():
    async def make_and_read(fly):
        await fly.create_app("a", "personal")
        await fly.assign_ip("a", "v6")
        machine = await fly.create_machine("a", "n", "iad", {})
        await fly.wait_machine("a", machine.id, "started", 5, version="01J")
        return await fly.get_machine("a", machine.id)

    absent = says(404, {"error": "not found"})
    machine, _ = ask(
        make_and_read,
        *(says(201), absent, says(200, IP), absent, says(200, MACHINE)),
        *(absent, absent, says(200, {"ok": True}), absent, says(200, MACHINE)),
    )

    assert machine.id == "m1"


def test_what_others_made_is_not_waited_for():
    async def make_and_read(fly):
        await fly.create_app("ab", "personal")
        return await fly.list_machines("a")

    error, fly = ask(make_and_read, says(201), says(404, {"error": "not found"}))

    assert isinstance(error, FlyNotFoundError)
    assert len(fly.asked) == 2


def test_what_was_made_and_removed_again_is_gone_at_once():
    async def make_and_remove(fly):
        await fly.create_app("a", "personal")
        await fly.delete_app("a")
        return await fly.get_app("a")

    app, fly = ask(make_and_remove, says(201), says(202), says(404))

    assert app is None
    assert len(fly.asked) == 3


def test_no_lease_on_a_new_machine_is_no_lease():
    async def make_and_look(fly):
        await fly.create_machine("a", "n", "iad", {})
        return await fly.get_lease("a", "m1")

    lease, fly = ask(make_and_look, says(200, MACHINE), says(404))

    assert lease is None
    assert len(fly.asked) == 2


# Tokens and addresses


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("fm2_abc,fm2_def", "FlyV1 fm2_abc,fm2_def"),
        ("FlyV1 fm2_abc", "FlyV1 fm2_abc"),
        ("Bearer fm2_abc", "FlyV1 fm2_abc"),
        ("Bearer FlyV1 fm2_abc", "FlyV1 fm2_abc"),
        ("flyv1 fm1r_abc\n", "FlyV1 fm1r_abc"),
        ("fm1a_abc", "FlyV1 fm1a_abc"),
        ("fo1_user,fm2_abc", "FlyV1 fo1_user,fm2_abc"),
        ("fo1_user", "Bearer fo1_user"),
        ("Bearer fo1_user", "Bearer fo1_user"),
        ("FlyV1 fo1_user", "Bearer fo1_user"),
        ("  local  ", "Bearer local"),
        ("farm2_not-a-macaroon", "Bearer farm2_not-a-macaroon"),
    ],
)
def test_a_token_is_sent_with_the_scheme_word_of_its_kind(token, expected):
    _, fly = ask(lambda f: f.list_machines("a"), says(200, []), token=SecretText(token))

    assert authorization(SecretText(token)) == expected
    assert fly.asked[0].headers["authorization"] == expected


@pytest.mark.parametrize("token", ["fm2_a\nb", "fm2_ä", "two words", "a\0b", "a\x7fb"])
def test_a_token_that_no_header_can_carry_is_bad_input_and_stays_hidden(token):
    with pytest.raises(UsageError) as failure:
        FlyClient("http://fly.test", SecretText(token))

    assert token not in str(failure.value)
    assert "Copy it again" in str(failure.value)


@pytest.mark.parametrize(
    "address", ["", "fly.test", "ftp://fly.test", "http://", "http://x:port", "localhost:4280"]
)
def test_an_address_that_is_none_is_bad_input(address):
    with pytest.raises(UsageError) as failure:
        FlyClient(address, SecretText("t"))

    assert "FLY_FLAPS_BASE_URL" in str(failure.value)


@pytest.mark.parametrize("address", ["http://fly.test", "http://fly.test/"])
def test_paths_stand_below_v1(address):
    fly = ScriptedFly([says(200, [])])

    async def run():
        client = FlyClient(address, SecretText("t"), transport=httpx.MockTransport(fly))
        async with client:
            await client.list_machines("a")

    virtual_time.run(run)

    assert str(fly.asked[0].url) == "http://fly.test/v1/apps/a/machines"


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("a/b", b"/v1/apps/a%2Fb/machines"),
        ("a?b#c", b"/v1/apps/a%3Fb%23c/machines"),
        ("..", b"/v1/apps/%2E%2E/machines"),
        (".", b"/v1/apps/%2E/machines"),
        ("ä %", b"/v1/apps/%C3%A4%20%25/machines"),
    ],
)
def test_a_part_of_a_path_never_becomes_another_path(part, path):
    _, fly = ask(lambda f: f.list_machines(part), says(200, []))

    assert fly.asked[0].url.raw_path == path


def test_local_addresses_are_reached_without_the_environment_s_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")

    def proxies(address):
        return FlyClient(address, SecretText("t"))._transport.http._mounts

    assert not proxies("http://127.0.0.1:4280")
    assert not proxies("http://localhost:4280")
    assert proxies("http://fly.test")


# Answers


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"<html>", b'[{"id": "m', b"\xff\xfe", b"[" * 100_000, b'"text"', b"7", b"{}"),
        *(b'[{"id": 7}]', b'[{"id": "m", "x": NaN}]', b'[{"id": "m", "x": 1e999}]'),
    ],
    ids=[
        *("empty", "html", "truncated", "bytes", "deep", "string", "number", "object"),
        *("wrong-type", "nan", "too-large"),
    ],
)
def test_a_success_that_is_not_as_documented_is_an_error_never_a_guess(content):
    error, _ = ask(lambda f: f.list_machines("a"), says(200, content, fly_request_id="r-1"))

    assert isinstance(error, FlyAnswerError)
    assert error.request_id == "r-1"
    assert "GET /apps/a/machines" in str(error)


def test_the_place_of_what_is_wrong_is_named():
    error, _ = ask(lambda f: f.list_machines("a"), says(200, [MACHINE, {"id": "m2", "events": 1}]))

    assert "1.events" in error.what


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (lambda f: f.list_machines("a"), b"null"),
        (lambda f: f.list_ips("a"), {"ips": None}),
        (lambda f: f.list_ips("a"), {}),
        (lambda f: f.list_secrets("a"), {"secrets": None}),
        (lambda f: f.list_volumes("a"), b"null"),
    ],
)
def test_an_empty_list_may_be_written_as_null(call, body):
    assert ask(call, says(200, body))[0] == ()


def test_a_lost_answer_to_a_delete_shows_as_not_found_and_is_fine():
    for call in (
        lambda f: f.delete_app("a"),
        lambda f: f.delete_volume("a", "vol_1"),
        lambda f: f.release_ip("a", "2a09::1"),
        lambda f: f.destroy_machine("a", "m1"),
        lambda f: f.release_lease("a", "m1", "n1"),
    ):
        result, fly = ask(call, httpx.ReadError("reset"), says(404, {"error": "not found"}))
        assert result is None
        assert len(fly.asked) == 2
