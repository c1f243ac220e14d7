"""The buttons: scale, roll back, destroy, wake, sleep, smoke, back up."""

from __future__ import annotations

import json
import re

import pytest

from helpers.workflow_world import APP_BOT

pytestmark = pytest.mark.workflows

LEVEL = "PREFECT_LOGGING_LEVEL"


@pytest.fixture
def live(world):
    """A world whose staging is deployed."""
    world.found(staging={})
    assert world.deploy_all().good
    return world


def put_to_sleep(live):
    """Press the button while the server is awake: once more where Fly itself was quicker."""
    for _ in range(3):
        assert live.serves("staging")
        run = live.press("server", environment="staging", action="sleep")
        assert run.good, run
        if "sleeps already" not in run.log:
            break
    return run


def test_the_server_s_button_puts_it_to_sleep_wakes_proves_and_copies(live):
    run = put_to_sleep(live)
    assert "a request wakes it" in (run.log + run.summary).lower()
    for action, told in (
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


def linked(run):
    """Read the branch of the link that a run shows on its page, which is the one in its log."""
    shown = re.findall(
        r"https://github\.com/acme/infra/compare/main\.\.\.([^?]+)\?\S+", run.summary
    )
    assert shown == re.findall(
        r"https://github\.com/acme/infra/compare/main\.\.\.([^?]+)\?", run.log
    )
    [branch] = shown
    return branch


def test_scaling_for_good_is_a_branch_and_a_link_by_which_a_person_opens_its_pull_request(live):
    """Nobody but a person and the App opens one: Actions may not, as they could approve it, too."""
    before = live.show("environments/staging.yaml")

    run = live.press(
        "scale", environment="staging", reason="big UI", memory_mb=1024, permanent=True
    )

    assert run.good, run
    assert set(run.jobs) == {"permanent"}
    assert live.github.pulls() == []
    branch = linked(run)
    after = live.show("environments/staging.yaml", branch)
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line for line in after.splitlines() if line not in added] == before.splitlines()
    assert "memory_mb: 1024" in "\n".join(added)
    assert "big%20UI" in run.summary
    assert live.machine("staging")["config"]["guest"]["memory_mb"] == 512

    live.git("fetch", "-q", "origin")
    number = live.add_pull("Scale staging", branch)
    assert live.happens(live.pull_event(number, "opened"))["plan"].good
    assert "1024" in live.comment(number)


def test_scaling_for_good_is_a_pull_request_of_the_app_where_there_is_one(live):
    live.add_app()
    before = len(live.github.calls)

    run = live.press(
        "scale", environment="staging", reason="big UI", memory_mb=1024, permanent=True
    )

    assert run.good, run
    [pull] = live.github.pulls()
    assert pull.issue.author == APP_BOT
    assert "big UI" in pull.issue.body
    assert "memory_mb: 1024" in live.show("environments/staging.yaml", pull.head_ref)
    assert f"https://github.com/acme/infra/pull/{pull.number}" in run.summary
    wrote = {call.login for call in live.github.calls[before:] if call.method != "GET"}
    assert wrote == {APP_BOT}


@pytest.mark.parametrize("app", [False, True], ids=["without-the-app", "with-the-app"])
def test_a_rollback_proposes_the_pull_request_that_makes_the_file_say_so_too(live, app):
    before, began = live.show("environments/staging.yaml"), live.main
    live.branch("louder")
    live.write("staging", prefect={"settings": {LEVEL: "DEBUG"}})
    number, _ = live.open_pull("Louder")
    assert live.happens(live.merge(number))["deploy"].good
    assert live.setting("staging", LEVEL) == "DEBUG"
    if app:
        live.add_app()

    run = live.press("rollback", environment="staging", reason="too loud")

    assert run.good, run
    assert set(run.jobs) == {"rollback", "record", "revert"}
    assert [(sha, state) for sha, state, _ in live.github.deployed("staging")] == [
        *((began, "inactive"), (live.main, "inactive"), (began, "success")),
    ]
    assert live.setting("staging", LEVEL) is None
    assert live.serves("staging")
    opened = [pull for pull in live.github.pulls() if pull.number != number]
    assert [pull.issue.author for pull in opened] == [APP_BOT] * app
    branch = opened[0].head_ref if app else linked(run)
    assert live.show("environments/staging.yaml", branch) == before
    handed = json.loads(run.outputs("rollback")["release"])
    assert (handed["live"], handed["origin"]) == (3, 1)


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
