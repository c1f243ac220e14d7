"""After a rollback: the pull request that makes the file say so too, or what else has to be reverted."""

from __future__ import annotations

import pytest
import stamina

from helpers.fake_github import FakeGitHub
from helpers.histories import FAILED, History
from roost.environment.load import load_environment
from roost.plan.desired import desired_state
from roost.plan.image import image_reference, read_image_parts

QUIET = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "INFO"}}}
LOUD = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}
FILE = "environments/staging.yaml"


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
        self.repository.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/main")
        self.env("GITHUB_SHA", commit)
        return commit

    def release(self, *verdict, **fields):
        """Release main as it is."""
        file = load_environment("staging", self.repository.environments)
        parts = read_image_parts(self.repository.folder / "deploy", "3.8.8")
        image = image_reference(file.environment.app, "3.8.8", parts)
        self.history.went(desired_state(file, image), *verdict, git=self.push(), **fields)

    def roll_back(self):
        """Put release 1 back, which the files do not ask for any more."""
        self.history.went(self.first, back_to=1)

    def revert(self):
        """Run the job that opens the pull request."""
        return self.job("github", "revert", "--", "staging")


@pytest.fixture
def main(repository, job, monkeypatch):
    """A repository whose staging has one good release."""
    with stamina.set_testing(True, attempts=2, cap=True), FakeGitHub() as github:
        for name, value in {
            "GITHUB_API_URL": github.url,
            "GITHUB_TOKEN": github.token,
            "GITHUB_WORKFLOW": "Roll back",
            "FLY_API_TOKEN": "fm2_token",
        }.items():
            monkeypatch.setenv(name, value)
        repository.git("remote", "add", "origin", str(github.state.git.path))
        found = Main(github, repository, job, monkeypatch)

        async def machines(*_):
            return found.history.live.machines

        monkeypatch.setattr("roost.verbs.ci.revert.environment_machines", machines)
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
    assert summary() == f"Opened https://github.com/acme/infra/pull/{pull.number}\n\n"


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
        "staging.yaml is as it was at release 1. What was rolled back comes from what changed "
        f"beside it: {path}. Revert these by hand: until then the next deploy brings back what was "
        "rolled back."
    )
    assert said.code == 3
    assert told in said.err
    assert "Revert these by hand" in summary()
    assert main.github.pulls() == []


def test_a_change_beside_the_file_that_changes_nothing_here_is_nothing_to_revert(main, summary):
    (main.repository.folder / "deploy/locks/prefect-9.9.9.txt").write_text("prefect==9.9.9\n")
    add_to(main.repository.environments / "_defaults.yaml", "# a word\n")
    main.push()

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
    assert "left as it is now: `environments/_defaults.yaml`" in pull.issue.body


def test_why_there_is_no_pull_request_stands_on_the_page_of_the_run(main, summary):
    main.repository.write("staging", LOUD)
    main.release(FAILED)
    main.roll_back()
    main.github.fail(
        403,
        only="POST .*/pulls$",
        message="GitHub Actions is not permitted to create pull requests.",
    )

    assert main.revert().code == 1
    assert "not permitted" in summary()
