"""What doctor says of self-hosted runners: who could leave something there, and what nobody can see."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest
import stamina

from helpers.github_settings import GitHubSettings
from roost.doctor.check import State
from roost.doctor.runners import runner_checks
from roost.github.api import github_of
from roost.http.exchange import ATTEMPTS

ENVIRON = {"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": "acme/infra"}
SET = {"/actions/variables/ROOST_RUNNER": {"name": "ROOST_RUNNER", "value": "roost"}}
BOX = {"/actions/runners": {"total_count": 1, "runners": [{"id": 1, "name": "box"}]}}


def checks_of(answers):
    """What is said where GitHub answers so."""
    settings = GitHubSettings()
    settings.change(answers)

    async def look():
        made = partial(github_of, transport=httpx.MockTransport(settings))
        async with made(ENVIRON) as github:
            return [check async for check in runner_checks(github)]

    # Repeats happen at once: their number is real, their waits are not.
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        return asyncio.run(look())


def test_without_any_it_is_well():
    assert [check.state for check in checks_of({})] == [State.OK, State.OK]


def test_a_runner_of_the_repository_is_named_with_what_a_writer_can_do():
    runner, variable = checks_of(BOX | SET)

    assert runner.state is State.MISSING
    assert "a writer can run a workflow of any branch on box" in runner.what
    assert "takes the token of the next deploy" in runner.what
    assert "docs/github.md, A private server" in runner.mend
    assert variable.state is State.UNKNOWN
    assert (
        "jobs with tokens run on the runner that ROOST_RUNNER names, and a writer can change it"
        in variable.what
    )


@pytest.mark.parametrize("status", [403, 500])
def test_what_is_not_shown_is_called_neither_right_nor_wrong(status):
    found = checks_of({"/actions/runners": status, "/actions/variables/ROOST_RUNNER": status})

    assert [check.state for check in found] == [State.UNKNOWN, State.UNKNOWN]
