"""A release of Roost is published as its tag says, and repositories hear of one that is newer."""

from __future__ import annotations

import pytest
import stamina

from helpers.fake_github import FakeGitHub
from roost.commands.update import Record

LOG = "# Changelog\n\n## Unreleased\nnext\n\n## 1.2.0 - 2027-01-01\nwhat is new\n\n## 1.1.0\nold\n"


@pytest.fixture
def github(job, monkeypatch):  # noqa: ARG001 - what it sets is set anew here
    """The GitHub of the job, with the permissions of both workflows."""
    with stamina.set_testing(True, attempts=2, cap=True), FakeGitHub() as found:
        monkeypatch.setenv("GITHUB_API_URL", found.url)
        held = {"contents": "write", "issues": "write"}
        monkeypatch.setenv("GITHUB_TOKEN", found.token_for(held))
        yield found


@pytest.fixture
def tagged(repository, job, monkeypatch):
    """Run the job of a tag in a repository of these versions."""

    def run(tag="v1.2.0", *, version="1.2.0", log=LOG):
        (repository.folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
        (repository.folder / "CHANGELOG.md").write_text(log)
        monkeypatch.setenv("GITHUB_REF", f"refs/tags/{tag}")
        return job("github", "release")

    return run


def test_a_tag_is_published_once_with_its_part_of_the_changelog(github, tagged):
    first, again = tagged(), tagged()

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert github.state.releases == {"v1.2.0": {"name": "Roost 1.2.0", "body": "what is new"}}
    assert "releases/tag/v1.2.0" in again.out


def test_a_publication_whose_answer_is_lost_is_found(github, tagged):
    github.lose(only="POST .*/releases$")

    assert tagged().code == 0
    assert [*github.state.releases] == ["v1.2.0"]


@pytest.mark.parametrize(
    ("tag", "fields", "place"),
    [
        ("v1.2.1", {}, "pyproject.toml"),
        ("v1.2.0", {"version": "1.1.0"}, "pyproject.toml"),
        ("v1.2.0", {"log": "# Changelog\n"}, "CHANGELOG.md"),
        ("v1.1.0", {"version": "1.1.0"}, "CHANGELOG.md"),
        ("v1.2", {}, "GITHUB_REF"),
        ("latest", {}, "GITHUB_REF"),
    ],
)
def test_what_does_not_agree_is_not_published(github, tagged, tag, fields, place):
    refused = tagged(tag, **fields)

    assert refused.code == 3
    assert f"{place}: " in refused.err
    assert github.state.releases == {}


# Repositories that began as the template


@pytest.fixture
def source(repository, tmp_path):
    """A repository with two releases, that the job's repository takes its releases from."""
    made = repository.copy(tmp_path / "source")
    made.commit()
    for tag in ("v1.1.0", "v1.2.0", "v1.3.0-rc1", "nightly"):
        made.git("tag", tag)
    return made


def has(repository, source, version):
    """Write down that a repository has a release."""
    record = Record(source=str(source.folder), version=version, commit="a" * 40)
    (repository.folder / ".roost-release").write_bytes(record.encoded())


def test_one_issue_says_that_a_release_is_out_and_closes_once_it_is_taken(
    github, repository, source, job
):
    has(repository, source, "1.1.0")

    assert job("github", "update-issue").code == 0
    assert job("github", "update-issue").code == 0

    [issue] = github.issues()
    assert issue.title == "Roost 1.2.0 is out"
    assert "`./run update`" in issue.body

    has(repository, source, "1.2.0")
    done = job("github", "update-issue")

    assert "Release 1.2.0 is the newest" in done.out
    assert github.issues()[0].state == "closed"


def test_a_repository_without_a_record_is_told_how_to_make_one(github, job):
    done = job("github", "update-issue")

    assert (done.code, github.issues()) == (0, [])
    assert "./run update --from URL" in done.out


def test_a_source_that_is_gone_fails_the_run_and_changes_no_issue(github, repository, source, job):
    has(repository, source, "1.1.0")
    (source.folder / ".git").rename(source.folder / "moved")

    refused = job("github", "update-issue")

    assert refused.code == 1
    assert "git ls-remote failed" in refused.err
    assert github.issues() == []


def test_a_repository_that_takes_releases_publishes_none(github, repository, source, tagged):
    has(repository, source, "1.1.0")

    assert tagged().code == 0
    assert github.state.releases == {}
