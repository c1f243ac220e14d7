"""A new release of Prefect: chosen from an index, and proposed by a pull request or an issue."""

from __future__ import annotations

import json

import pytest
import stamina

from helpers.environments import POSTGRES
from helpers.fake_github import FakeGitHub
from helpers.fake_index import FakeIndex
from helpers.server_locks import REDIS, lock_text, write_server_lock

BRANCH = "roost/prefect-3.9.1"
STAGING = "environments/staging.yaml"
SETTINGS = "PREFECT_API group\nPREFECT_HOME path\n"
JOB = {"contents": "write", "pull_requests": "read"}
ISSUES = {"issues": "write"}
APP = {"contents": "write", "pull_requests": "write"}


@pytest.fixture
def index(monkeypatch):
    """An index with two releases that are old enough, and a younger one."""
    with FakeIndex() as found:
        for version, days in (("3.8.8", 90), ("3.9.0", 30), ("3.9.1", 20), ("3.9.2", 2)):
            found.add(version, days_old=days)
        monkeypatch.setenv("UV_DEFAULT_INDEX", found.url)
        yield found


@pytest.fixture
def github(job, monkeypatch):  # noqa: ARG001 - what it sets is set anew here
    """The GitHub that the jobs talk to, on the schedule; each job has a token of its own."""
    with stamina.set_testing(True, attempts=2, cap=True), FakeGitHub() as found:
        monkeypatch.setenv("GITHUB_API_URL", found.url)
        monkeypatch.setenv("GITHUB_EVENT_NAME", "schedule")
        monkeypatch.setenv("GITHUB_WORKFLOW", "Prefect")
        yield found


@pytest.fixture
def look(index, job, outputs):  # noqa: ARG001 - the index that it asks
    """Run the first job, and return its outputs."""

    def run(*options):
        done = job("github", "prefect-look", *options)
        assert done.code == 0, done.err
        return outputs()

    return run


@pytest.fixture
def main(repository, github):
    """A repository on GitHub with an unprotected environment and a protected one, both behind."""
    repository.connect(github.state.git.path)
    (repository.folder / "deploy" / "locks" / "prefect-3.9.1.txt").unlink()
    (repository.folder / "deploy" / "settings" / "prefect-3.9.1.txt").unlink()
    repository.write("staging")
    repository.write("production", protected=True)
    repository.commit()
    repository.push()
    return repository


@pytest.fixture
def locked(tmp_path):
    """What the second job uploads."""
    folder = tmp_path / "locked"
    for name, text in {
        "deploy/locks/prefect-3.9.1.txt": lock_text(version="3.9.1"),
        "deploy/settings/prefect-3.9.1.txt": SETTINGS,
    }.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def propose(main, github, locked, job, look, outputs, monkeypatch):  # noqa: ARG001 - what it runs in
    """Run the last two jobs after the first one; return what the one that proposes said."""

    def run(tried="success", *, upgrade=None, app=True):
        monkeypatch.setenv("UPGRADE", look()["upgrade"] if upgrade is None else upgrade)
        said, link = None, ""
        if tried == "success" and upgrade != "":
            held = {"login": "roost-acme[bot]"} if app else {}
            monkeypatch.setenv("GITHUB_TOKEN", github.token_for(APP if app else JOB, **held))
            options = ("--open",) if app else ()
            said = job("github", "prefect-pull", *options, "--files", str(locked))
            link = outputs().get("link", "")
        proposed = "skipped" if said is None else "failure" if said.code else "success"
        monkeypatch.setenv("GITHUB_TOKEN", github.token_for(ISSUES))
        results = ("--tried", tried, "--proposed", proposed, "--link", link)
        reported = job("github", "prefect-issue", *results)
        assert reported.code == 0, reported.err
        return said

    return run


# The choice


@pytest.mark.usefixtures("main")
def test_the_next_release_is_chosen_for_what_is_not_protected(look):
    found = look()

    assert (found["version"], found["environments"], found["trial"]) == (
        "3.9.1",
        "staging",
        "staging",
    )
    assert json.loads(found["upgrade"]) == {
        "version": "3.9.1",
        "environments": {"staging": "3.8.8"},
        "left": {"production": "3.8.8"},
        "trial": "staging",
        "mends": [],
    }


@pytest.mark.usefixtures("main")
def test_a_younger_release_is_chosen_when_it_mends_a_vulnerability(index, look):
    index.vulnerable["3.8.8"] = [
        {"id": "PYSEC-9", "aliases": ["CVE-2026-9"], "fixed_in": ["3.9.2"]},
        {"id": "PYSEC-8", "fixed_in": ["3.9.2"], "withdrawn": "2026-11-01T00:00:00Z"},
    ]

    found = json.loads(look()["upgrade"])

    assert (found["version"], found["mends"]) == ("3.9.2", ["CVE-2026-9"])


@pytest.mark.usefixtures("main")
def test_an_index_without_vulnerabilities_still_offers_releases(index, look):
    index.has_vulnerabilities = False

    assert json.loads(look()["upgrade"])["mends"] is None


def test_what_runs_the_newest_release_is_left_alone(repository, look):
    repository.write("staging", prefect={"version": "3.9.1"})

    assert look() == {"version": "", "environments": "", "trial": "", "upgrade": ""}


@pytest.mark.parametrize(
    "fields",
    [
        {"protected": True},
        {"app": "acme-prefect-staging"},  # the example of the template
        {"prefect": {"version": "3.8.8", "image": "prefecthq/prefect:3.8.8-python3.13"}},
    ],
)
def test_what_nobody_may_or_need_change_is_left_alone(repository, look, fields):
    repository.write("staging", fields)

    assert look()["version"] == ""


def test_the_defaults_of_all_environments_are_no_environment(repository, look):
    (repository.environments / "_defaults.yaml").write_text("machine: {memory_mb: 512}\n")
    repository.write("staging")

    assert look()["environments"] == "staging"


def test_the_oldest_environment_says_which_minor_version_is_next(repository, index, look):
    index.add("3.10.0", days_old=15)
    repository.write("staging")
    repository.write("dev", prefect={"version": "3.9.1"})

    assert look()["version"] == "3.9.1"


@pytest.mark.usefixtures("main")
def test_an_index_that_answers_with_a_page_is_named_without_its_login(index, job, monkeypatch):
    index.broken = b"<html>"
    login = index.url.replace("http://", "http://reader:hunter2-secret@")
    monkeypatch.setenv("UV_DEFAULT_INDEX", login)

    refused = job("github", "prefect-look")

    assert refused.code == 1
    assert "127.0.0.1: The package index did not answer with the JSON" in refused.err
    assert "hunter2-secret" not in refused.err + refused.out


# The proposal


def test_the_app_opens_one_pull_request_with_the_file_and_the_locks(github, propose, locked):
    assert propose().code == 0
    assert propose().code == 0  # a run that is started again

    [pull] = github.pulls()
    assert (pull.head_ref, pull.issue.title) == (BRANCH, "Upgrade Prefect to 3.9.1 in staging")
    assert "releases/tag/3.9.1" in pull.issue.body
    assert "`production` (3.8.8)" in pull.issue.body
    assert b"version: 3.9.1" in github.file(STAGING, BRANCH)
    for name in ("deploy/locks/prefect-3.9.1.txt", "deploy/settings/prefect-3.9.1.txt"):
        assert github.file(name, BRANCH) == (locked / name).read_bytes()
    assert b"3.8.8" in github.file("environments/production.yaml", BRANCH)


def test_what_was_not_started_is_not_said_to_have_been(github, main, propose):
    main.write("staging", POSTGRES)
    main.commit()
    main.push()

    assert propose().code == 0

    [pull] = github.pulls()
    assert "was not started yet" in pull.issue.body
    assert "without any token" not in pull.issue.body


def test_an_open_pull_request_stays_as_it_is_when_main_goes_on(github, main, propose, summary):
    propose()
    before = github.head(BRANCH)
    main.write("staging", machine={"memory_mb": 1024})
    main.commit()
    main.push()

    assert propose().code == 0

    assert github.head(BRANCH) == before
    assert "is open already" in summary()


def test_a_security_release_is_named_as_such(github, propose, index):
    index.vulnerable["3.8.8"] = [
        {"id": "PYSEC-9", "aliases": ["CVE-2026-9"], "fixed_in": ["3.9.1"]}
    ]

    assert propose().code == 0

    [pull] = github.pulls()
    assert pull.issue.title == "Security: upgrade Prefect to 3.9.1 in staging"
    assert "`CVE-2026-9`" in pull.issue.body


def test_without_the_app_one_issue_has_the_link_to_open_it(github, propose):
    assert propose(app=False).code == 0
    assert propose(app=False).code == 0

    assert github.pulls() == []
    assert b"version: 3.9.1" in github.file(STAGING, BRANCH)
    [issue] = github.issues()
    assert issue.title == "Upgrade Prefect to 3.9.1 in staging"
    assert f"/compare/main...{BRANCH}?" in issue.body


def test_a_release_that_does_not_start_is_reported_once_and_closed_by_one_that_does(
    github, propose
):
    propose("failure")
    propose("failure")

    [issue] = github.issues()
    assert issue.title == "Prefect 3.9.1 does not start in the server's image"
    assert "actions/runs/77" in issue.body
    assert github.pulls() == []

    assert propose().code == 0
    [closed] = github.issues()
    assert (closed.number, closed.state) == (issue.number, "closed")


def test_nothing_newer_closes_the_issue(github, propose):
    propose("failure")

    propose(upgrade="")

    [issue] = github.issues()
    assert issue.state == "closed"


def test_a_pull_request_that_a_person_closed_stays_closed_until_somebody_asks(
    github, propose, summary, monkeypatch
):
    propose()
    [pull] = github.pulls()
    github.close(pull.number)

    assert propose().code == 0
    assert len(github.pulls()) == 1
    assert f"A person closed [pull request {pull.number}](" in summary()

    monkeypatch.setenv("GITHUB_EVENT_NAME", "workflow_dispatch")
    assert propose().code == 0
    assert len(github.pulls()) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deploy/locks/prefect-3.9.1.txt", "prefect @ https://evil.example/x.whl\n"),
        ("deploy/locks/prefect-3.9.1.txt", "--index-url https://evil.example\n"),
        ("deploy/locks/prefect-3.9.1.txt", "prefect==3.9.1\n"),
        ("deploy/settings/prefect-3.9.1.txt", "PREFECT_HOME path\n<img src=x>\n"),
        ("deploy/settings/prefect-3.9.1.txt", ""),
        ("deploy/settings/prefect-3.9.1.txt", None),
    ],
)
def test_what_the_other_job_wrote_is_checked_before_anything_is_pushed(
    github, propose, locked, name, text
):
    if text is None:
        (locked / name).unlink()
    else:
        (locked / name).write_text(text)

    refused = propose()

    assert refused.code == 1
    assert f"{name}: The job that locks Prefect did not write what it should" in refused.err
    assert github.pulls() == []
    assert github.head(BRANCH) == ""


def test_a_link_in_the_upload_is_not_followed(propose, locked, tmp_path):
    (tmp_path / "secret").write_text("FLY_API_TOKEN=hidden\n")
    path = locked / "deploy/locks/prefect-3.9.1.txt"
    path.unlink()
    path.symlink_to(tmp_path / "secret")

    refused = propose()

    assert refused.code == 1
    assert "leads out of the repository" in refused.err


def test_the_lock_of_extra_packages_is_part_of_the_proposal(github, main, propose, locked):
    main.write("staging", REDIS)
    write_server_lock(main.environments, "staging", lock_text("prefect-redis"))
    main.commit()
    main.push()
    extra = locked / "environments" / "locks" / "staging.txt"
    extra.parent.mkdir(parents=True)
    extra.write_text(lock_text("prefect-redis", version="3.9.1"))

    assert propose().code == 0

    assert github.file("environments/locks/staging.txt", BRANCH) == extra.read_bytes()


@pytest.mark.usefixtures("main")
def test_an_upgrade_that_is_something_else_is_refused(github, job, locked, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", github.token_for(JOB))
    monkeypatch.setenv("UPGRADE", '{"version": "3.9.1; rm -rf /", "environments": {}}')

    refused = job("github", "prefect-pull", "--files", str(locked))

    assert refused.code == 3
    assert "UPGRADE" in refused.err


def test_the_checkout_is_edited_as_it_will_be_proposed(main, job):
    done = job("github", "prefect-edit", "--version", "3.9.1", "--", "staging")

    assert done.code == 0, done.err
    assert "version: 3.9.1" in (main.environments / "staging.yaml").read_text()
