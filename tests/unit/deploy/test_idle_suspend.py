"""Idle time: what counts as activity, and when the machine asks to be suspended."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from helpers.asgi_calls import Client, http
from roost_machine.sleep_request import FlyReply
from roost_server import idle_suspend
from roost_server.idle_suspend import (
    FIRST_BACKOFF_S,
    LAST_BACKOFF_S,
    LOOK_S,
    Activity,
    watch,
)

LIMIT_S = 20.0
HEALTH, READY = "/api/health", "/api/ready"
WEBSOCKET = {"type": "websocket", "path": "/api/events/in", "headers": []}


class EnoughError(Exception):
    """The end of a scene's time."""


class Scene:
    """A server, a Fly that refuses only `refuses`, and time that passes only in sleeps."""

    def __init__(self, monkeypatch):
        self.now, self.until = 1000.0, 0.0
        self.refuses, self.loses, self.asked, self.slept = set(), set(), [], []
        self.when_asked = lambda: None
        self.happenings = {}
        self.counts = True
        self.requests = []
        self.activity = Activity(lambda _: self.counts, clock=lambda: self.now)
        monkeypatch.setattr(idle_suspend, "ask", self.ask)
        time = SimpleNamespace(sleep=self.sleep, to_thread=asyncio.to_thread)
        monkeypatch.setattr(idle_suspend, "asyncio", time)

    async def sleep(self, seconds):
        """Advance the time, and run what is due."""
        self.slept.append(seconds)
        self.now += seconds
        for moment in [moment for moment in self.happenings if moment <= self.now]:
            self.happenings.pop(moment)()
        if self.now >= self.until:
            raise EnoughError

    def ask(self, action, _):
        """Answer as Fly does."""
        self.asked.append((action, self.now - self.began))
        self.when_asked()
        if action in self.loses:
            return FlyReply.LOST
        return FlyReply.REFUSED if action in self.refuses else FlyReply.AGREED

    def play(self, seconds, action="suspend", *, limit_s=LIMIT_S, happenings=(), work=None):
        """Watch for that long; `happenings` are functions by the second at which to call them."""
        self.began, self.until = self.now, self.now + seconds
        self.happenings = {self.began + at: call for at, call in dict(happenings).items()}
        environ = {"ROOST_IDLE_ACTION": action, "ROOST_DATABASE_URL_VARIABLE": "ELSEWHERE"}
        if limit_s is not None:
            environ["ROOST_IDLE_AFTER_S"] = str(limit_s)
        with pytest.raises(EnoughError):
            asyncio.run(watch(self.activity, environ, work=work))

    def come(self):
        """Begin a request."""
        self.requests.append({"type": "http"})
        self.activity.begin(self.requests[-1])

    def go(self):
        """Let it end."""
        self.activity.end(self.requests.pop())


@pytest.fixture
def scene(monkeypatch):
    return Scene(monkeypatch)


def through(activity, scope, app):
    """Call an application through the counting layer."""
    asyncio.run(Client().call(activity.layer(app), scope))


def test_the_seconds_since_the_last_request_ended_are_quiet(scene):
    async def app(*_):
        scene.now += 30

    through(scene.activity, http("GET"), app)
    scene.now += 7

    assert scene.activity.idle_s() == 7


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(http("GET"), id="a request"),
        pytest.param(WEBSOCKET, id="a websocket"),
        pytest.param(http("GET", HEALTH, fly_request_id="1"), id="health through the proxy"),
        pytest.param(http("GET", READY, fly_request_id="1"), id="ready through the proxy"),
        pytest.param(http("GET", f"{HEALTH}/other"), id="another path"),
    ],
)
def test_it_is_not_quiet_while_somebody_is_there(scene, scope):
    seen = []

    async def app(*_):
        scene.now += 100
        seen.append(scene.activity.idle_s())

    through(scene.activity, scope, app)

    assert seen == [0]
    assert scene.activity.idle_s() == 0


def test_what_does_not_count_neither_keeps_it_awake_nor_begins_the_quiet_anew(scene):
    """A flow server that was suspended leaves sockets, which end when a ping is not answered."""
    began = scene.activity.idle_s()
    scene.come()
    scene.counts = False
    scene.now += 40
    open_s = scene.activity.idle_s()
    scene.go()

    assert (open_s, scene.activity.idle_s()) == (began + 40, began + 40)


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(http("GET", HEALTH), id="health"),
        pytest.param(http("GET", READY, host="10.0.0.1"), id="ready"),
        pytest.param({"type": "lifespan"}, id="the server's own life"),
    ],
)
def test_what_the_host_does_is_no_activity(scene, scope):
    scene.activity.note()
    seen = []

    async def app(*_):
        scene.now += 100
        seen.append(scene.activity.idle_s())

    through(scene.activity, scope, app)

    assert seen == [100]
    assert scene.activity.idle_s() == 100


def test_it_is_not_quiet_until_the_last_one_is_gone(scene):
    scene.come()
    scene.come()
    scene.now += 100
    scene.go()
    scene.now += 100
    between = scene.activity.idle_s()
    scene.go()
    scene.now += 1

    assert (between, scene.activity.idle_s()) == (0, 1)


def test_a_request_that_fails_is_over_too(scene):
    async def app(*_):
        raise LookupError("broken")

    with pytest.raises(LookupError):
        through(scene.activity, http("GET"), app)
    scene.now += 5

    assert scene.activity.idle_s() == 5


@pytest.mark.parametrize("settings", [{}, {"ROOST_IDLE_ACTION": "off"}, {"ROOST_IDLE_ACTION": "?"}])
def test_a_server_that_shall_not_sleep_is_not_watched(scene, settings):
    asyncio.run(watch(scene.activity, settings))

    assert (scene.slept, scene.asked) == ([], [])


@pytest.mark.parametrize("action", ["suspend", "stop"])
def test_it_sleeps_once_it_was_quiet_for_long_enough(scene, action):
    scene.play(LIMIT_S + LOOK_S, action)

    assert scene.asked == [(action, LIMIT_S)]


def test_a_limit_shorter_than_a_look_is_kept(scene):
    scene.play(1, limit_s=0.25)

    assert scene.asked[0] == ("suspend", 0.25)


def test_without_a_limit_it_sleeps_after_five_minutes(scene):
    scene.play(301, limit_s=None)

    assert scene.asked == [("suspend", 300)]


def test_a_visit_begins_the_quiet_anew(scene):
    scene.play(100, happenings={10: scene.come, 50: scene.go})

    assert scene.asked[0] == ("suspend", 50 + LIMIT_S)


def test_a_wake_begins_the_quiet_anew(scene):
    scene.play(3 * LIMIT_S)

    first, second = (at for _, at in scene.asked)
    assert second >= first + LIMIT_S


def test_a_machine_that_cannot_be_suspended_is_stopped(scene):
    scene.refuses = {"suspend"}

    scene.play(LIMIT_S + LOOK_S)

    assert scene.asked == [("suspend", LIMIT_S), ("stop", LIMIT_S)]


def test_a_machine_that_shall_stop_is_never_suspended(scene):
    scene.refuses = {"stop"}

    scene.play(500, "stop")

    assert {action for action, _ in scene.asked} == {"stop"}


@pytest.mark.parametrize("visit", [["come"], ["come", "go"]], ids=["is there", "was there"])
def test_who_came_while_fly_was_asked_is_not_stopped(scene, visit):
    scene.refuses = {"suspend"}
    scene.when_asked = lambda: [getattr(scene, what)() for what in visit]

    scene.play(LIMIT_S + LOOK_S)

    assert scene.asked == [("suspend", LIMIT_S)]


def test_where_the_answer_was_lost_it_may_have_slept_and_is_not_stopped(scene):
    """The request that woke it is not counted yet: it takes a moment to arrive."""
    scene.loses = {"suspend"}

    scene.play(3 * LIMIT_S)

    assert [action for action, _ in scene.asked] == ["suspend", "suspend"]
    assert scene.asked[1][1] >= 2 * LIMIT_S
    assert set(scene.slept) == {LOOK_S}


def test_after_refusals_it_asks_ever_more_seldom(scene):
    scene.refuses = {"stop"}

    scene.play(3000, "stop")

    pauses = [pause for pause in scene.slept if pause != LOOK_S]
    assert pauses[:4] == [FIRST_BACKOFF_S * 2**at for at in range(4)]
    assert pauses[-2:] == [LAST_BACKOFF_S] * 2
    assert len(scene.asked) == len(pauses)


def test_whoever_comes_while_it_falls_asleep_is_no_refusal_of_fly_s(scene):
    """The back-off does not grow: the server is idle once the visitor is gone, and asks then."""
    scene.refuses = {"suspend", "stop"}

    def visit():
        scene.come()
        scene.go()

    scene.when_asked = visit

    scene.play(10 * LIMIT_S)

    assert set(scene.slept) == {LOOK_S}
    assert len(scene.asked) >= 8


def test_after_it_slept_it_asks_as_soon_as_ever(scene):
    scene.refuses = {"stop"}

    def agree_to_the_third():
        scene.refuses = set() if len(scene.asked) == 3 else {"stop"}

    scene.when_asked = agree_to_the_third

    scene.play(400, "stop")

    pauses = [pause for pause in scene.slept if pause != LOOK_S]
    assert pauses[:3] == [FIRST_BACKOFF_S, 2 * FIRST_BACKOFF_S, FIRST_BACKOFF_S]


class Work:
    """Work without a request, until it is done."""

    def __init__(self, *, may_sleep=True):
        self.why, self.prepared, self.may_sleep = None, 0, may_sleep

    def stays_awake(self):
        """Return why."""
        return self.why

    async def prepare_sleep(self):
        """Count."""
        self.prepared += 1
        return self.may_sleep

    def begin(self, why):
        """Return what changes the reason."""
        return lambda: setattr(self, "why", why)


def test_work_without_a_request_keeps_it_awake_until_it_is_done(scene, capsys):
    work = Work()
    work.why = "a run is due"

    scene.play(3 * LIMIT_S, work=work, happenings={2 * LIMIT_S: work.begin(None)})

    assert [action for action, _ in scene.asked] == ["suspend"]
    assert scene.asked[0][1] == pytest.approx(2 * LIMIT_S, abs=2 * LOOK_S)
    assert work.prepared == 1
    assert capsys.readouterr().out.count("stays awake: a run is due") == 1


def test_it_does_not_sleep_before_everything_is_left_for_others(scene):
    work = Work(may_sleep=False)

    scene.play(2 * LIMIT_S, work=work)

    assert scene.asked == []
    assert work.prepared > 1


def test_work_that_begins_while_a_sleep_is_prepared_ends_it(scene):
    work = Work()
    work.prepare_sleep, prepare = None, work.prepare_sleep

    async def begin():
        work.why = "a run is due"
        return await prepare()

    work.prepare_sleep = begin

    scene.play(2 * LIMIT_S, work=work)

    assert scene.asked == []
