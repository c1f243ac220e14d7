"""The next due time: asked of all sources, left with all sinks, in time and without needless calls."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from helpers.waiting import until_soon
from roost_server import next_due
from roost_server.idle_suspend import AllWork
from roost_server.last_error import LAST_ERROR
from roost_server.next_due import KEY, DueTimes, MachineMetadata, NextDue

NOW = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
METADATA = f"/v1/apps/acme/machines/m1/metadata/{KEY}"


def due(hours, **details):
    """Return a time so many hours from now."""
    return NextDue(NOW + timedelta(hours=hours), details)


class Source:
    """A source that names what the test put there."""

    def __init__(self, found=None, *, used=True):
        self.found, self.used, self.asked, self.failure = found, used, 0, None

    def is_used(self):
        """Return whether the test uses it."""
        return self.used

    async def next_due(self):
        """Return what is due, or fail."""
        self.asked += 1
        if self.failure:
            raise self.failure
        return self.found


class Sink:
    """A sink that keeps all it was given, and refuses as often as the test says."""

    def __init__(self, refusals=0):
        self.kept, self.refusals = [], refusals

    async def leave(self, found):
        """Keep a time."""
        self.kept.append(found)
        self.refusals -= 1
        return self.refusals < 0


def times(*sources, sinks=(), is_open=True):
    return DueTimes(sources, sinks, lambda: is_open)


@pytest.mark.parametrize(
    ("found", "earliest"),
    [
        pytest.param([None, None], None, id="none"),
        pytest.param([due(3), None], due(3), id="one"),
        pytest.param([due(3), due(2, window="mon")], due(2, window="mon"), id="the earlier"),
    ],
)
def test_the_earliest_of_all_sources_counts(found, earliest):
    assert asyncio.run(times(*map(Source, found)).next_due()) == earliest


def test_the_document_is_in_utc_with_what_it_is_for():
    at = datetime(2026, 11, 30, 9, 0, tzinfo=timezone(timedelta(hours=1)))

    assert NextDue(at, {"window": "mon"}).document() == {
        "at": "2026-11-30T08:00:00+00:00",
        "window": "mon",
    }


def test_each_sink_gets_the_time_before_a_sleep_and_the_server_sleeps():
    sinks = Sink(), Sink(refusals=9)

    assert asyncio.run(times(Source(due(1)), sinks=sinks).prepare_sleep())
    assert [sink.kept for sink in sinks] == [[due(1)]] * 2


@pytest.mark.parametrize("more", [{"is_open": False}, {}], ids=["not open", "not used"])
def test_nothing_is_asked_or_left_by_a_server_that_is_not_open_or_has_no_source(more):
    source, sink = Source(due(1), used=bool(more)), Sink()

    assert asyncio.run(times(source, sinks=(sink,), **more).prepare_sleep())
    assert (source.asked, sink.kept) == (0, [])


def test_a_source_that_fails_leaves_what_stands_there_and_is_logged_once(monkeypatch, capsys):
    monkeypatch.setattr(LAST_ERROR, "hide", str)
    source, sink = Source(), Sink()
    source.failure = OSError("the database is away")
    found = times(Source(due(1)), source, sinks=(sink,))

    assert asyncio.run(found.prepare_sleep())
    assert asyncio.run(found.prepare_sleep())
    assert sink.kept == []
    assert capsys.readouterr().out.count("(OSError: the database is away); trying again") == 1


def test_while_awake_each_sink_gets_what_is_new_or_what_it_refused(monkeypatch):
    monkeypatch.setattr(next_due, "SAVE_S", 0.001)
    source, willing, unwilling = Source(due(1)), Sink(), Sink(refusals=2)

    async def act():
        running = asyncio.create_task(times(source, sinks=(willing, unwilling)).run())
        await until_soon(lambda: len(unwilling.kept) >= 3)
        asked = source.asked
        await until_soon(lambda: source.asked > asked + 1)
        source.found = due(2)
        await until_soon(lambda: unwilling.kept[-1] == due(2))
        running.cancel()

    asyncio.run(act())
    assert willing.kept == [due(1), due(2)]
    assert unwilling.kept == [due(1)] * 3 + [due(2)]


def test_a_source_that_is_used_later_is_noticed(monkeypatch):
    monkeypatch.setattr(next_due, "LOOK_S", 0.001)
    source, sink = Source(due(1), used=False), Sink()

    async def act():
        running = asyncio.create_task(times(source, sinks=(sink,)).run())
        await asyncio.sleep(0.01)
        before = list(sink.kept)
        source.used = True
        await until_soon(lambda: sink.kept)
        running.cancel()
        return before

    assert asyncio.run(act()) == []


def test_the_metadata_gets_the_document_or_nothing(machine_api):
    sink = MachineMetadata(machine_api.environ)

    assert asyncio.run(sink.leave(due(1, window="mon")))
    assert asyncio.run(sink.leave(None))
    assert machine_api.asked == [("POST", METADATA), ("DELETE", METADATA)]
    assert '"window": "mon"' in machine_api.bodies[0]["value"]


def test_a_refusal_of_fly_is_logged(machine_api, says, capsys):
    machine_api.answers = [says(403)]

    assert not asyncio.run(MachineMetadata(machine_api.environ).leave(due(1)))
    assert f"cannot write {KEY}" in capsys.readouterr().out


def test_outside_of_fly_there_is_no_metadata():
    assert asyncio.run(MachineMetadata({}).leave(due(1)))


class Part:
    """A kind of work."""

    def __init__(self, why=None, *, may_sleep=True):
        self.why, self.may_sleep, self.prepared = why, may_sleep, 0

    def stays_awake(self):
        """Return what the test says."""
        return self.why

    async def prepare_sleep(self):
        """Return what the test says."""
        self.prepared += 1
        return self.may_sleep


def test_all_work_is_as_awake_as_its_first_part_that_is():
    assert AllWork((Part(), Part("a run"), Part("a window"))).stays_awake() == "a run"
    assert AllWork((Part(), Part())).stays_awake() is None


def test_all_work_prepares_in_order_until_one_needs_the_server():
    parts = Part(), Part(may_sleep=False), Part()

    assert not asyncio.run(AllWork(parts).prepare_sleep())
    assert [part.prepared for part in parts] == [1, 1, 0]
    assert asyncio.run(AllWork(parts[::2]).prepare_sleep())
