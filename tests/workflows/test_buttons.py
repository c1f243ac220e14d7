"""The buttons: scale, roll back, destroy, wake, sleep, smoke, back up."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.workflows

LEVEL = "PREFECT_LOGGING_LEVEL"


@pytest.fixture
def live(world):
    """A world whose staging is deployed."""
    world.found(staging={})
    assert world.deploy_all().good
    return world


def test_the_server_s_button_puts_it_to_sleep_wakes_proves_and_copies(live):
    for action, told in (
        ("sleep", "a request wakes it"),
        ("wake", ""),
        ("smoke", ""),
        ("backup", "snapshot"),
    ):
        run = live.press("server", environment="staging", action=action)

        assert run.good, run
        assert told in (run.log + run.summary).lower()
    assert live.serves("staging")


def test_a_choice_that_is_none_is_no_verb(live):
    run = live.press("server", environment="staging", action="destroy")

    assert run.jobs == {}
    assert live.serves("staging")


def test_scaling_for_a_time_shows_in_plans_and_is_undone_when_its_time_is_over(live):
    """Made by the button, kept by a merge, ended by the schedule."""
    run = live.press(
        "scale", environment="staging", reason="a demo", memory_mb=1024, until="4h", permanent=False
    )

    assert run.good, run
    assert set(run.jobs) == {"override"}
    assert live.machine("staging")["config"]["guest"]["memory_mb"] == 1024

    live.branch("louder")
    live.write("staging", prefect={"settings": {LEVEL: "DEBUG"}})
    number, _ = live.open_pull("Louder")
    assert "a demo" in live.comment(number)
    assert live.happens(live.merge(number))["deploy"].good
    assert live.machine("staging")["config"]["guest"]["memory_mb"] == 1024

    live.let_override_expire("staging")
    looked = live.schedule()

    assert looked.jobs["look"] == "success"
    assert looked.jobs["end staging"] == "success"
    assert live.machine("staging")["config"]["guest"]["memory_mb"] == 512
    assert live.setting("staging", LEVEL) == "DEBUG"


def test_scaling_for_good_is_a_pull_request_that_leaves_every_other_byte(live):
    before = live.show("environments/staging.yaml")

    run = live.press(
        "scale", environment="staging", reason="big UI", memory_mb=1024, permanent=True
    )

    assert run.good, run
    assert set(run.jobs) == {"permanent"}
    [pull] = live.github.pulls()
    after = live.show("environments/staging.yaml", pull.head_ref)
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line for line in after.splitlines() if line not in added] == before.splitlines()
    assert "memory_mb: 1024" in "\n".join(added)
    assert "big UI" in pull.issue.body
    assert live.machine("staging")["config"]["guest"]["memory_mb"] == 512


def test_a_rollback_opens_the_pull_request_that_makes_the_file_say_so_too(live):
    before, began = live.show("environments/staging.yaml"), live.main
    live.branch("louder")
    live.write("staging", prefect={"settings": {LEVEL: "DEBUG"}})
    number, _ = live.open_pull("Louder")
    assert live.happens(live.merge(number))["deploy"].good
    assert live.setting("staging", LEVEL) == "DEBUG"

    run = live.press("rollback", environment="staging", reason="too loud")

    assert run.good, run
    assert set(run.jobs) == {"rollback", "record", "revert"}
    assert [(sha, state) for sha, state, _ in live.github.deployed("staging")] == [
        *((began, "inactive"), (live.main, "inactive"), (began, "success")),
    ]
    assert live.setting("staging", LEVEL) is None
    assert live.serves("staging")
    opened = [pull for pull in live.github.pulls() if pull.number != number]
    assert len(opened) == 1
    assert live.show("environments/staging.yaml", opened[0].head_ref) == before


def test_destroying_wants_the_app_s_name_typed(live):
    wrong = live.press("destroy", environment="staging", confirm="staging", reason="no need")

    assert not wrong.good
    assert live.serves("staging")

    right = live.press(
        "destroy", environment="staging", confirm=live.app("staging"), reason="no need"
    )

    assert right.good, right
    assert live.machines("staging") == []
    assert [state for _, state, _ in live.github.deployed("staging")] == ["inactive"]


def test_nobody_destroys_what_is_protected(live):
    live.write("staging", protected=True)
    live.push("Protect it")

    run = live.press("destroy", environment="staging", confirm=live.app("staging"), reason="x")

    assert not run.good
    assert any("protected" in found["message"] for found in run.annotations())
    assert live.serves("staging")
