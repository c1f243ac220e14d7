"""Deployments on GitHub: what was deployed and proved is recorded, once, and nothing else is."""

from __future__ import annotations

import json

import pytest

from helpers.fake_github import ACTIONS_BOT
from roost.operations.artifacts import write_document
from roost.plan.approval import Approved
from roost.report.comment import Marker
from roost.report.outcome import DeployOutcome, Result

URL = "https://acme-staging.fly.dev"
EARLY, LATE = "2026-11-29T10:00:00+00:00", "2026-11-29T11:00:00+00:00"


class Main:
    """A branch with `staging` on it, and the jobs that record what came of a deploy."""

    def __init__(self, github, repository, job, folder, monkeypatch):
        self.github, self.repository, self.job = github, repository, job
        self.folder, self.env = folder, monkeypatch.setenv

    def push(self):
        """Push what is there; the next jobs are of a run that this started."""
        self.sha = self.repository.commit()
        self.repository.push()
        self.env("GITHUB_SHA", self.sha)
        return self.sha

    def report(self, result=Result.DEPLOYED, at=EARLY, **fields):
        """Run the job that reports, after one that deployed `staging`."""
        outcome = DeployOutcome(environment="staging", outcome=result, url=URL, at=at, **fields)
        write_document(self.folder / "results", "staging", outcome.document())
        return self.job("github", "report", "--results", self.folder / "results")

    @property
    def deployed(self):
        """What GitHub shows: commit, state and address of each deployment."""
        return self.github.deployed("staging")


@pytest.fixture
def main(github_with_repository, tmp_path, repository, job, monkeypatch):
    """A pushed branch, and a GitHub that knows of no deployment yet."""
    repository.write("staging")
    found = Main(github_with_repository, repository, job, tmp_path, monkeypatch)
    found.push()
    return found


def test_a_proved_deploy_is_a_deployment_of_its_commit_with_its_address(main):
    said = main.report(digest="d" * 64)

    assert said.code == 0, said.err
    assert main.deployed == [(main.sha, "success", URL)]
    [made] = main.github.state.deployments.values()
    assert made["payload"] == {"run": "77", "at": EARLY, "digest": "d" * 64}
    assert made["statuses"][0]["log_url"] == "https://github.com/acme/infra/actions/runs/77"
    assert f"Recorded the deployment of {main.sha[:10]} to staging." in said.out


@pytest.mark.parametrize("result", sorted(set(Result) - {Result.DEPLOYED}))
def test_no_other_outcome_is_a_deployment(main, result):
    assert main.report(result).code == 0

    assert main.deployed == []


def test_what_sleeps_and_was_not_proved_is_no_deployment(main):
    assert main.report(unproved=True).code == 0

    assert main.deployed == []


def test_a_report_that_runs_again_records_nothing_twice(main):
    main.report()

    again = main.report()

    assert again.code == 0
    assert "is recorded already" in again.out
    assert main.deployed == [(main.sha, "success", URL)]


@pytest.mark.parametrize("lost", ["POST .*/deployments$", "POST .*/statuses$"])
def test_a_record_whose_answer_was_lost_is_made_once(main, lost):
    main.github.lose(only=lost)

    assert main.report().code == 0

    assert main.deployed == [(main.sha, "success", URL)]
    [made] = main.github.state.deployments.values()
    assert len(made["statuses"]) == 1


def test_the_next_deployment_ends_the_one_before_it(main):
    first = main.sha
    main.report()
    main.env("GITHUB_RUN_ID", "78")
    second = main.push()

    main.report(at=LATE)

    assert main.deployed == [(first, "inactive", URL), (second, "success", URL)]


def test_a_report_that_runs_again_much_later_does_not_end_what_is_deployed_since(main):
    """Its first try failed, and somebody runs the failed job again after another deploy."""
    main.env("GITHUB_RUN_ID", "78")
    newer = main.sha
    main.report(at=LATE)
    main.env("GITHUB_RUN_ID", "77")
    main.push()

    said = main.report(at=EARLY)

    assert said.code == 0
    assert "is not recorded: a newer one is" in said.out
    assert main.deployed == [(newer, "success", URL)]


def test_a_record_that_was_begun_and_not_ended_is_ended_by_the_next_try(main):
    main.github.fail(404, only="POST .*/statuses$")
    assert main.report().code == 1
    assert main.deployed == [(main.sha, "pending", "")]

    assert main.report().code == 0

    assert main.deployed == [(main.sha, "success", URL)]


def test_what_cannot_be_recorded_fails_and_says_which_permission_is_missing(main):
    main.env("GITHUB_TOKEN", main.github.token_for({"contents": "read", "pull-requests": "write"}))

    said = main.report()

    assert said.code == 1
    assert "deployments" in said.err
    # The comments were looked for all the same.
    assert "No pull request with a plan brought this commit." in said.out


def test_a_rollback_records_the_commit_that_is_back(main):
    first = main.sha
    main.report()
    main.env("GITHUB_RUN_ID", "78")
    second = main.push()
    main.report(at=LATE)
    main.env("GITHUB_RUN_ID", "79")

    said = main.job("github", "deployed", "--sha", first, "--url", URL, "--", "staging")

    assert said.code == 0, said.err
    assert main.deployed == [
        *((first, "inactive", URL), (second, "inactive", URL), (first, "success", URL)),
    ]


@pytest.mark.parametrize("sha", ["", "main", "abc123", "A" * 40, "--help"])
def test_what_is_no_commit_is_not_recorded(main, sha):
    said = main.job("github", "deployed", f"--sha={sha}", "--", "staging")

    assert said.code == 3
    assert "is not the whole hash of a commit" in said.err
    assert main.github.changes() == []


def test_what_is_destroyed_is_deployed_no_more(main):
    main.report()

    said = main.job("github", "undeployed", "--", "staging")

    assert said.code == 0, said.err
    assert [(sha, state) for sha, state, _ in main.deployed] == [(main.sha, "inactive")]
    assert main.job("github", "undeployed", "--", "staging").out == ""


# More environments than GitHub starts jobs for


@pytest.fixture
def crowded(main):
    """A merge of 300 environments, of which 256 had a job and were deployed."""
    names = [f"e{number:03}" for number in range(300)]
    main.pull = main.github.add_pull("main", "old", head_sha=main.sha)
    main.github.mark_merged(main.pull.number, main.sha)
    main.pull.base_ref = "main"
    marker = Marker(main.sha, {n: Approved("d" * 64, frozenset(), frozenset()) for n in names[:9]})
    main.github.add_comment(main.pull.number, f"{marker.line()}\n## Roost plan\n", ACTIONS_BOT)
    for name in names[:256]:
        outcome = DeployOutcome(
            environment=name,
            app=f"acme-{name}",
            outcome=Result.UNCHANGED,
            url=f"https://acme-{name}.fly.dev",
            digest="d" * 64,
            run_url="https://github.com/acme/infra/actions/runs/77",
            at=EARLY,
        )
        write_document(main.folder / "results", name, outcome.document())
    main.env("ENVIRONMENTS", json.dumps(names))
    main.env("OPEN", json.dumps(names[:256]))
    main.env("PROTECTED", "[]")
    return main


def test_what_had_no_job_is_told_as_not_deployed_with_the_way_to_deploy_it(crowded, summary):
    said = crowded.job("github", "report", "--results", crowded.folder / "results")

    [comment] = crowded.github.comments(crowded.pull.number)
    assert said.code == 1
    assert (
        "this run left 44 environments. Start a run for each: `for name in e256 e257 " in said.out
    )
    assert "do gh workflow run deploy.yml -f environment=$name; done" in summary()
    assert "did not get so far" not in said.out
    assert "the run had none for it. Run the deploy workflow for it." in summary()
    assert "`e299`" in comment.body
