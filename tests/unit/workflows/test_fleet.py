"""github fleet and fleet-issue: one pinned issue with all environments, whatever a stranger wrote."""

from __future__ import annotations

import pytest
import stamina

from helpers.fake_github import ACTIONS_BOT, FakeGitHub
from roost.report.fleet_issue import FLEET
from roost.workflows.fleet import FILE

WRITE = {"issues": "write", "contents": "read"}


@pytest.fixture
def github():
    """A GitHub whose answers may be lost; repeats happen at once."""
    with stamina.set_testing(True, attempts=3, cap=True), FakeGitHub() as found:
        yield found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "found"


@pytest.fixture
def job(roost, github, monkeypatch):
    """The command line in a job that may write issues."""
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "acme/infra",
        "GITHUB_RUN_ID": "1001",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_TOKEN": github.token_for(WRITE),
    }.items():
        monkeypatch.setenv(name, value)
    return roost


@pytest.fixture
def reported(job, folder):
    """Return a function that runs the second job on a text of the first."""

    def run(text, expect=0):
        folder.mkdir(exist_ok=True)
        (folder / FILE).write_text(f"{FLEET.marker}\n{text}\n")
        said = job("github", "fleet-issue", "--results", folder)
        assert said.code == expect, said.err
        return said

    return run


def shown(github):
    return [
        (i.number, i.title, i.state, i.body.splitlines()[-1]) for i in github.issues(FLEET.label)
    ]


def test_the_text_has_a_row_for_each_environment_and_no_login(job, folder):
    assert job("apply", "staging").code == 0

    said = job("github", "fleet", "--results", folder)

    assert said.code == 0, said.err
    text = (folder / FILE).read_text()
    assert text.startswith(f"{FLEET.marker}\n1 environment: 1 awake.")
    assert "| staging | awake | 3.8.8 | 1 good | no |" in text
    assert "in [this run](https://github.com/acme/infra/actions/runs/1001)" in text
    assert "s3cret" not in text


def test_where_there_is_no_server_nothing_is_written_and_no_token_is_needed(
    job, folder, tmp_path, monkeypatch
):
    (tmp_path / "staging.yaml").unlink()
    monkeypatch.delenv("FLY_API_TOKEN")

    assert job("github", "fleet", "--results", folder).code == 0
    assert job("github", "fleet-issue", "--results", folder).code == 0
    assert not folder.exists()


def test_the_issue_is_opened_and_pinned_once_and_updated_ever_after(reported, github):
    reported("first")
    reported("second")
    github.close(1)
    reported("third")

    assert shown(github) == [(1, "Fleet", "open", "third")]
    assert github.state.pinned == [1]


def test_where_three_are_pinned_it_says_how_to_do_it_by_hand(reported, github):
    github.state.pinned = [7, 8, 9]

    said = reported("first")

    assert "It could not be pinned" in said.out
    assert shown(github) == [(1, "Fleet", "open", "first")]


def test_an_issue_of_a_stranger_that_looks_the_same_is_left_alone(reported, github):
    github.add_issue("Fleet", f"{FLEET.marker}\nfalse", (FLEET.label,), "mallory")

    reported("true")

    assert [text for *_, text in shown(github)] == ["false", "true"]


def test_of_several_the_oldest_stays(reported, github):
    for text in ("a", "b"):
        github.add_issue("Fleet", f"{FLEET.marker}\n{text}", (FLEET.label,), ACTIONS_BOT)

    reported("c")

    assert shown(github) == [(1, "Fleet", "open", "c"), (2, "Fleet", "closed", "b")]
