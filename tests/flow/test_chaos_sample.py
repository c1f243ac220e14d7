"""A sample of `./run chaos`: some bad moments of some scenarios, the same ones every time."""

from __future__ import annotations

import zlib

import pytest

from chaos.crashes import Moment, Play
from chaos.ground import open_ground
from chaos.pairs import PAIRS, meet
from chaos.scenarios import SLEEPLESS, find
from chaos.storms import StormyPlay

SAMPLE = 11
"""One of so many calls is struck."""


@pytest.fixture
def ground(tmp_path, daemon, small_server, request):  # noqa: ARG001 - the image must be there
    """A place of the test's own on the shared local Fly."""
    app = f"chaos-{zlib.crc32(request.node.name.encode())}"
    with open_ground(tmp_path / "ground", daemon, app) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("first deploy", 5),
        ("settings", 7),
        ("scale down", 6),
        ("bad change, the server is ill", 12),
    ],
)
def test_from_whatever_call_an_apply_was_ended_the_next_one_goes_on(ground, name, first):
    [scenario] = find([name])

    outcome = Play(ground, scenario, SAMPLE, first).run((Moment.AFTER,))

    assert outcome.points
    assert [str(point) for point in outcome.failed] == []
    assert outcome.lost == 0


def test_whatever_answer_is_lost_the_change_is_made_once(ground):
    [scenario] = find(["image"])

    outcome = Play(ground, scenario, SAMPLE, 2).run((Moment.LOST,))

    assert outcome.points
    assert [str(point) for point in outcome.failed] == []
    assert outcome.acknowledged > outcome.lost == 0


@pytest.mark.parametrize("name", ["memory"])
def test_bad_weather_ends_in_a_change_or_in_a_sentence(ground, name):
    [scenario] = find([name])

    weathered = StormyPlay(ground, scenario).run(range(1, 3))

    assert sum(each.troubles for each in weathered) > 0
    assert [str(each) for each in weathered if each.faults] == []


def test_of_two_changes_at_once_one_wins_and_they_are_never_mixed(ground, tmp_path, daemon):
    [pair] = [pair for pair in PAIRS if pair.name == "two changes"]
    ground.write(SLEEPLESS)
    ground.run("apply")

    with open_ground(tmp_path / "other", daemon, ground.app) as other:
        met = [meet(pair, (ground, other), seed) for seed in (3,)]

    assert [str(each) for each in met if each.faults] == []
