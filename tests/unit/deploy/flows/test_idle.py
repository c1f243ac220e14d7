"""A flow server sleeps when nothing runs and nothing is due, and loses no run by that."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from roost_flows.errors import FencedError
from roost_flows.idle import ASLEEP_LIMIT_S, IdleWatch
from roost_flows.processes import SETTLE_S
from roost_flows.settings import read_settings
from roost_machine.sleep_request import FlyReply
from unit.deploy.flows.conftest import NOON

DRAIN, WORK = {"draining": True}, {"draining": False}


class Scene:
    """A flow server whose time passes in steps of half a second, and a Fly that agrees."""

    def __init__(self, settings, client, running, clock):
        self.clock, self.running = clock, running
        self.door = SimpleNamespace(wakes=0)
        self.asked, self.replies = [], {}
        self.frozen_s = 1000.0
        self.watch = IdleWatch(settings, client, running, self.door, clock, self.ask)

    def ask(self, action):
        """Answer as Fly does; the machine freezes at the next tick."""
        self.asked.append((action, self.clock.elapsed))
        reply = self.replies.get(action, FlyReply.AGREED)
        if reply is not FlyReply.REFUSED and self.frozen_s:
            self.clock.happenings[self.clock.elapsed + 0.1] = self.freeze
        return reply

    def freeze(self):
        """Let the time of the sleep pass."""
        self.clock.elapsed += self.frozen_s

    def play(self, seconds):
        """Step until the time is over."""
        until = self.clock.elapsed + seconds
        while self.clock.elapsed < until and not self.clock.stopping:
            self.watch.step()
            self.clock.wait(0.5)


@pytest.fixture
def scene(settings, client, running, clock):
    return Scene(settings, client, running, clock)


def test_an_idle_machine_drains_sleeps_and_takes_work_again(scene, server):
    scene.play(121)

    assert [action for action, _ in scene.asked] == ["suspend"]
    assert scene.asked[0][1] == 120 + SETTLE_S
    assert server.called("drain") == [DRAIN, WORK]
    assert [path for _, path, _ in server.calls] == ["record", "drain", "record", "drain"]


def test_after_a_wake_the_idle_time_starts_again(scene):
    scene.play(1000 + 250)

    assert len(scene.asked) == 2
    assert scene.asked[1][1] - scene.asked[0][1] > 1000 + 120


def test_it_does_not_sleep_while_a_flow_run_has_a_process(scene, running, server):
    running.runs = {"r1"}
    scene.play(300)

    assert (scene.asked, server.calls) == ([], [])


def test_the_idle_time_counts_from_the_last_run(scene, running):
    running.runs = {"r1"}
    scene.clock.happenings[100] = running.runs.clear
    scene.play(222)

    assert [at for _, at in scene.asked] == [pytest.approx(219.5 + SETTLE_S, abs=1)]


@pytest.mark.parametrize(
    "record",
    [
        {"running": ["r1"]},
        {"overdue": 1},
        {"due": (NOON + timedelta(seconds=200)).isoformat()},
    ],
)
def test_it_does_not_sleep_while_the_server_has_something_for_it(scene, server, record, capsys):
    server.record = record
    scene.play(150)

    assert scene.asked == []
    assert server.called("drain") == []
    assert capsys.readouterr().out.count("stays awake: ") == 1


def test_a_run_that_was_handed_out_just_before_the_drain_keeps_it_awake(scene, server, running):
    scene.clock.happenings[120.5] = lambda: running.runs.add("r1")
    scene.play(125)

    assert scene.asked == []
    assert server.called("drain") == [DRAIN, WORK]


def test_a_run_that_becomes_due_after_the_drain_keeps_it_awake(scene, server):
    scene.clock.happenings[120.5] = lambda: server.record.update(overdue=1)
    scene.play(125)

    assert scene.asked == []
    assert server.called("drain") == [DRAIN, WORK]


def test_a_server_that_does_not_answer_keeps_it_awake(scene, server):
    server.statuses["record"] = [503]
    scene.play(200)

    assert scene.asked == []


def test_a_drain_that_fails_is_repeated_before_any_sleep(scene, server):
    server.statuses["drain"] = [503, 503, 200]
    scene.play(150)

    assert server.called("drain") == [DRAIN, WORK, WORK, DRAIN, WORK]
    assert len(scene.asked) == 1


def test_a_machine_that_cannot_be_suspended_is_stopped(scene):
    scene.replies = {"suspend": FlyReply.REFUSED}
    scene.play(123)

    assert [action for action, _ in scene.asked] == ["suspend", "stop"]


def test_a_fly_that_refuses_is_asked_less_and_less_often(scene, server):
    scene.replies = {"suspend": FlyReply.REFUSED, "stop": FlyReply.REFUSED}
    scene.play(1500)

    assert 4 < len(scene.asked) < 24
    assert server.called("drain")[-1] == WORK


def test_a_lost_reply_counts_as_a_sleep(scene):
    scene.replies = {"suspend": FlyReply.LOST}
    scene.play(123)

    assert [action for action, _ in scene.asked] == ["suspend"]


def test_it_takes_no_work_until_it_is_sure_that_it_is_awake(scene, server):
    """Fly agreed, and the machine is not frozen yet: a run that came now would freeze with it."""
    scene.frozen_s = 0
    scene.play(120 + SETTLE_S)
    began = scene.asked[0][1]

    assert server.called("drain") == [DRAIN, WORK]
    assert scene.clock.elapsed - began >= ASLEEP_LIMIT_S


def test_a_request_through_the_proxy_says_that_it_is_awake(scene, server):
    scene.frozen_s = 0
    scene.clock.happenings[125] = lambda: setattr(scene.door, "wakes", 1)
    scene.play(121)

    assert server.called("drain") == [DRAIN, WORK]
    assert scene.clock.elapsed == pytest.approx(125.5, abs=1)


def test_a_wake_restarts_the_idle_time(scene):
    scene.clock.happenings[60] = lambda: setattr(scene.door, "wakes", 1)
    scene.play(175)

    assert scene.asked == []


def test_a_stop_ends_the_wait_and_leaves_the_drain(scene, server):
    scene.frozen_s = 0
    scene.clock.happenings[122] = lambda: setattr(scene.clock, "stopping", True)
    scene.play(200)

    assert server.called("drain") == [DRAIN]


def test_a_machine_that_always_runs_never_sleeps(variables, client, running, clock, server):
    always = read_settings({**variables, "ROOST_IDLE_ACTION": "off"}, "b1")
    scene = Scene(always, client, running, clock)
    scene.play(500)

    assert (scene.asked, server.calls) == ([], [])


@pytest.mark.parametrize("path", ["record", "drain"])
def test_a_newer_start_is_no_matter_to_wait_for(scene, server, path):
    server.statuses[path] = [409]

    with pytest.raises(FencedError, match="the server ended this start of the flow server nightly"):
        scene.play(200)
