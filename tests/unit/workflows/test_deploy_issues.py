"""The issue of a failed deploy: one for each environment, which the next good deploy closes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.drift_results import SEEN
from helpers.drift_results import run as run_result
from helpers.fake_github import ACTIONS_BOT
from helpers.markdown import kinds
from helpers.plans import HOSTILE
from roost.operations.artifacts import write_document
from roost.plan.approval import Approved
from roost.report.comment import Marker
from roost.report.deploy_issue import Known, deploy_topics
from roost.report.issue import LABEL
from roost.report.outcome import DeployOutcome, Result
from roost.report.plan_layout import LIMIT
from roost.report.standing_issues import standing_topics

URL = "https://acme-staging.fly.dev"
FAILED = sorted(set(Result) - {Result.DEPLOYED, Result.UNCHANGED, Result.SUPERSEDED})


class Main:
    """A branch with `staging` on it, and the job that reports what its deploys came to."""

    def __init__(self, github, repository, job, folder, monkeypatch):
        self.github, self.repository, self.job = github, repository, job
        self.folder, self.env = folder, monkeypatch.setenv
        self.sha = repository.commit()
        repository.push()
        monkeypatch.setenv("GITHUB_SHA", self.sha)

    def report(self, result, *, run="77", code=0, **fields):
        """Run the job that reports, after a job that ended with a result."""
        self.env("GITHUB_RUN_ID", run)
        url = f"https://github.com/acme/infra/actions/runs/{run}"
        outcome = DeployOutcome(
            environment="staging", outcome=result, run_url=url, at=f"2026-11-29T{run}", **fields
        )
        write_document(self.folder / "results", "staging", outcome.document())
        said = self.job("github", "report", "--results", self.folder / "results")
        assert said.code == code, said.err
        return said

    @property
    def issues(self):
        """Each issue: number, title and state."""
        return [(i.number, i.title, i.state) for i in self.github.issues(LABEL)]

    def comments(self, number):
        """The comments of an issue."""
        return [c.body for c in self.github.comments(number)]


@pytest.fixture
def main(github_with_repository, tmp_path, repository, job, monkeypatch):
    """A pushed branch, and a GitHub without an issue."""
    repository.write("staging")
    return Main(github_with_repository, repository, job, tmp_path, monkeypatch)


def test_a_failed_deploy_opens_an_issue_with_what_stands_where_and_the_next_step(main):
    main.report(Result.DEPLOYED, url=URL)

    main.report(
        Result.ROLLED_BACK,
        run="78",
        word="gate-failed",
        app="acme-staging",
        message="The gate failed; the last good release is back.",
    )

    [issue] = main.github.issues(LABEL)
    assert (issue.title, issue.state) == ("Deploy: staging", "open")
    for said in (
        "The deploy of `staging` failed and was rolled back. (`gate-failed`)",
        "The gate failed; the last good release is back.",
        "It runs the release from before this deploy",
        f"Proved last: commit `{main.sha[:10]}`",
        "[78](https://github.com/acme/infra/actions/runs/78)",
        "`./run roost status staging`",
        "kept up to date by the deploy workflow",
    ):
        assert said in issue.body


def test_the_next_good_deploy_closes_it_with_a_line(main):
    main.report(Result.FAILED, word="fly-unavailable")
    [(number, _, _)] = main.issues

    main.report(Result.DEPLOYED, run="78", url=URL)

    assert main.issues == [(number, "Deploy: staging", "closed")]
    [line] = main.comments(number)
    assert "`staging` was deployed and proved." in line
    assert "actions/runs/78" in line


def test_deploys_that_fail_again_update_the_one_issue(main):
    for run, word in (("77", "gate-failed"), ("78", "gate-failed"), ("79", "fly-unavailable")):
        main.report(Result.ROLLED_BACK, run=run, word=word)

    [(number, _, state)] = main.issues
    assert state == "open"
    # The same failure adds no comment; another one does.
    assert len(main.comments(number)) == 1
    assert "runs/79" in main.github.issues(LABEL)[0].body


def test_a_failure_after_a_good_deploy_opens_the_issue_again(main):
    main.report(Result.FAILED)
    main.report(Result.DEPLOYED, run="78", url=URL)

    main.report(Result.FAILED, run="79")

    [(number, _, state)] = main.issues
    assert state == "open"
    assert len(main.comments(number)) == 2


@pytest.mark.parametrize("result", FAILED)
def test_every_failure_has_an_issue(main, result):
    main.report(result)

    assert [state for _, _, state in main.issues] == ["open"]


@pytest.mark.parametrize(
    ("result", "fields"),
    [
        (Result.REFUSED, {"word": "plan-changed"}),
        (Result.REFUSED, {"word": "not-planned"}),
        (Result.SUPERSEDED, {"word": "superseded"}),
        (Result.DEPLOYED, {"left": ("staging.nightly",)}),
    ],
    ids=["plan-changed", "not-planned", "superseded", "left"],
)
@pytest.mark.parametrize("before", [False, True], ids=["no-issue", "open-issue"])
def test_what_neither_failed_nor_is_whole_leaves_the_issues_as_they_are(
    main, result, fields, before
):
    if before:
        main.report(Result.FAILED)
    known = main.issues

    main.report(result, run="78", **fields)

    assert main.issues == known


def test_an_older_run_does_not_overwrite_what_a_newer_one_wrote(main):
    main.report(Result.DEPLOYED, run="76", url=URL)
    main.report(Result.FAILED, run="79")

    main.report(Result.UNCHANGED, run="78")

    assert [state for _, _, state in main.issues] == ["open"]


def test_an_issue_that_somebody_else_wrote_is_not_touched(main):
    main.report(Result.FAILED)
    [mine] = main.github.issues(LABEL)
    forged = main.github.add_issue(mine.title, mine.body, labels=[LABEL], author="mallory")

    main.report(Result.DEPLOYED, run="78", url=URL)

    states = {number: state for number, _, state in main.issues}
    assert states == {mine.number: "closed", forged.number: "open"}


def test_an_issue_whose_answer_was_lost_is_opened_once(main):
    main.github.lose(only="POST .*/issues$")

    main.report(Result.FAILED)

    assert [state for _, _, state in main.issues] == ["open"]


def test_it_names_the_pull_request_whose_comment_is_updated_all_the_same(main):
    pull = main.github.add_pull("main", "old", head_sha=main.sha)
    main.github.mark_merged(pull.number, main.sha)
    pull.base_ref = "main"
    marker = Marker(main.sha, {"staging": Approved("d" * 64, frozenset(), frozenset())})
    main.github.add_comment(pull.number, f"{marker.line()}\n## Roost plan\n", ACTIONS_BOT)

    main.report(Result.NOT_ROLLED_BACK)

    [issue] = main.github.issues(LABEL)
    assert f"Asked for by: #{pull.number}" in issue.body
    assert "`./run roost rollback staging`" in issue.body
    assert "1 environment of 1 not deployed" in main.github.comments(pull.number)[0].body


def test_what_cannot_be_written_fails_after_the_deployment_was_recorded(main):
    allowed = {"contents": "read", "pull-requests": "write", "deployments": "write"}
    main.env("GITHUB_TOKEN", main.github.token_for(allowed))

    said = main.report(Result.DEPLOYED, code=1, url=URL)

    assert "issues" in said.err
    assert main.github.deployed("staging") == [(main.sha, "success", URL)]


def test_the_failure_is_told_once_by_the_job_that_sends_messages(main, outputs):
    main.repository.write("staging", notify=[{"url_secret": "NOTIFY_URL"}])

    main.report(Result.FAILED, message="Fly does not answer.")

    [notice] = json.loads(outputs()["notices"])
    assert (notice["fact"], notice["environment"]) == ("failed", "staging")


def test_the_schedule_closes_it_once_the_file_is_gone_and_not_before(main):
    main.report(Result.FAILED)
    [issue] = main.github.issues(LABEL)
    known = {"deploy/staging": ()}

    kept = standing_topics((), run_result("staging"), known, SEEN)
    gone = standing_topics((), run_result("production"), known, SEEN)
    unread = standing_topics((), run_result("production", notes=("unread",)), known, SEEN)

    assert issue.body.startswith('<!-- roost-drift {"about":"deploy/staging"')
    assert (kept, unread) == ((), ())
    [topic] = gone
    assert (topic.about, topic.is_open) == ("deploy/staging", False)


@given(st.sampled_from(FAILED), st.text(max_size=20_000) | HOSTILE, st.text() | HOSTILE)
def test_no_message_breaks_the_issue_or_brings_markup(result, message, word):
    outcome = DeployOutcome(
        environment="staging",
        outcome=result,
        message=message[:20_000],
        word=word[:500],
        app=word[:500],
    )

    for topic in deploy_topics([outcome], {"staging": Known("a" * 40, 7)}, SEEN):
        assert len(topic.body) < LIMIT
        assert kinds(topic.body, "image") == []
        assert {t.content for t in kinds(topic.body, "html_inline")} <= {"<code>", "</code>"}
        links = {t.attrs["href"] for t in kinds(topic.body, "link_open")}
        assert links <= {SEEN.run_url}
