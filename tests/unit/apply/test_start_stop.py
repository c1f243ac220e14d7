"""Starting and stopping a machine, whatever Fly is doing with it at that moment."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
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
    config: dict[str, object] = field(default_factory=dict)

    async def __call__(self, request):
        """Answer one request; only what rests or is suspended can be started."""
        what = request.url.path.rpartition("/")[2]
        state = self.states[0]
        if request.method == "GET" and what == "m1":
            if len(self.states) > 1:
                self.states.pop(0)
            return says(200, {"id": "m1", "state": state, "config": self.config})
        self.calls.append(f"{what} {request.url.query.decode()}".strip())
        if what == "start" and state not in ("stopped", *start_stop.SUSPENDED):
            if self.between:
                self.states, self.between = [self.between], ""
            return says(412, {"error": f"unable to start machine from current state: '{state}'"})
        if what == "wait" and len(self.states) > 1:
            self.states.pop(0)
        is_late = what == "wait" and state in {"stuck", "stopping"}
        if is_late:  # Fly waits as long as it is asked to
            await anyio.sleep(float(request.url.params["timeout"]))
        return says(408 if is_late else 200, {"ok": True})


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


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        ({}, 65),
        ({"stop_config": {"timeout": "20s"}}, 80),
        ({"stop_config": {"timeout": "4m50s"}}, 350),
        ({"stop_config": {"timeout": "1h0m0.5s"}}, 3660.5),
        ({"stop_config": {"timeout": 290_000_000_000}}, 350),
        ({"stop_config": {"timeout": "soon"}}, 65),
        ({"stop_config": {"signal": "SIGTERM"}}, 65),
        ({"stop_config": None}, 65),
    ],
)
def test_a_stop_may_take_as_long_as_the_machine_s_config_allows(config, seconds):
    assert start_stop.limit_s(config) == seconds


@pytest.mark.parametrize("where", ["the machine's config", "the config before the update"])
def test_a_flow_server_that_lets_its_flows_end_is_waited_for(where):
    slow = {"stop_config": {"timeout": "290s"}}
    looks = int(320 / start_stop.POLL_S)
    fly = BusyFly(["stopping"] * looks + ["stopped"], config=slow if "machine" in where else {})
    before = None if fly.config else slow

    on(fly, lambda client: start_stop.start(client, "a", "m1", "n1", before))

    assert fly.states == ["stopped"]


def test_the_wait_for_a_stop_is_as_long_as_the_machine_may_take():
    """Fly answers after a minute at the latest; then the wait is sent again."""
    slow = machine("started").model_copy(update={"config": {"stop_config": {"timeout": "290s"}}})
    fly = BusyFly(["stopping", "stopping", "stopped"])

    on(fly, lambda client: start_stop.stop(client, "a", slow, "n1"))

    assert [call.split("&")[0] for call in fly.calls] == ["stop", *["wait state=stopped"] * 3]


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
