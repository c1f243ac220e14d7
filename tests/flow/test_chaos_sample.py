"""A sample of `./run chaos`: some bad moments of some scenarios, the same ones every time."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest

from chaos.crashes import CrashRun, Moment
from chaos.outages import OutageRun
from chaos.pairs import PAIRS, run_pair
from chaos.scenarios import SLEEPLESS, find
from chaos.storms import StormRun
from chaos.testbed import open_testbed
from helpers.waiting import LIMIT_S

pytestmark = pytest.mark.slow

SAMPLE = 11
"""One of so many calls is struck."""


@pytest.fixture
def testbed(tmp_path, daemon, small_server, request):  # noqa: ARG001 - the image must be there
    """A place of the test's own on the shared local Fly."""
    app = f"chaos-{zlib.crc32(request.node.name.encode())}"
    with open_testbed(tmp_path / "testbed", daemon, app) as found:
        found.commands.limit_s = (
            3 * LIMIT_S
        )  # however busy this computer is; `./run chaos` is stricter
        yield found


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("first deploy", 5),
        ("settings", 7),
        ("scale down", 6),
        ("bad change, the server is ill", 12),
        ("destroy, given up", 8),
    ],
)
def test_from_whatever_call_an_apply_was_ended_the_next_one_goes_on(testbed, name, first):
    [scenario] = find([name])

    outcome = CrashRun(testbed, scenario, SAMPLE, first).run((Moment.AFTER,))

    assert outcome.points
    assert [str(point) for point in outcome.failed] == []
    assert outcome.lost == 0


def test_whatever_answer_is_lost_the_change_is_made_once(testbed):
    [scenario] = find(["image"])

    outcome = CrashRun(testbed, scenario, SAMPLE, 2).run((Moment.LOST,))

    assert outcome.points
    assert [str(point) for point in outcome.failed] == []
    assert outcome.acknowledged > outcome.lost == 0


def test_of_a_fly_that_is_lost_for_good_a_command_lets_go_and_says_what_to_do(testbed):
    [scenario] = find(["settings"])

    run = OutageRun(testbed, scenario, 1, longest_s=LIMIT_S)  # however busy this computer is
    cuts = run.run(1)

    assert [str(cut) for cut in cuts if cut.faults] == []


def test_a_mishap_is_a_fault_of_its_point_and_the_others_are_played(testbed):
    [scenario] = find(["settings"])
    asked = iter([True])
    faults = scenario.stands

    def stands(testbed):
        if next(asked, False):
            raise KeyError("nobody expected this")
        return faults(testbed)

    play = CrashRun(testbed, replace(scenario, stands=stands, visited=False), 9, 3)
    outcome = play.run((Moment.BEFORE,))

    first, *others = outcome.faults
    assert "settings, killed before call 3: KeyError at test_chaos_sample.py" in first
    assert "nobody expected this" in first
    assert "ended with 0: " in first  # the command that was run last
    assert others == []
    assert len(outcome.points) > 1


@pytest.mark.parametrize("name", ["memory"])
def test_bad_weather_ends_in_a_change_or_in_a_sentence(testbed, name):
    [scenario] = find([name])

    results = StormRun(testbed, scenario).run(range(1, 3))

    assert sum(each.troubles for each in results) > 0
    assert [str(each) for each in results if each.faults] == []


def test_of_two_changes_at_once_one_wins_and_they_are_never_mixed(testbed, tmp_path, daemon):
    [pair] = [pair for pair in PAIRS if pair.name == "two changes"]
    testbed.write(SLEEPLESS)
    testbed.run("apply")

    with open_testbed(tmp_path / "other", daemon, testbed.app) as other:
        other.commands.limit_s = testbed.commands.limit_s
        met = [run_pair(pair, (testbed, other), seed) for seed in (3,)]

    assert [str(each) for each in met if each.faults] == []
