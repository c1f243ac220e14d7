"""Hosts that die: which ones, when, and whether they come back."""

from __future__ import annotations

import pytest

from localfly.state.hosts import Hosts
from localfly.state.weather import Weather

MANY = range(1, 201)


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def read(self):
        """Return the time."""
        return self.now


def answering(seed, share):
    hosts = Hosts(Weather(seed, hosts_die=share), MANY)
    return [hosts.answers(number) for number in MANY]


def test_without_such_weather_every_host_answers():
    assert all(answering(1, 0.0))


def test_the_seed_and_the_number_decide_which_hosts_die():
    assert answering(1, 0.5) == answering(1, 0.5)
    assert answering(1, 0.5) != answering(2, 0.5)
    assert 0.3 < answering(1, 0.5).count(False) / len(MANY) < 0.7
    assert not any(answering(1, 1.0))


@pytest.mark.parametrize("back", [0.0, 5.0])
def test_a_host_dies_after_its_time_and_comes_back_if_it_does(back):
    clock = Clock()
    hosts = Hosts(
        Weather(hosts_die=1, host_dies_after_s=10, host_back_after_s=back), [7], clock.read
    )
    late = hosts.new()
    seen = []
    for now in (100.0, 109.9, 110.0, 114.9, 115.0, 1000.0):
        clock.now = now
        seen.append(hosts.answers(7))

    assert late == 8
    assert seen == [True, True, False, False, bool(back), bool(back)]


def test_a_host_lives_from_its_first_placement():
    clock = Clock()
    hosts = Hosts(Weather(hosts_die=1, host_dies_after_s=10), (), clock.read)
    first = hosts.new()
    clock.now += 9
    second = hosts.new()
    clock.now += 2

    assert (hosts.answers(first), hosts.answers(second)) == (False, True)
