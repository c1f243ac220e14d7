"""Pull requests that a button proposes: tried again, they go on where the last attempt ended."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import stamina

from helpers.fake_github import FakeGitHub
from roost.workflows.open_pull import LONGEST_LINK, link_to

BRANCH = "roost/scale-77"
FILE = "environments/prefect.yaml"
NOT_PERMITTED = "Resource not accessible by integration"
HELD = {"contents": "write", "pull_requests": "write"}


@pytest.fixture
def github(job, monkeypatch):  # noqa: ARG001 - what it sets is set anew here
    """The GitHub that the job talks to; repeats happen at once."""
    with stamina.set_testing(True, attempts=2, cap=True), FakeGitHub() as found:
        monkeypatch.setenv("GITHUB_API_URL", found.url)
        monkeypatch.setenv("GITHUB_TOKEN", found.token_for(HELD, login="roost-acme[bot]"))
        monkeypatch.setenv("GITHUB_WORKFLOW", "Scale")
        yield found


@pytest.fixture
def scale(github, repository, job):
    """Run the job that scales for good, in a fresh checkout of the commit that started the run."""
    repository.write("prefect")
    repository.connect(github.state.git.path)
    started = repository.commit()
    repository.push()

    def run(*options, reason="big UI"):
        repository.git("reset", "--quiet", "--hard", started)
        asked = ("--memory-mb", "1024", "--reason", reason)
        return job("github", "scale", *(options or ("--open",)), *asked, "--", "prefect")

    return run


def refuse_pulls(github):
    """Let GitHub refuse the next pull request, as it does where the App may open none."""
    github.fail(403, only="POST .*/pulls$", message=NOT_PERMITTED)


def test_what_was_refused_its_pull_request_opens_it_when_it_is_run_again(github, scale):
    refuse_pulls(github)

    refused = scale()
    commit = github.head(BRANCH)
    again = scale()

    assert refused.code == 1
    assert "not accessible" in refused.err
    assert again.code == 0, again.err
    [pull] = github.pulls()
    assert (pull.head_ref, pull.head_sha) == (BRANCH, commit)  # the commit is not made twice
    assert b"memory_mb: 1024" in github.file(FILE, BRANCH)


def test_the_app_opens_the_pull_request_and_its_checks_need_nobody(github, scale, summary):
    """GitHub starts the checks of what an App opens; of what a workflow's token opens it does not."""
    assert scale().code == 0

    [pull] = github.pulls()
    assert pull.issue.author == "roost-acme[bot]"
    assert "Requested by `ada`" in pull.issue.body
    assert "Approve its workflow runs" not in pull.issue.body
    url = f"https://github.com/acme/infra/pull/{pull.number}"
    assert summary() == f"[Opened the pull request]({url})\n\n"


def test_the_cpu_size_is_proposed_as_the_memory_is(github, scale):
    assert scale("--open", "--size", "shared-cpu-2x").code == 0

    [pull] = github.pulls()
    assert pull.issue.title == "Scale prefect: size shared-cpu-2x, memory_mb 1024"
    assert b"size: shared-cpu-2x" in github.file(FILE, BRANCH)


# Without the App


@pytest.fixture
def token_of_the_job(github, monkeypatch):
    """The job's own token, which may open nothing: the setting is off, as it should be."""
    token = github.token_for({"contents": "write"})
    monkeypatch.setenv("GITHUB_TOKEN", token)
    return token


def linked(text):
    """Read the link that a person is shown."""
    [url] = re.findall(r"https://github\.com/acme/infra/compare/[^\s)]+", text)
    split = urlsplit(url)
    return split.path, {name: values[0] for name, values in parse_qs(split.query).items()}


@pytest.mark.usefixtures("token_of_the_job")
def test_without_the_app_the_branch_is_pushed_and_a_link_opens_its_pull_request(
    github, scale, summary
):
    said = scale("--count", "1")

    assert said.code == 0, said.err
    assert b"memory_mb: 1024" in github.file(FILE, BRANCH)
    assert github.pulls() == []
    assert not [call for call in github.calls if call.path.endswith("/pulls")]
    for text in (said.out, summary()):
        path, query = linked(text)
        assert path == f"/acme/infra/compare/main...{BRANCH}"
        assert query["quick_pull"] == "1"
        assert query["title"] == "Scale prefect: memory_mb 1024"
        assert "Why: big UI" in query["body"]


@pytest.mark.usefixtures("token_of_the_job")
def test_without_the_app_the_same_run_again_shows_the_same_link(github, scale):
    first, again = scale("--count", "1"), scale("--count", "1")

    assert (first.code, again.code) == (0, 0)
    assert linked(first.out) == linked(again.out)
    assert github.pulls() == []


@pytest.mark.usefixtures("token_of_the_job")
def test_a_reason_is_never_more_than_text_of_the_link(scale, summary):
    evil = "x) [click](https://evil.example) &base=evil ::error::x\n# Heading"

    assert scale("--count", "1", reason=evil).code == 0

    _, query = linked(summary())
    assert {*query} == {"quick_pull", "title", "body"}
    assert "evil.example" not in summary().replace("evil.example%29", "")
    assert summary().count("\n") == 2


def test_a_text_that_is_too_long_for_a_link_is_left_to_the_person():
    page = "https://github.com/acme/infra/compare/main...roost/x"

    assert len(link_to(page, "A title", "x" * LONGEST_LINK)) < LONGEST_LINK
    assert link_to(page, "A title", "x" * LONGEST_LINK) == f"{page}?quick_pull=1&title=A%20title"
    assert link_to(page, "A title", "why").endswith("&body=why")


# Tried again


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
    assert f"The branch {BRANCH} has another version of it." in said.err
    assert "Delete that branch, then run the failed job again." in said.err
    assert github.head(BRANCH) == theirs
    assert github.pulls() == []
