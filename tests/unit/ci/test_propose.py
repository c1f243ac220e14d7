"""Pull requests that a button opens: tried again, they go on where the last attempt ended."""

from __future__ import annotations

import pytest
import stamina

from helpers.fake_github import FakeGitHub

BRANCH = "roost/scale-77"
FILE = "environments/prefect.yaml"
NOT_PERMITTED = "GitHub Actions is not permitted to create or approve pull requests."


@pytest.fixture
def github(job, monkeypatch):  # noqa: ARG001 - what it sets is set anew here
    """The GitHub that the job talks to; repeats happen at once."""
    with stamina.set_testing(True, attempts=2, cap=True), FakeGitHub() as found:
        monkeypatch.setenv("GITHUB_API_URL", found.url)
        monkeypatch.setenv("GITHUB_TOKEN", found.token)
        monkeypatch.setenv("GITHUB_WORKFLOW", "Scale")
        yield found


@pytest.fixture
def scale(github, repository, job):
    """Run the job that scales for good, in a fresh checkout of the commit that started the run."""
    repository.write("prefect")
    repository.git("remote", "add", "origin", str(github.state.git.path))
    started = repository.commit()
    repository.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/main")

    def run():
        repository.git("reset", "--quiet", "--hard", started)
        return job("github", "scale", "--memory-mb", "1024", "--reason", "big UI", "--", "prefect")

    return run


def refuse_pulls(github):
    """Let GitHub refuse the next pull request, as it does where Actions may open none."""
    github.fail(403, only="POST .*/pulls$", message=NOT_PERMITTED)


def test_what_was_refused_its_pull_request_opens_it_when_it_is_run_again(github, scale):
    refuse_pulls(github)

    refused = scale()
    commit = github.head(BRANCH)
    again = scale()

    assert refused.code == 1
    assert "not permitted" in refused.err
    assert again.code == 0, again.err
    [pull] = github.pulls()
    assert (pull.head_ref, pull.head_sha) == (BRANCH, commit)  # the commit is not made twice
    assert b"memory_mb: 1024" in github.file(FILE, BRANCH)


def test_the_pull_request_says_how_to_have_its_plan(github, scale):
    """GitHub has its runs wait for an approval, or starts none, as it was before and is elsewhere."""
    assert scale().code == 0

    [pull] = github.pulls()
    assert "Approve its workflow runs, or close and reopen it." in pull.issue.body


def test_a_branch_without_its_commit_gets_it_though_main_moved_on(github, scale):
    github.fail(403, only="PUT .*/contents/", message="Resource not accessible by integration")
    assert scale().code == 1
    github.commit("main", {"README.md": "Something else.\n"})

    again = scale()

    assert again.code == 0, again.err
    assert [pull.head_ref for pull in github.pulls()] == [BRANCH]
    assert b"memory_mb: 1024" in github.file(FILE, BRANCH)


def test_the_same_run_again_opens_no_second_pull_request(github, scale):
    assert [scale().code, scale().code] == [0, 0]

    assert len(github.pulls()) == 1


def test_a_branch_on_which_somebody_wrote_another_file_is_left_and_told(github, scale):
    refuse_pulls(github)
    scale()
    theirs = github.commit(BRANCH, {FILE: "app: another\n"})

    said = scale()

    assert said.code == 1
    assert f"The branch {BRANCH} has another version of it by now." in said.err
    assert "Delete that branch, then run the failed job again." in said.err
    assert github.head(BRANCH) == theirs
    assert github.pulls() == []
