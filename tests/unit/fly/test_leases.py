"""A lease is held while something is done, refreshed meanwhile, and given back whatever happens."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio
import httpx
import pytest
import stamina

from helpers import virtual_time
from helpers.fly_answers import says
from roost.errors import FlyConflictError, FlyLeasedError, LeaseLostError
from roost.fly.client import FlyClient
from roost.fly.leases import HeldLeases, Lease, hold_lease
from roost.fly.transport import NONCE
from roost.secret_text import SecretText

TTL_S = 30
LEASED = says(409, {"error": "lease currently held by somebody"})


@dataclass
class LeasingFly:
    """Gives one lease, and answers refreshes and the release as it is told to."""

    refresh: httpx.Response | None = None
    release: httpx.Response | None = None
    acquire: httpx.Response | None = None
    held_for: int = 0
    """How many times somebody else holds it still."""
    holder: httpx.Response | None = None
    seen: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        kind = self.kind_of(request)
        self.seen.append(kind)
        if kind == "acquire" and self.seen.count(kind) <= self.held_for:
            return httpx.Response(409, content=LEASED.content)
        answer = getattr(self, kind) or says(200, {"status": "success", "data": {"nonce": "n1"}})
        return httpx.Response(answer.status_code, content=answer.content)

    @staticmethod
    def kind_of(request: httpx.Request) -> str:
        """Report what of a lease a request is about."""
        if request.method in {"DELETE", "GET"}:
            return {"DELETE": "release", "GET": "holder"}[request.method]
        return "refresh" if request.headers.get(NONCE) == "n1" else "acquire"


def hold(fly, body, *, nonce="", **options):
    async def run():
        transport = httpx.MockTransport(fly)
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
            lease = Lease(client, "a", "m1", TTL_S, "d", nonce)
            async with hold_lease(lease, **options) as held:
                return await body(held)

    with stamina.set_testing(True, attempts=2, cap=True):
        return virtual_time.run(run)


async def nothing(held):
    return held


def test_a_lease_is_taken_and_given_back():
    fly = LeasingFly()

    assert hold(fly, nothing) == "n1"
    assert fly.seen == ["acquire", "release"]


def test_a_lease_that_came_with_the_machine_is_not_taken_again():
    fly = LeasingFly()

    hold(fly, nothing, nonce="n1")

    assert fly.seen == ["refresh", "release"]  # so that others can read who holds it


@pytest.mark.parametrize("answer", [says(503), says(403), says(200, b"{")])
def test_who_cannot_say_who_holds_it_goes_on_all_the_same(answer):
    assert hold(LeasingFly(refresh=answer), nothing, nonce="n1") == "n1"


def test_a_lease_is_refreshed_while_the_body_works():
    fly = LeasingFly()

    hold(fly, lambda _: anyio.sleep(TTL_S))

    assert fly.seen[0] == "acquire"
    assert fly.seen.count("refresh") >= 2
    assert fly.seen[-1] == "release"


def test_a_lease_held_by_somebody_else_stops_before_the_body():
    fly = LeasingFly(acquire=LEASED)

    with pytest.raises(FlyLeasedError):
        hold(fly, nothing)
    assert fly.seen == ["acquire", "holder"]


HELD = {"status": "success", "data": {"description": "roost apply", "owner": "ci@acme.test"}}


@pytest.mark.parametrize(
    ("holder", "told"),
    [(says(200, HELD), "roost apply, ci@acme.test"), (says(404), "somebody else")],
)
def test_a_lease_that_ends_soon_is_waited_for_and_its_holder_named_once(holder, told):
    fly, notices = LeasingFly(held_for=3, holder=holder), []

    assert hold(fly, nothing, patience_s=30, notice=notices.append) == "n1"
    assert fly.seen.count("acquire") == 4
    assert notices == [f"a/m1 is being changed by {told}; waiting for up to 30 s."]


def test_a_lease_that_stays_held_is_refused_when_patience_ends():
    fly = LeasingFly(held_for=10**6)

    with pytest.raises(FlyLeasedError) as failure:
        hold(fly, nothing, patience_s=30)
    assert "release" not in fly.seen
    assert failure.value.what == (
        "a/m1 is being changed by somebody else. After 30 s of waiting it still is."
    )


def test_who_stops_says_who_holds_the_lease_and_what_to_do():
    fly = LeasingFly(acquire=LEASED, holder=says(200, HELD))

    with pytest.raises(FlyLeasedError) as failure:
        hold(fly, nothing)
    assert failure.value.what == "a/m1 is being changed by roost apply, ci@acme.test."
    assert "Wait until they are done" in failure.value.advice
    assert failure.value.status == 409


@pytest.mark.parametrize("error", [FlyConflictError("taken"), ValueError("ours")])
def test_the_body_s_error_comes_out_as_it_is_and_the_lease_is_given_back(error):
    fly = LeasingFly()

    async def fail(_):
        raise error

    with pytest.raises(type(error)) as failure:
        hold(fly, fail)
    assert failure.value is error
    assert fly.seen == ["acquire", "release"]


@pytest.mark.parametrize("refusal", [LEASED, says(404), says(400, {"error": "lease not found"})])
def test_the_body_is_cancelled_when_the_lease_is_lost(refusal):
    done = []

    async def work_on(_):
        await anyio.sleep(3 * TTL_S)
        done.append("went on")

    with pytest.raises(LeaseLostError) as failure:
        hold(LeasingFly(refresh=refusal), work_on)
    assert not done
    assert "Plan again" in str(failure.value)


def test_a_lease_that_ended_unnoticed_is_not_gone_on_with():
    """Fly gives whoever comes with the nonce of an ended lease another one."""
    another = says(201, {"status": "success", "data": {"nonce": "n2"}})

    with pytest.raises(LeaseLostError, match="it expired, and"):
        hold(LeasingFly(refresh=another), lambda _: anyio.sleep(3 * TTL_S))


def test_a_lost_lease_is_told_rather_than_what_the_body_says_about_being_stopped():
    async def complain(_):
        try:
            await anyio.sleep(3 * TTL_S)
        finally:
            raise FlyConflictError("a consequence")

    with pytest.raises(LeaseLostError):
        hold(LeasingFly(refresh=LEASED), complain)


def test_a_refresh_that_fly_cannot_answer_loses_the_lease_only_with_its_time():
    fly = LeasingFly(refresh=says(503))

    async def work_on(_):
        began = anyio.current_time()
        try:
            await anyio.sleep(3 * TTL_S)
        finally:
            lasted.append(anyio.current_time() - began)

    lasted = []
    with pytest.raises(LeaseLostError) as failure:
        hold(fly, work_on)
    assert lasted[0] >= TTL_S
    assert "in time" in str(failure.value)


def test_a_refresh_that_works_again_keeps_the_lease():
    fly = LeasingFly(refresh=says(503))

    async def recover(held):
        await anyio.sleep(TTL_S * 0.5)
        fly.refresh = None
        await anyio.sleep(TTL_S)
        return held

    assert hold(fly, recover) == "n1"


@pytest.mark.parametrize("gone", [says(404), says(400, {"error": "lease not found"})])
def test_a_lease_that_goes_with_its_machine_is_not_lost(gone):
    fly = LeasingFly()

    async def remove_and_go_on():
        transport = httpx.MockTransport(fly)
        async with (
            FlyClient("http://fly.test", SecretText("t"), transport=transport) as client,
            HeldLeases(client, "a", TTL_S, "d", 0, print) as held,
        ):
            assert await held.hold("m1") == await held.take("m1") == "n1"
            fly.refresh = gone
            await anyio.sleep(TTL_S)
            return "went on"

    assert virtual_time.run(remove_and_go_on) == "went on"
    assert "refresh" not in fly.seen


def test_a_failure_to_release_is_noticed_and_hides_nothing():
    notices = []

    async def fail(_):
        raise ValueError("the cause")

    with pytest.raises(ValueError, match="the cause"):
        hold(LeasingFly(release=says(403, {"error": "no"})), fail, notice=notices.append)
    assert "expires by itself" in notices[0]


def test_a_lease_that_went_with_its_machine_is_nothing_to_notice():
    notices = []

    hold(LeasingFly(release=says(404)), nothing, notice=notices.append)

    assert not notices


def test_a_cancelled_body_still_gives_the_lease_back():
    fly = LeasingFly()

    async def cancelled():
        with anyio.CancelScope() as scope:
            async with (
                FlyClient(
                    "http://fly.test", SecretText("t"), transport=httpx.MockTransport(fly)
                ) as client,
                hold_lease(Lease(client, "a", "m1", 30, "d")),
            ):
                scope.cancel()
                await anyio.sleep(3 * TTL_S)

    virtual_time.run(cancelled)

    assert fly.seen == ["acquire", "release"]


def test_several_leases_in_one_stack_come_back_in_turn():
    fly = LeasingFly()

    async def run():
        transport = httpx.MockTransport(fly)
        async with (
            FlyClient("http://fly.test", SecretText("t"), transport=transport) as client,
            AsyncExitStack() as held,
        ):
            for machine in ("m1", "m2"):
                await held.enter_async_context(hold_lease(Lease(client, "a", machine, 30, "d")))
            raise FlyConflictError("in the middle")

    with pytest.raises(FlyConflictError):
        virtual_time.run(run)
    assert fly.seen == ["acquire", "acquire", "release", "release"]
