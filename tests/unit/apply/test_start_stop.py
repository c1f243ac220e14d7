"""Starting and stopping a machine, whatever Fly is doing with it at that moment."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx
import pytest

from helpers import virtual_time
from helpers.fly_answers import says
from roost.apply import start_stop
from roost.errors import FlyPreconditionError, FlyWaitTimeoutError
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.secret_text import SecretText


@dataclass
class BusyFly:
    """A Fly that is in the middle of something with its one machine, for a few looks."""

    states: list[str]
    """What the machine is at each look, the last one for ever."""
    between: str = ""
    """What it has become between the first refusal and the look after it."""
    calls: list[str] = field(default_factory=list)

    def __call__(self, request):
        """Answer one request; only what rests or is suspended can be started."""
        what = request.url.path.rpartition("/")[2]
        state = self.states[0]
        if request.method == "GET" and what == "m1":
            if len(self.states) > 1:
                self.states.pop(0)
            return says(200, {"id": "m1", "state": state})
        self.calls.append(f"{what} {request.url.query.decode()}".strip())
        if what == "start" and state not in ("stopped", *start_stop.SUSPENDED):
            if self.between:
                self.states, self.between = [self.between], ""
            return says(412, {"error": f"unable to start machine from current state: '{state}'"})
        return says(408 if what == "wait" and state == "stuck" else 200, {"ok": True})


def on(fly, act):
    async def run():
        transport = httpx.MockTransport(fly)
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
            await act(client)

    virtual_time.run(run)


def machine(state):
    return Machine(id="m1", state=state, instance_id="01NOW")


@pytest.mark.parametrize("state", sorted(start_stop.ON_THE_WAY))
def test_what_is_on_its_way_to_rest_is_started_as_soon_as_it_rests(state):
    fly = BusyFly([state, state, "stopped"])

    on(fly, lambda client: start_stop.start(client, "a", "m1", "n1"))

    assert fly.calls == ["start", "start", "start"]


@pytest.mark.parametrize(("became", "asked"), [("stopped", 2), ("suspended", 2), ("started", 1)])
def test_what_came_to_its_end_between_the_refusal_and_the_look_is_no_failure(became, asked):
    fly = BusyFly(["replacing"], between=became)

    on(fly, lambda client: start_stop.start(client, "a", "m1", "n1"))

    assert fly.calls == ["start"] * asked


def test_what_rests_and_is_refused_again_and_again_is_given_up_on():
    fly = BusyFly(["created"])

    with pytest.raises(FlyPreconditionError, match="created"):
        on(fly, lambda client: start_stop.start(client, "a", "m1", "n1"))

    assert fly.calls == ["start"] * (start_stop.MOVED_ON + 1)


def test_what_can_never_be_started_is_refused_at_once():
    fly = BusyFly(["destroyed"])

    with pytest.raises(FlyPreconditionError):
        on(fly, lambda client: start_stop.start(client, "a", "m1", "n1"))

    assert fly.calls == ["start"]


def test_what_stays_on_its_way_is_given_up_on():
    with pytest.raises(FlyPreconditionError, match="stopping"):
        on(BusyFly(["stopping"]), lambda client: start_stop.start(client, "a", "m1", "n1"))


@pytest.mark.parametrize("state", sorted(start_stop.SUSPENDED))
def test_what_is_only_in_memory_is_on_the_volume_before_a_machine_is_stopped(state):
    fly = BusyFly([state])

    on(fly, lambda client: start_stop.stop_flushed(client, "a", machine(state), "n1"))

    assert fly.calls == ["start", "stop", "wait state=stopped&timeout=60&version=01NOW"]


def test_what_runs_is_stopped_as_it_is():
    fly = BusyFly(["started"])

    on(fly, lambda client: start_stop.stop_flushed(client, "a", machine("started"), "n1"))

    assert fly.calls == ["stop", "wait state=stopped&timeout=60&version=01NOW"]


def test_what_does_not_stop_is_told():
    with pytest.raises(FlyWaitTimeoutError):
        on(BusyFly(["stuck"]), lambda client: start_stop.stop(client, "a", machine("stuck"), "n1"))
