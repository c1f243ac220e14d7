"""Whoever asks for a server's health all the time knows for how long it said nothing."""

from __future__ import annotations

import itertools

import anyio
import httpx
import pytest

from helpers import virtual_time
from helpers.fake_prefect import FakePrefect, opens, say
from roost.errors import UsageError
from roost.rehearsal.downtime_monitor import Downtime, monitor_downtime


def silence(*answers):
    """The longest silence after answers, as (time, well), from time 0 on."""
    times = itertools.chain([0.0], (when for when, _ in answers))
    found = Downtime(lambda: next(times))
    for _, well in answers:
        found.answered(well=well)
    return found.silence_s


def test_the_longest_time_between_good_answers_counts():
    assert silence((1, True), (5, True), (6, True)) == 4


def test_a_bad_answer_is_none():
    assert silence((1, True), (2, False), (3, False), (7, True), (8, True)) == 6


def test_what_never_answers_again_is_silent_to_the_end():
    assert silence((1, True), (4, False), (9, False)) == 8


@pytest.fixture
def prefect():
    """The server that answers at every address."""
    return FakePrefect()


def test_a_server_is_asked_from_the_beginning_to_after_the_end(prefect):
    async def scenario():
        async with monitor_downtime(
            opens(prefect), "http://prefect.test", anyio.current_time
        ) as found:
            await anyio.sleep(1)
            prefect.broken["GET", "/api/health"] = say(503)
            await anyio.sleep(3)
            prefect.broken.clear()
        return found.silence_s

    assert 3 <= virtual_time.run(scenario) < 4
    assert len(prefect.asked) > 3


def test_a_server_that_cannot_be_reached_is_silent(prefect):
    prefect.broken["GET", "/api/health"] = httpx.ConnectError("refused")

    async def scenario():
        async with monitor_downtime(
            opens(prefect), "http://prefect.test", anyio.current_time
        ) as found:
            await anyio.sleep(2)
        return found.silence_s

    assert virtual_time.run(scenario) >= 2


def test_what_goes_wrong_meanwhile_is_raised_as_itself(prefect):
    async def scenario():
        async with monitor_downtime(opens(prefect), "http://prefect.test", anyio.current_time):
            raise UsageError("no")

    with pytest.raises(UsageError):
        virtual_time.run(scenario)
