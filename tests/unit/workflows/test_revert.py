"""After a rollback: the pull request that makes the file say so too, or what else has to be reverted."""

from __future__ import annotations

import json
import re

import pytest
import stamina

from helpers.fake_github import FakeGitHub
from helpers.histories import FAILED, History
from helpers.server_locks import REDIS, lock_text, write_server_lock
from roost.environment.load import load_environment
from roost.errors import UsageError
from roost.operations.image_parts import own_lock
from roost.plan.desired_state import desired_state
from roost.plan.image import image_reference, read_image_parts
from roost.plan.resume import Recovery
from roost.workflows.rollback import put_back_by, read_put_back

QUIET = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "INFO"}}}
LOUD = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}
FILE = "environments/staging.yaml"
HELD = {"contents": "write", "pull_requests": "write"}


class Main:
    """The main branch, and the releases that were made of it."""

    def __init__(self, github, repository, job, monkeypatch):
        self.github, self.repository, self.job = github, repository, job
        self.env = monkeypatch.setenv
        self.history = History()
        self.first = None

    def push(self):
        """Commit what is there to main; the next jobs run on it."""
        commit = self.repository.commit()
        self.repository.push()
        self.env("GITHUB_SHA", commit)
        return commit

    def release(self, *verdict, **fields):
        """Release main as it is."""
        file = load_environment("staging", self.repository.environments)
        parts = read_image_parts(self.repository.folder / "deploy", "3.8.8", own_lock(file))
        image = image_reference(file.environment.app, "3.8.8", parts)
        self.history.went(desired_state(file, image), *verdict, git=self.push(), **fields)

    def roll_back(self):
        """Put release 1 back, which the files do not ask for any more."""
        before = self.history.releases
        self.history.went(self.first, back_to=1)
        self.handed = put_back_by(Recovery(self.first, before, back_to=1)).model_dump_json()

    def revert(self, handed=None):
        """Run the job that proposes the pull request, with what the job before it handed on."""
        release = self.handed if handed is None else handed
        return self.job("github", "revert", "--open", "--release", release, "--", "staging")


@pytest.fixture
def main(repository, job, monkeypatch):
    """A repository whose staging has one good release."""
    with stamina.set_testing(True, attempts=2, cap=True), FakeGitHub() as github:
        for name, value in {
            "GITHUB_API_URL": github.url,
            "GITHUB_TOKEN": github.token_for(HELD, login="roost-acme[bot]"),
            "GITHUB_WORKFLOW": "Roll back",
        }.items():
            monkeypatch.setenv(name, value)
        repository.connect(github.state.git.path)
        found = Main(github, repository, job, monkeypatch)

        # Who may write to git holds no token of Fly's, and needs none.
        monkeypatch.delenv("FLY_API_TOKEN", raising=False)
        (repository.environments / "_defaults.yaml").write_text("machine: {memory_mb: 512}\n")
        repository.write("staging", QUIET)
        found.release()
        found.first = found.history.desired
        yield found


def add_to(path, text):
    """Add a line to a file of the repository."""
    path.write_text(path.read_text() + text)


def test_a_change_of_the_file_is_reverted_by_a_pull_request(main, summary):
    before = (main.repository.environments / "staging.yaml").read_bytes()
    main.repository.write("staging", LOUD)
    main.release(FAILED)
    main.roll_back()

    said = main.revert()

    assert said.code == 0, said.err
    [pull] = main.github.pulls()
    assert main.github.file(FILE, pull.head_ref) == before
    url = f"https://github.com/acme/infra/pull/{pull.number}"
    assert summary() == f"[Opened the pull request]({url})\n\n"
    assert "Release 3 is live, which is release 1 again." in pull.issue.body


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("environments/_defaults.yaml", "scaling: {idle_after: 10m}\n"),
        ("deploy/Dockerfile", "# another image\n"),
    ],
)
def test_a_change_beside_the_file_is_told_and_is_to_be_reverted_by_hand(main, summary, path, text):
    """A green run would leave nobody knowing that the next deploy brings it back."""
    add_to(main.repository.folder / path, text)
    main.release(FAILED)
    main.roll_back()

    said = main.revert()

    told = (
        "staging.yaml is as it was at release 1. The change that was rolled back is in "
        f"other files: {path}. Revert these by hand: until then the next deploy undoes the rollback."
    )
    assert said.code == 3
    assert told in said.err
    assert "Revert these by hand" in summary()
    assert main.github.pulls() == []


def test_a_change_beside_the_file_that_changes_nothing_here_is_nothing_to_revert(main, summary):
    (main.repository.folder / "deploy/locks/prefect-9.9.9.txt").write_text("prefect==9.9.9\n")
    add_to(main.repository.environments / "_defaults.yaml", "# a word\n")
    main.push()
    main.roll_back()

    said = main.revert()

    assert said.code == 0, said.err
    told = "staging.yaml is as it was at release 1. There is nothing to revert.\n"
    assert (said.out, summary()) == (told, f"{told}\n")


def test_what_changed_beside_a_file_that_changed_too_is_left_and_told(main):
    main.repository.write("staging", LOUD)
    add_to(main.repository.environments / "_defaults.yaml", "scaling: {idle_after: 10m}\n")
    main.release(FAILED)
    main.roll_back()

    assert main.revert().code == 0

    [pull] = main.github.pulls()
    assert "left as it is: `environments/_defaults.yaml`" in pull.issue.body
    assert "lock" not in pull.issue.body


def test_of_extra_packages_it_names_the_lock_to_restore_too(main):
    then = main.repository.git("rev-parse", "HEAD")[:10]
    main.repository.write("staging", REDIS)
    write_server_lock(main.repository.environments, "staging", lock_text("prefect-redis"))
    main.release(FAILED)
    main.roll_back()

    assert main.revert().code == 0

    [pull] = main.github.pulls()
    lock = "environments/locks/staging.txt"
    assert f"left as it is: `{lock}`" in pull.issue.body
    assert f"`git checkout {then} -- {lock}`" in pull.issue.body


def test_why_there_is_no_pull_request_stands_on_the_page_of_the_run(main, summary):
    main.repository.write("staging", LOUD)
    main.release(FAILED)
    main.roll_back()
    main.github.fail(
        403,
        only="POST .*/pulls$",
        message="Resource not accessible by integration",
    )

    assert main.revert().code == 1
    assert "not accessible" in summary()


# What is handed on


def test_what_a_rollback_hands_on_is_numbers_and_hashes(main):
    main.repository.write("staging", LOUD)
    main.release(FAILED)
    main.roll_back()

    handed = json.loads(main.handed)

    assert (handed["live"], handed["origin"]) == (3, 1)
    assert re.fullmatch("[0-9a-f]{40}", handed["commit"])
    assert re.fullmatch("[0-9a-f]{16}", handed["setup"])
    assert {*handed} == {"live", "origin", "commit", "setup"}


@pytest.mark.parametrize("git", ["", "main", "$(env)", "../../actions", "a" * 40 + "\n"])
def test_a_commit_that_is_none_is_not_handed_on_and_is_reverted_by_hand(main, summary, git):
    """Whoever reaches Fly's dashboard writes what a machine remembers."""
    main.history.went(main.first, git=git)
    recovery = Recovery(main.first, main.history.releases, back_to=main.history.releases[-1].number)
    main.handed = put_back_by(recovery).model_dump_json()

    said = main.revert()

    assert json.loads(main.handed)["commit"] == ""
    assert said.code == 3
    assert "The commit of release 3 is not known." in said.err
    assert "Revert the file by hand" in summary()
    assert main.github.pulls() == []


@pytest.mark.parametrize(
    "change",
    [
        {"commit": "main"},
        {"commit": "a" * 40 + "\n"},
        {"live": "1"},
        {"origin": 0},
        {"setup": "$(env)"},
        {"more": 1},
    ],
)
def test_what_is_no_output_of_a_rollback_is_refused(main, change):
    main.roll_back()

    said = main.revert(json.dumps({**json.loads(main.handed), **change}))

    assert said.code == 3
    assert "This is no output of a rollback." in said.err
    assert main.github.changes() == []


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"live": 1' + " " * 600 + "}"])
def test_what_is_no_json_of_a_release_is_refused(text):
    with pytest.raises(UsageError):
        read_put_back(text)
