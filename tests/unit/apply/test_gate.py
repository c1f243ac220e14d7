"""The gate: every check of a good server, and a machine that dies is told at once, with how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest
import stamina

from helpers import virtual_time
from helpers.fake_prefect import LOGIN, FakePrefect, say
from helpers.fly_answers import says
from roost.apply import gate
from roost.apply.gate import Gate, failure_in
from roost.errors import FlyError, MachineFailedError
from roost.fly.client import FlyClient
from roost.fly.models import Machine
from roost.prefect.probe import Server, select_checks
from roost.prefect.transport import prefect_client
from roost.secret_text import SecretText

CHECKS = select_checks(login=True, stock=False)
NAMES = [check.name for check in CHECKS]
VERSION = "01PROVED"
NAMES_OF_GATE = ["health", "started", *NAMES[1:]]
BOOTING = {("GET", "/api/health"): say(503)}


def ended(key="e1", **how):
    """Return the event of a machine's end."""
    request = {"exit_event": {"exit_code": 0, "requested_stop": False, **how}}
    return {"id": key, "type": "exit", "status": "stopped", "request": request}


def named(kind):
    """Return another event of a machine."""
    return {"id": kind, "type": kind, "status": "started"}


def machine_with(events, **config):
    """Return a machine with its events, the newest first."""
    return Machine.model_validate({"id": "m1", "events": events, "config": config})


@dataclass
class WatchedFly:
    """A Fly whose machine has ended in some way, and its answers to a wait and to a look at it."""

    events: list[dict[str, Any]] = field(default_factory=list)
    machine: str = "m1"
    from_look: int = 1
    """The look from which on the events are there."""
    wait: httpx.Response = field(default_factory=lambda: says(200, {}))
    look: httpx.Response | Exception | None = None
    looks: int = 0
    state: str = "started"
    version: str = VERSION
    waited: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, request):
        """Answer one request."""
        if request.url.path.endswith("/wait"):
            self.waited.append(dict(request.url.params))
            return self.wait
        self.looks += 1
        if isinstance(self.look, Exception):
            raise self.look
        if self.look is not None:
            return httpx.Response(self.look.status_code, content=self.look.content)
        its_own = request.url.path.endswith(self.machine) and self.looks >= self.from_look
        seen = {"id": self.machine, "state": self.state, "instance_id": self.version}
        return says(200, {**seen, "events": self.events if its_own else []})


def run_gate(fly, prefect, *, seen=(), machines=("m1",)):
    """Run the gate; return its results, or the failure of a machine, and what was told meanwhile."""
    told = []

    async def run():
        fly_transport = httpx.MockTransport(fly)
        async with (
            FlyClient("http://fly.test", SecretText("t"), transport=fly_transport) as client,
            prefect_client("http://acme.test", 5, httpx.MockTransport(prefect)) as http,
        ):
            server = Server(http, SecretText(LOGIN), "3.8.8", poll_s=0.05)
            versions = dict.fromkeys(machines, VERSION)
            proof = Gate(
                client, "acme", versions, server, CHECKS, frozenset(seen), anyio.current_time
            )
            with anyio.fail_after(10):  # far below the checks' own limits
                return await proof.run(told.append)

    with stamina.set_testing(True, attempts=2, cap=True):
        found = virtual_time.run(run)
    return found.died or found.results, told


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    monkeypatch.setattr(gate, "WATCH_S", 0.01)


def test_a_good_server_passes_and_each_result_is_told_as_it_comes():
    results, told = run_gate(WatchedFly(), FakePrefect())

    assert [result.name for result in results] == NAMES_OF_GATE
    assert all(result.ok for result in results)
    assert tuple(told) == results


DEATHS = {
    "full memory": (ended(oom_killed=True, exit_code=137), "because its memory was full"),
    "exit code": (ended(exit_code=3), "exited with code 3 instead of serving"),
    "signal": (ended(signal=9), "was ended by signal 9 instead of serving"),
}


@pytest.mark.parametrize(("event", "how"), DEATHS.values(), ids=DEATHS)
@pytest.mark.parametrize("from_look", [1, 5], ids=["at once", "later"])
def test_a_machine_that_dies_ends_the_wait_for_its_server(event, how, from_look):
    fly = WatchedFly([event], from_look=from_look)

    failure, told = run_gate(fly, FakePrefect(broken=BOOTING))

    assert isinstance(failure, MachineFailedError)
    assert str(failure).startswith("The machine m1 ")
    assert how in str(failure)
    assert failure.advice
    assert told == []


def test_the_death_of_any_of_several_machines_counts():
    fly = WatchedFly([ended(exit_code=1)], machine="m2")

    failure, _ = run_gate(fly, FakePrefect(broken=BOOTING), machines=("m1", "m2"))

    assert "The machine m2 exited" in str(failure)


def test_a_machine_that_dies_while_its_server_is_used_is_told_with_what_passed_before():
    fly = WatchedFly()

    def die():
        fly.events.append(ended(oom_killed=True))
        return "hang"

    failure, told = run_gate(fly, FakePrefect(broken={("GET", "/"): die}))

    assert isinstance(failure, MachineFailedError)
    assert [result.name for result in told][:2] == ["health", "started"]
    assert "ui" not in [result.name for result in told]


@pytest.mark.parametrize(
    "event",
    [
        ended("old", exit_code=1),
        ended(exit_code=1, requested_stop=True),
        ended(signal=15, requested_stop=True),
        ended(exit_code=0),
        ended(exit_code=0, signal=-1),
        {"id": "e1", "type": "exit", "request": None},
        {"id": "e1", "type": "start", "request": {"exit_event": {"exit_code": 1}}},
    ],
    ids=[
        "before",
        "asked to stop",
        "asked by signal",
        "in peace",
        "no signal",
        "no reason",
        "a start",
    ],
)
def test_an_end_from_before_or_on_request_is_no_death(event):
    assert failure_in(machine_with([event]), frozenset({"old"}), "a log") is None


def test_the_newest_death_is_told_when_there_are_several():
    events = [ended("e3", exit_code=3), ended("e2", requested_stop=True), ended("e1", signal=11)]

    failure = failure_in(machine_with(events), frozenset(), "a log")

    assert "exited with code 3" in str(failure)


@pytest.mark.parametrize("kind", ["launch", "update"])
def test_a_death_from_before_the_machine_got_its_config_is_that_of_another_one(kind):
    """A bad server that is started again and again may die between the look and the update."""
    events = [named("start"), named(kind), ended("e1", exit_code=1)]

    assert failure_in(machine_with(events), frozenset(), "") is None


@pytest.mark.parametrize("how", [{"oom_killed": True, "requested_stop": True}, {"exit_code": 1}])
def test_a_death_while_the_machine_is_updated_is_that_of_its_old_config(how):
    """A server that fills its memory was killed by the update that rolled it back."""
    old = [ended("e2", **how), named("update"), ended("e1", exit_code=1)]
    started = [named("start"), *old]
    died = [ended("e3", exit_code=3), *started]

    found = [failure_in(machine_with(events), frozenset(), "") for events in (old, started, died)]

    assert found[:2] == [None, None]
    assert "exited with code 3" in str(found[2])


def test_a_death_before_the_first_start_was_seen_is_a_death():
    events = [ended(exit_code=1), named("launch")]

    failure = failure_in(machine_with(events), frozenset(), "")

    assert "exited with code 1" in str(failure)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (says(408, {"error": "timeout reached"}), "timeout reached"),
        (says(412, {"error": "machine getting replaced"}), "machine getting replaced"),
        (says(404, {"error": "machine not found"}), "machine not found"),
    ],
    ids=lambda value: str(getattr(value, "status_code", "")),
)
def test_fly_that_does_not_confirm_the_start_is_a_failed_check_among_the_others(answer, detail):
    results, _ = run_gate(WatchedFly(wait=answer), FakePrefect())

    [started] = [result for result in results if not result.ok]
    assert [result.name for result in results] == NAMES_OF_GATE
    assert (started.name, started.limit_s) == ("started", gate.STARTED_LIMIT_S)
    assert detail in started.detail
    assert "`fly machine list -a acme`" in started.advice


def test_what_is_started_must_be_the_version_that_was_applied():
    fly = WatchedFly()

    run_gate(fly, FakePrefect())

    assert fly.waited == [{"state": "started", "timeout": "30", "version": VERSION}]


@pytest.mark.parametrize("state", ["failed", "launch_failed"])
def test_a_machine_that_fly_gives_up_on_ends_the_wait_for_its_server(state):
    fly = WatchedFly(state=state, version=VERSION)

    failure, told = run_gate(fly, FakePrefect(broken=BOOTING))

    assert f"The machine m1 was not started by Fly: it is {state}." in str(failure)
    assert failure.advice
    assert told == []


def test_an_answer_from_before_the_change_is_no_verdict():
    fly = WatchedFly(state="failed", version="01BEFORE")

    results, _ = run_gate(fly, FakePrefect())

    assert fly.looks
    assert all(result.ok for result in results)


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_fly_that_does_not_tell_whether_it_is_started_gives_no_verdict(status):
    with pytest.raises(FlyError, match=str(status)):
        run_gate(WatchedFly(wait=says(status, {"error": "oops"})), FakePrefect())


@pytest.mark.parametrize(
    "look",
    [says(503), says(404), says(403), says(200, "nonsense"), httpx.ReadError("reset")],
    ids=str,
)
def test_a_watch_that_fails_is_no_verdict(look):
    fly = WatchedFly(look=look)

    results, _ = run_gate(fly, FakePrefect())

    assert fly.looks
    assert all(result.ok for result in results)


@pytest.mark.parametrize(
    ("answer", "name"), [(say(401), "health without login"), (say(200, {}), "health")], ids=str
)
def test_a_server_without_health_is_asked_nothing_more(answer, name):
    ill = FakePrefect(broken={("GET", "/api/health"): answer})

    results, _ = run_gate(WatchedFly(), ill)

    assert [(result.name, result.ok) for result in results] == [(name, False)]
