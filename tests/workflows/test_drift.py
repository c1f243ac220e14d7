"""The schedule: who changes a server behind git's back is told on, and undone where the file asks for it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.workflows


FLEET = "Fleet"


def drifts(world):
    """The issues about drift: all but the one with the state of all servers."""
    return [issue for issue in world.github.issues() if issue.title != FLEET]


def found(world):
    """The issues about drift, as number and state."""
    return [(issue.number, issue.state) for issue in drifts(world)]


def test_a_change_behind_git_s_back_opens_an_issue_and_healing_closes_it(world):
    world.found(staging={})
    assert world.deploy_all().good
    assert world.schedule().good
    assert found(world) == []

    world.by_hand("staging", env={"PREFECT_LOGGING_LEVEL": "DEBUG"})
    first = world.schedule()
    [(number, state)] = found(world)
    assert (state, first.jobs["issues"]) == ("open", "success")
    assert set(first.jobs) == {"look", "issues"}
    assert "PREFECT_LOGGING_LEVEL" in drifts(world)[0].body
    assert world.setting("staging", "PREFECT_LOGGING_LEVEL") == "DEBUG"

    world.schedule()
    assert found(world) == [(number, "open")]  # the same one, not another
    [fleet] = [issue for issue in world.github.issues() if issue.title == FLEET]
    assert "It differs from its file: 1 difference." in fleet.body
    assert world.github.state.pinned == [fleet.number]

    world.write("staging", drift={"heal": True})
    world.push("Heal it")
    healing = world.schedule()
    assert set(healing.jobs.items()) == {
        (job, "success") for job in ("look", "issues", "heal staging", "healed")
    }
    assert world.setting("staging", "PREFECT_LOGGING_LEVEL") is None
    assert found(world) == [(number, "closed")]
    world.schedule()
    assert found(world) == [(number, "closed")]


def test_what_is_healed_at_once_opens_no_issue_beside_that_of_another_one(world):
    world.found(staging={"drift": {"heal": True}}, demo={})
    assert world.deploy_all().good
    for name in ("staging", "demo"):
        world.by_hand(name, env={"PREFECT_LOGGING_LEVEL": "DEBUG"})

    run = world.schedule()

    assert run.jobs["heal staging"] == "success"
    assert [issue.title for issue in drifts(world)] == ["Drift: demo"]


def test_what_comes_again_opens_the_same_issue_again(world):
    world.found(staging={})
    assert world.deploy_all().good
    for level in ("DEBUG", "ERROR"):
        world.by_hand("staging", env={"PREFECT_LOGGING_LEVEL": level})
        world.schedule()
        [(number, state)] = found(world)
        assert state == "open"
        assert world.deploy_all().good
        world.schedule()
        assert found(world) == [(number, "closed")]


def test_a_file_that_is_broken_keeps_no_other_server_from_being_healed(world):
    world.found(staging={"drift": {"heal": True}}, demo={})
    assert world.deploy_all().good
    path = world.desk / "environments" / "demo.yaml"
    path.write_text(path.read_text().replace("region: iad", "regoin: iad"))
    world.push("A typo")
    world.by_hand("staging", env={"PREFECT_LOGGING_LEVEL": "DEBUG"})

    run = world.schedule()

    assert (run.jobs["look"], run.jobs["heal staging"]) == ("failure", "success")
    assert world.setting("staging", "PREFECT_LOGGING_LEVEL") is None
