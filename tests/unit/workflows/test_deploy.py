"""From a pull request to a deploy: what is shown, what counts as approved, and what is told in the end.

The secrets workflow is here too, because it asks what a deploy asks: whether a newer commit's run comes.
"""

from __future__ import annotations

import json
import shutil
from functools import partial

import httpx
import pytest
import stamina

from helpers.deploy_jobs import DeployJobs
from helpers.fake_fly import FakeFly
from helpers.fake_github import ACTIONS_BOT, FakeGitHub
from helpers.fake_prefect import LOGIN, FakePrefect, opens, say
from helpers.fake_registry import full_registry
from helpers.server_locks import lock_text, write_server_lock
from helpers.step_outputs import outputs_in
from roost.apply import gate
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient
from roost.github import actions
from roost.operations.artifacts import write_document
from roost.plan.approval import Approved
from roost.report.comment import Marker, read_marker
from roost.report.outcome import DeployOutcome, Result
from roost.workflows import merges
from roost.workflows.merges import WEB_FLOW
from roost.workflows.remote_checkout import MOST_FILES

NAME, APP = "prefect", "acme-server"
LARGER = {"machine": {"memory_mb": 1024}}


@pytest.fixture
def fly(monkeypatch, clients):
    """The Fly that commands talk to."""
    found = FakeFly()
    found.name = APP
    clients.use(
        fly=partial(FlyClient, transport=httpx.MockTransport(found)), registry=full_registry
    )
    monkeypatch.setenv("FLY_API_TOKEN", "fm2_token")
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    with stamina.set_testing(True, attempts=2, cap=True):
        yield found


@pytest.fixture(autouse=True)
def prefect(monkeypatch, clients):
    """The server that answers at every address."""
    found = FakePrefect()
    clients.use(prefect=opens(found))
    monkeypatch.setattr(gate, "WATCH_S", 0.01)
    return found


class Story(DeployJobs):
    """One repository on GitHub, and the jobs of its workflows, one after the other."""

    name = NAME

    def __init__(self, github, repository, job, folder, monkeypatch):
        self.github, self.repository, self.job, self.folder = github, repository, job, folder
        self.env = monkeypatch.setenv
        self.number = 0
        self.pull = None
        self.branch = "change"

    def write(self, *parts, **fields):
        """Write the one environment."""
        return self.repository.write(NAME, {"app": APP}, *parts, **fields)

    def push(self, branch="main"):
        """Commit what is there to a branch, push it, and have the next jobs run on it."""
        sha, before = self.repository.commit(), self.github.head(branch)
        self.repository.push(branch, sha)
        self.pushed(before, sha)
        return sha

    def pushed(self, before, sha, committer="ada"):
        """Have the next jobs be of the run that a push started."""
        event = {"before": before, "head_commit": {"id": sha, "committer": {"username": committer}}}
        (self.folder / "event").write_text(json.dumps(event))
        self.env("GITHUB_EVENT_NAME", "push")
        self.env("GITHUB_SHA", sha)

    def run_of(self, sha):
        """Have the next jobs run on an earlier commit, in a checkout of it."""
        self.repository.git("checkout", "--quiet", "--detach", sha)
        self.env("GITHUB_SHA", sha)

    def overtake(self, change):
        """Push one commit, then another one with a change; the next jobs are the first one's."""
        self.write(LARGER)
        old = self.push()
        change()
        self.push()
        self.run_of(old)

    def plan(self):
        """Run the jobs of a pull request: those that plan, and the one that comments."""
        head = self.push(self.branch)
        self.pull = self.pull or self.github.add_pull(self.branch)
        return self.plan_of(head)[0]

    def plan_again(self, head):
        """Run the jobs of a commit of the pull request again; the next jobs are who they would have been."""
        event = (self.folder / "event").read_text()
        _, said = self.plan_of(head)
        (self.folder / "event").write_text(event)
        return said

    def plan_of(self, head):
        """Run the jobs of a commit of the pull request; return what both said."""
        self.number += 1
        plans = self.folder / f"plans-{self.number}"
        url = f"https://github.com/acme/infra/pull/{self.pull.number}"
        event = {"number": self.pull.number, "head": {"sha": head}, "html_url": url}
        (self.folder / "event").write_text(json.dumps({"pull_request": event}))
        self.env("ENVIRONMENTS", json.dumps([NAME]))
        said = self.job("github", "plan", "--results", plans)
        self.env("PLANNED", outputs_in(self.folder / "output")["planned"])
        done = self.job("github", "comment", "--plans", plans, "--rehearsals", self.folder / "none")
        assert done.code == 0, done.err
        return said, done

    def merge(self):
        """Press the button, and have the next jobs run on what it made; the comment was read before."""
        self.github.pass_time()
        before = self.github.head()
        sha = self.github.merge_pull(self.pull.number, method="squash")
        self.pushed(before, sha, WEB_FLOW)
        return sha

    def begin(self, branch):
        """Begin another pull request, from main as it is now."""
        self.checkout()
        self.branch, self.pull = branch, None

    def about_another(self, branch="another"):
        """Open a pull request whose comment is about another environment, and return it."""
        self.begin(branch)
        (self.repository.folder / f"{branch}.md").write_text("more")
        head = self.push(branch)
        pull = self.github.add_pull(branch)
        marker = Marker(head, {"demo": Approved("d" * 64, frozenset(), frozenset())})
        self.github.add_comment(pull.number, f"{marker.line()}\n## Roost plan\n", ACTIONS_BOT)
        return pull

    def merge_at_once(self, *pulls, method="squash"):
        """Merge as a queue does: several pull requests, and one push."""
        self.github.pass_time()
        before = self.github.head()
        for pull in pulls:
            sha = self.github.merge_pull(pull.number, method=method)
        self.checkout()
        self.pushed(before, sha, WEB_FLOW)

    def checkout(self):
        """Have main's files here."""
        self.repository.git("fetch", "--quiet", "origin", "main")
        self.repository.git("reset", "--quiet", "--hard", "FETCH_HEAD")

    @property
    def comment(self):
        """The one comment of the pull request."""
        return self.comment_of(self.pull)

    def comment_of(self, pull):
        """The one comment of a pull request."""
        [found] = self.github.comments(pull.number)
        return found.body

    def asked(self, path):
        """How often GitHub was asked for what has this in its path."""
        return sum(path in call.path for call in self.github.calls)


@pytest.fixture
def story(tmp_path, repository, job, fly, monkeypatch):  # noqa: ARG001 - stands behind the jobs
    """A repository whose main branch has one environment, not deployed yet."""
    with FakeGitHub() as github:
        monkeypatch.setenv("GITHUB_API_URL", github.url)
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event"))
        repository.connect(github.state.git.path)
        found = Story(github, repository, job, tmp_path, monkeypatch)
        found.write()
        found.push()
        yield found


@pytest.fixture
def deployed(story):
    """The same, deployed by a push."""
    said, _ = story.deploy()
    assert said.code == 0
    return story


def test_a_plan_becomes_one_comment_and_the_next_push_edits_it(deployed):
    deployed.write(LARGER)
    assert deployed.plan().code == 0
    assert "`512` \u2192 `1024`" in deployed.comment

    deployed.write({"machine": {"memory_mb": 2048}})
    deployed.plan()

    assert "`512` \u2192 `2048`" in deployed.comment
    assert "`1024`" not in deployed.comment


def test_what_was_merged_is_deployed_and_the_comment_says_so(deployed, fly, outputs, summary):
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()

    said, outcome = deployed.deploy()

    [machine] = fly.machines.values()
    assert (said.code, outcome["outcome"]) == (0, "deployed")
    assert machine["config"]["guest"]["memory_mb"] == 1024
    assert (outputs()["outcome"], outputs()["url"]) == ("deployed", f"https://{APP}.fly.dev")
    assert "## Deployed" in deployed.comment
    assert "## Roost plan" in deployed.comment
    assert "deployed and proved" in summary()


def test_nothing_is_deployed_twice(deployed, fly):
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()
    deployed.deploy()
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "unchanged")
    assert fly.changes == before


def test_what_nobody_was_shown_is_not_done(deployed, fly):
    """Somebody changed the machine by hand between the plan and the merge."""
    deployed.write(LARGER)
    deployed.plan()
    [machine] = fly.machines.values()
    machine["config"]["env"]["PREFECT_LOGGING_LEVEL"] = "DEBUG"
    deployed.merge()
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"], outcome["word"]) == (1, "refused", "plan-changed")
    assert "machine/app-1: update the machine app-1" in outcome["message"]
    assert outcome["digest"] in outcome["message"]
    assert fly.changes == before
    assert "**not applied**" in deployed.comment
    assert any(line.startswith("::error title=plan-changed::") for line in said.out.splitlines())


def test_a_person_who_read_the_new_plan_approves_it_by_its_digest(deployed, fly):
    deployed.write(LARGER)
    deployed.plan()
    [machine] = fly.machines.values()
    machine["config"]["env"]["PREFECT_LOGGING_LEVEL"] = "DEBUG"
    deployed.merge()
    _, refused = deployed.deploy()

    wrong, stale = deployed.by_hand("--digest", "0" * 64)
    assert " is live, deployed at " in stale["message"]
    said, outcome = deployed.by_hand("--digest", refused["digest"])

    assert wrong.code == 1
    assert (said.code, outcome["outcome"]) == (0, "deployed")
    assert "## Deployed" in deployed.comment


def test_a_commit_that_came_after_the_plan_is_not_approved(deployed, fly):
    deployed.write(LARGER)
    deployed.plan()
    deployed.write({"machine": {"memory_mb": 2048}})
    deployed.push("change")
    deployed.merge()
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert "shows the plan of an older commit" in said.err
    assert fly.changes == before


def test_a_comment_that_somebody_else_wrote_approves_nothing(deployed):
    deployed.write(LARGER)
    deployed.plan()
    [ours] = deployed.github.comments(deployed.pull.number)
    deployed.github.add_comment(deployed.pull.number, ours.body, author="mallory")
    deployed.github.state.all_comments.pop(ours.id)
    deployed.merge()

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert "shows no plan" in said.err


@pytest.fixture
def edited(deployed):
    """A merge whose comment somebody edited before it was deployed, so that it approves more."""
    deployed.write(LARGER)
    deployed.plan()
    [comment] = deployed.github.comments(deployed.pull.number)
    deployed.github.edit_comment(comment, comment.body.replace("512", "256"), "mallory")
    deployed.merge()
    return deployed


def test_a_comment_that_somebody_edited_approves_nothing_and_says_who_it_was(edited, fly):
    """Whoever may write to the repository may edit it, and its author stays the bot."""
    before = list(fly.changes)

    said, outcome = edited.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert f"comment of pull request {edited.pull.number} was edited by mallory" in said.err
    assert outcome["digest"] in said.err
    assert fly.changes == before


def test_a_comment_that_somebody_edited_is_not_made_the_bot_s_again_by_the_report(edited):
    mallorys = edited.comment
    edited.deploy()

    said, outcome = edited.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert edited.comment == mallorys
    told = reported(edited, NAME)
    assert "Did not update" in told.out
    assert "because mallory edited it" in told.out


def test_what_was_edited_and_planned_again_is_the_bot_s_and_approves(deployed):
    deployed.write(LARGER)
    deployed.plan()
    [comment] = deployed.github.comments(deployed.pull.number)
    deployed.github.edit_comment(comment, "<!-- roost-plan -->", "mallory")
    deployed.plan()
    deployed.merge()

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "deployed")


def test_where_github_does_not_say_who_edited_the_comment_it_approves_nothing(deployed, fly):
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()
    deployed.github.fail(403, only="/graphql", message="Resource not accessible by integration")
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert "The author of the comment of pull request" in said.err
    assert "Resource not accessible by integration" in said.err
    assert outcome["digest"] in said.err
    assert fly.changes == before


# When the comment was written


def by_hand_at_fly(fly):
    """Change the machine, so that the next plan is another one."""
    [machine] = fly.machines.values()
    machine["config"]["env"]["PREFECT_LOGGING_LEVEL"] = "DEBUG"


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "unreadable"])
def test_a_plan_that_is_stale_says_which_pull_request_brought_what_is_live(deployed, fly, readable):
    deployed.write(LARGER)
    deployed.plan()
    first, commit = deployed.pull.number, deployed.merge()
    deployed.deploy()
    deployed.begin("second")
    deployed.write({"machine": {"memory_mb": 2048}})
    deployed.plan()
    by_hand_at_fly(fly)
    deployed.merge()
    if not readable:
        deployed.github.fail(404, times=9, only=f"commits/{commit}/pulls")

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "plan-changed")
    assert "machine/app-1: update the machine app-1" in outcome["message"]
    assert f"Release 2 of commit {commit[:10]} is live, deployed at " in outcome["message"]
    assert (f" by pull request {first}." in outcome["message"]) == readable


@pytest.mark.parametrize("end", ["merge", "close"])
def test_a_plan_that_is_run_again_after_the_end_leaves_the_comment_as_it_was(
    deployed, fly, summary, end
):
    """Else the merge would approve afterwards what nobody saw before it."""
    deployed.write(LARGER)
    deployed.plan()
    head, before = deployed.pull.head_sha, deployed.comment
    if end == "merge":
        deployed.merge()
    else:
        deployed.github.close(deployed.pull.number)
    by_hand_at_fly(fly)

    said = deployed.plan_again(head)

    assert deployed.comment == before
    state = {"merge": "merged", "close": "closed"}[end]
    told = f"Pull request {deployed.pull.number} is {state}, so its comment stays as it is."
    assert told in " ".join(said.out.split())
    assert told in summary()
    if end == "merge":
        _, outcome = deployed.deploy()
        assert (outcome["outcome"], outcome["word"]) == ("refused", "plan-changed")


def test_a_run_of_an_older_commit_leaves_the_comment_to_the_run_of_the_newest(deployed):
    deployed.write(LARGER)
    deployed.plan()
    older = deployed.pull.head_sha
    deployed.write({"machine": {"memory_mb": 2048}})
    deployed.plan()
    before = deployed.comment

    said = deployed.plan_again(older)

    assert deployed.comment == before
    assert "has a newer commit, so its comment" in " ".join(said.out.split())


def test_a_pull_request_that_is_opened_again_is_planned_again(deployed):
    deployed.write(LARGER)
    deployed.plan()
    before = deployed.comment
    deployed.github.close(deployed.pull.number)
    deployed.github.state.pulls[deployed.pull.number].issue.state = "open"
    deployed.write({"machine": {"memory_mb": 2048}})
    deployed.plan()

    assert deployed.comment != before
    deployed.merge()
    said, outcome = deployed.deploy()
    assert (said.code, outcome["outcome"]) == (0, "deployed"), said.err


def write_comment_after(story, seconds):
    """Merge, and have the comment's last text come so much after the merge, as where both race."""
    story.write(LARGER)
    story.plan()
    [comment] = story.github.comments(story.pull.number)
    body = comment.body
    story.merge()
    story.github.pass_time(seconds)
    story.github.edit_comment(comment, body, ACTIONS_BOT)
    return comment


@pytest.mark.parametrize("seconds", [0, 1, 60])
def test_a_comment_that_was_written_after_the_merge_approves_nothing(deployed, fly, seconds):
    """In the same second too: it may have been after it, and nobody can have read it before."""
    write_comment_after(deployed, seconds)
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert f"The comment of pull request {deployed.pull.number} was not written before" in said.err
    assert outcome["digest"] in said.err
    assert fly.changes == before


def test_a_comment_that_was_made_after_the_merge_approves_nothing(deployed):
    comment = write_comment_after(deployed, 5)
    deployed.github.state.all_comments.pop(comment.id)
    deployed.github.add_comment(deployed.pull.number, comment.body, ACTIONS_BOT)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")


def test_the_report_takes_out_what_it_cannot_see_was_written_before_the_merge(deployed):
    """Its own text is written after the merge, too, and would else be taken for checked."""
    write_comment_after(deployed, 5)
    first, _ = deployed.deploy()
    assert "**not applied**" in deployed.comment
    assert read_marker(deployed.comment).approved == {}

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert "was not written before" in first.err
    assert "was not written before" in said.err


def test_a_deploy_that_failed_is_approved_still_when_it_runs_again(deployed, fly):
    """The report has written into the comment since, and says that it looked before it did."""
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()
    deployed.github.pass_time()
    reported(deployed, NAME, results="none")
    assert "**not deployed**" in deployed.comment

    deployed.github.pass_time()
    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "deployed"), said.err
    deployed.github.pass_time()
    by_hand_at_fly(fly)
    _, outcome = deployed.deploy()
    assert outcome["word"] == "plan-changed"


# What the comment has no room for


LONG = "PREFECT_LOGGING_FORMATTERS_STANDARD_FORMAT"
"""A setting that takes any text."""


def test_what_the_comment_cuts_is_whole_on_the_page_of_the_run(deployed, summary):
    value = "x" * 200
    deployed.write({"prefect": {"settings": {LONG: value}}})
    deployed.plan()

    assert value not in deployed.comment
    assert "(200 characters, sha256 " in deployed.comment
    assert (
        "[the summary of the run](https://github.com/acme/infra/actions/runs/77)"
        in deployed.comment
    )
    assert f"`{value}`" in summary()


def test_beyond_what_github_shows_the_page_of_the_run_names_the_artifact(
    deployed, summary, monkeypatch
):
    monkeypatch.setattr(actions, "MAX_SUMMARY", len(summary()) + 2_000)
    deployed.write({"prefect": {"settings": {LONG: "x" * 2_000}}})
    deployed.plan()

    assert "The JSON files in the artifact `plans` of this run have the whole plans." in summary()


def too_long(story, fly):
    """Merge a plan that has no room in the comment: it warns in very long words."""
    kinds = ("DEBUG", "JSON", "SIMPLE", "STANDARD")
    long = {f"PREFECT_LOGGING_FORMATTERS_{kind}_FORMAT": "*" * 15_000 for kind in kinds}
    [machine] = fly.machines.values()
    machine["config"]["env"].update(dict.fromkeys(long, "somebody's"))
    ignored = [{"field": f"env.{name}", "reason": "set by hand"} for name in long]
    story.write(LARGER, {"prefect": {"settings": long}, "drift": {"ignore": ignored}})
    story.plan()
    story.merge()


def test_a_plan_that_has_no_room_is_refused_with_the_reason_and_deployed_by_its_digest(
    deployed, fly
):
    too_long(deployed, fly)
    assert "merging does not approve them" in deployed.comment

    refused, outcome = deployed.deploy()
    assert (refused.code, outcome["word"]) == (1, "not-planned")
    assert f"The plan of {NAME} was too long for the comment of pull request" in refused.err
    assert outcome["digest"] in deployed.comment

    said, outcome = deployed.by_hand("--digest", outcome["digest"])
    assert (said.code, outcome["outcome"]) == (0, "deployed"), said.err


# Several pull requests that a queue merges at once


@pytest.mark.parametrize("method", ["squash", "merge"])
def test_of_pull_requests_that_a_queue_merged_at_once_each_approves_its_own(deployed, fly, method):
    deployed.write(LARGER)
    deployed.plan()
    one, other = deployed.pull, deployed.about_another()
    untouched = deployed.comment_of(other)
    deployed.merge_at_once(one, other, method=method)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "deployed"), said.err
    assert [m["config"]["guest"]["memory_mb"] for m in fly.machines.values()] == [1024]
    assert "## Deployed" in deployed.comment_of(one)
    assert deployed.comment_of(other) == untouched


def both_about_it(story, change):
    """Merge two pull requests at once that change the one environment, each from the same main."""
    story.write(LARGER)
    story.plan()
    one = story.pull
    story.begin("second")
    change(story)
    story.plan()
    other = story.pull
    story.merge_at_once(one, other)
    return one, other


def longer_kept(story):
    """At the other end of the file, so that git merges both."""
    path = story.repository.environments / f"{NAME}.yaml"
    path.write_text(
        f"database: {{backend: sqlite, snapshot_retention_days: 9}}\n{path.read_text()}"
    )


def louder(story):
    story.write({"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}})


def test_steps_that_two_pull_requests_of_a_queue_showed_are_done_together(deployed, fly):
    one, other = both_about_it(deployed, longer_kept)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "deployed"), said.err
    assert [v["snapshot_retention"] for v in fly.volumes.values()] == [9]
    assert [m["config"]["guest"]["memory_mb"] for m in fly.machines.values()] == [1024]
    for pull in (one, other):
        assert "## Deployed" in deployed.comment_of(pull)


def test_a_step_that_none_of_a_queue_s_pull_requests_showed_is_refused_and_told_in_each(deployed):
    """Each changed the machine, and nobody saw both changes as one."""
    one, other = both_about_it(deployed, louder)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "plan-changed")
    assert f"pull requests {one.number} and {other.number} is not what would be done" in said.err
    for pull in (one, other):
        assert "**not applied**" in deployed.comment_of(pull)


def test_of_a_queue_s_pull_requests_one_whose_plan_is_of_an_older_commit_approves_nothing(
    deployed, fly
):
    deployed.write(LARGER)
    deployed.plan()
    one = deployed.pull
    deployed.write({"machine": {"memory_mb": 2048}})
    deployed.push("change")
    deployed.merge_at_once(one, deployed.about_another())
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert f"Pull request {one.number} shows the plan of an older commit" in said.err
    assert fly.changes == before


def test_one_pull_request_alone_is_approved_without_a_look_at_other_commits(deployed):
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()
    before = len(deployed.github.calls)

    deployed.job("github", "deploy", NAME)

    asked = [str(call).rpartition("/infra/")[2] for call in deployed.github.calls[before:]]
    head = deployed.github.head()
    number = deployed.pull.number
    assert [path for path in asked if "git/ref" not in path] == [
        f"commits/{head}/pulls",
        f"issues/{number}/comments",
        "POST /graphql",
    ]


@pytest.mark.usefixtures("at_once")
@pytest.mark.usefixtures("at_once")
def test_a_pull_request_that_was_merged_into_another_branch_approves_nothing_here(deployed):
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()
    deployed.github.state.pulls[deployed.pull.number].base_ref = "release"

    said, _ = deployed.deploy("--strict")

    assert said.code == 1
    assert "came without a pull request" in said.err


# What GitHub does not know yet


@pytest.fixture
def at_once(monkeypatch):
    """No wait between asking again."""
    monkeypatch.setattr(merges, "LAG_S", (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("at_once")
def test_a_merge_whose_pull_request_github_does_not_know_yet_is_asked_for_again(deployed):
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()
    deployed.github.state.index_lag = 3

    said, outcome = deployed.deploy("--strict")

    assert (said.code, outcome["outcome"]) == (0, "deployed"), said.err


@pytest.mark.usefixtures("at_once")
def test_a_commit_that_a_person_made_is_asked_for_once(deployed):
    deployed.write(LARGER)
    deployed.push()
    before = deployed.asked("/pulls")

    said = deployed.job("github", "deploy", NAME)

    assert said.code == 0
    assert deployed.asked("/pulls") == before + 1


# By hand


def test_a_deploy_by_hand_without_a_pull_request_needs_the_digest_of_the_plan(deployed, fly):
    """Else what a merge was refused would be let through by the next push without one."""
    deployed.write(LARGER)
    deployed.push()
    before = list(fly.changes)

    refused, outcome = deployed.by_hand()

    assert (refused.code, outcome["word"]) == (1, "not-planned")
    assert "this deploy needs the digest of the plan" in refused.err
    assert outcome["digest"] in refused.err
    assert fly.changes == before
    said, outcome = deployed.by_hand("--digest", outcome["digest"])
    assert (said.code, outcome["outcome"]) == (0, "deployed")


def test_a_deploy_by_hand_is_told_where_the_environment_was_changed_last(deployed, fly):
    deployed.write(LARGER)
    deployed.plan()
    one = deployed.pull
    [machine] = fly.machines.values()
    machine["config"]["env"]["PREFECT_LOGGING_LEVEL"] = "DEBUG"
    deployed.merge()
    _, refused = deployed.deploy()
    assert "**not applied**" in deployed.comment_of(one)
    other = deployed.about_another()
    untouched = deployed.comment_of(other)
    deployed.merge_at_once(other)

    said, _ = deployed.by_hand("--digest", refused["digest"])

    assert said.code == 0, said.err
    assert "## Deployed" in deployed.comment_of(one)
    assert deployed.comment_of(other) == untouched


def test_a_deploy_by_hand_that_no_comment_is_about_stands_on_the_page_of_its_run(deployed, summary):
    other = deployed.about_another()
    untouched = deployed.comment_of(other)
    deployed.merge_at_once(other)

    said, outcome = deployed.by_hand()

    assert (said.code, outcome["outcome"]) == (0, "unchanged")
    assert deployed.comment_of(other) == untouched
    assert "nothing to do" in summary()


# After the others


@pytest.mark.parametrize(
    ("left", "code", "result"),
    [
        (Result.DEPLOYED, 0, "deployed"),
        (Result.UNCHANGED, 0, "deployed"),
        (Result.SUPERSEDED, 1, "refused"),
        (None, 1, "refused"),
    ],
)
def test_what_is_protected_waits_for_a_proof_that_an_overtaken_run_did_not_give(
    deployed, fly, left, code, result
):
    deployed.write(LARGER, protected=True)
    deployed.plan()
    deployed.merge()
    folder = deployed.folder / "proved"
    deployed.env("OPEN", '["staging"]')
    if left is not None:
        outcome = DeployOutcome(environment="staging", outcome=left)
        write_document(folder, "staging", outcome.document())
    before = list(fly.changes)

    said, outcome = deployed.deploy("--strict", "--after", folder)

    assert (said.code, outcome["outcome"]) == (code, result), said.err
    if code:
        assert outcome["word"] == "not-proved"
        assert "The change was not proved in this run" in said.err
        assert "Wait until staging is proved" in said.err
        assert fly.changes == before
        assert "**not applied**" in deployed.comment


# Pushes


def test_a_push_without_a_pull_request_deploys_what_is_not_protected(deployed):
    deployed.write(LARGER)
    deployed.push()

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "deployed")
    assert "the person who pushed it approved it" in said.err


@pytest.mark.parametrize(
    ("fields", "options"), [({"protected": True}, ()), ({}, ("--strict",))], ids=["now", "before"]
)
def test_a_push_without_a_pull_request_is_refused_for_what_is_protected(
    deployed, fly, fields, options
):
    deployed.write(LARGER, **fields)
    deployed.push()
    before = list(fly.changes)

    said, outcome = deployed.deploy(*options)

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert "came without a pull request" in said.err
    assert fly.changes == before


def test_a_run_that_was_overtaken_does_nothing_and_is_no_failure(deployed, fly):
    deployed.overtake(lambda: deployed.write({"machine": {"memory_mb": 2048}}))
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "superseded")
    assert f"changes environments/{NAME}.yaml" in said.out
    assert "The run of that commit deploys it." in said.out
    assert fly.changes == before


def comment_in_the_file(folder):
    path = folder / "environments" / f"{NAME}.yaml"
    path.write_text(f"# Larger, for the demo.\n{path.read_text()}")


def default_of_others(folder):
    """Of what this environment's file says itself."""
    (folder / "environments" / "_defaults.yaml").write_text("region: ams\n")


def new_lock(folder):
    shutil.copy(
        folder / "deploy/locks/prefect-3.8.8.txt", folder / "deploy/locks/prefect-3.9.0.txt"
    )


def lock_of_others(folder):
    write_server_lock(folder / "environments", "other", lock_text("prefect-redis"))


def new_prices(folder):
    path = folder / "deploy/prices.yaml"
    path.write_text(f"{path.read_text()}# looked at again\n")


def other_environment(folder):
    path = folder / "environments" / f"{NAME}.yaml"
    other = path.read_text().replace(APP, f"{APP}-2")
    path.with_name("other.yaml").write_text(other)


def words(folder):
    (folder / "README.md").write_text("more")


@pytest.mark.parametrize(
    "change",
    [
        *(comment_in_the_file, default_of_others, new_lock, new_prices, other_environment, words),
        lock_of_others,
    ],
)
def test_a_newer_commit_whose_run_would_not_deploy_it_overtakes_nobody(deployed, change):
    """Both sides judge by what the files mean; else what waits for its reviewer is left to nobody."""
    folder = deployed.repository.folder
    deployed.overtake(lambda: change(folder))
    old = deployed.repository.git("rev-parse", "HEAD")

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "deployed")
    deployed.repository.git("checkout", "--quiet", "main")
    would = deployed.job("github", "changed", "--base", old, "--json")
    assert NAME not in json.loads(would.out)["environments"]


def default_that_reaches_it(folder):
    (folder / "environments" / "_defaults.yaml").write_text("prune: true\n")


def part_of_its_image(folder):
    path = folder / "deploy/server.py"
    path.write_text(f"{path.read_text()}# another byte\n")


def protection(folder):
    path = folder / "environments" / f"{NAME}.yaml"
    path.write_text(f"{path.read_text()}protected: true\n")


def extras_with_their_lock(folder):
    path = folder / "environments" / f"{NAME}.yaml"
    path.write_text(
        path.read_text().replace("version: 3.8.8", "version: 3.8.8\n  extras: [prefect-redis]")
    )
    write_server_lock(path.parent, NAME, lock_text("prefect-redis"))


@pytest.mark.parametrize(
    "change",
    [default_that_reaches_it, part_of_its_image, protection, extras_with_their_lock],
)
def test_a_newer_commit_whose_run_deploys_it_overtakes(deployed, fly, change):
    folder = deployed.repository.folder
    deployed.overtake(lambda: change(folder))
    old = deployed.repository.git("rev-parse", "HEAD")
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "superseded")
    assert fly.changes == before
    deployed.repository.git("checkout", "--quiet", "main")
    would = deployed.job("github", "changed", "--base", old, "--json")
    assert NAME in json.loads(would.out)["environments"]


def test_of_a_file_that_is_gone_nothing_is_deployed_and_nobody_is_said_to(deployed, fly):
    path = deployed.repository.environments / f"{NAME}.yaml"
    deployed.overtake(path.unlink)
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "superseded")
    assert "no longer has its file" in said.out
    assert "The run of that commit" not in said.out
    assert fly.changes == before


def faults(folder):
    path = folder / "environments" / f"{NAME}.yaml"
    path.write_text(f"{path.read_text()}regoin: ams\n")


def link(folder):
    path = folder / "deploy/prices.yaml"
    path.unlink()
    path.symlink_to("server.py")


def broken_parts(folder):
    (folder / "deploy/image.json").write_text("{")


def many_files(folder):
    for number in range(MOST_FILES + 1):
        (folder / f"deploy/note-{number}").write_text(str(number))


def large_file(folder):
    (folder / "deploy/large").write_text("x" * (2**20 + 1))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (faults, "it has 1 fault"),
        (link, "deploy/prices.yaml is no plain file"),
        (broken_parts, "its deploy/ is incomplete"),
        (many_files, "51 of its files differ"),
        (large_file, "no file of at most 1 MB"),
    ],
)
def test_where_it_cannot_be_told_the_run_keeps_still_and_says_what_to_do(
    deployed, fly, change, why
):
    folder = deployed.repository.folder
    deployed.overtake(lambda: change(folder))
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "superseded")
    assert why in said.out
    assert f"if it does not, run the deploy workflow for {NAME}" in said.out
    assert fly.changes == before


def test_a_branch_that_was_forced_back_and_changed_otherwise_overtakes(deployed, fly):
    """GitHub then names only what changed since the two parted; what the run's commit changed is gone, too."""
    base = deployed.repository.git("rev-parse", "HEAD")
    deployed.write(LARGER)
    old = deployed.push()
    deployed.repository.git("reset", "--quiet", "--hard", base)
    new_prices(deployed.repository.folder)
    deployed.push()
    deployed.run_of(old)
    before = list(fly.changes)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "superseded")
    assert fly.changes == before


def test_a_tree_that_github_does_not_list_whole_is_not_guessed_around(deployed):
    deployed.overtake(lambda: new_prices(deployed.repository.folder))
    deployed.github.state.tree_limit = 2

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "superseded")
    assert "more files than it lists" in said.out


ROTATED = "admin:another"


def test_the_secrets_workflow_sets_what_is_changed_and_says_so_on_its_page(
    deployed, prefect, fly, summary, monkeypatch
):
    monkeypatch.setenv(AUTH_SECRET, ROTATED)
    prefect.login = ROTATED
    before = dict(fly.secrets)

    said = deployed.job("github", "secrets", NAME)

    assert said.code == 0
    assert fly.secrets != before
    assert f"{NAME}: set {AUTH_SECRET}. Proved." in summary()


def test_an_older_run_of_secrets_sets_no_older_values(deployed, fly, summary, monkeypatch):
    """Approved late, or run again by hand: it has what its own commit had, which may have leaked."""
    monkeypatch.setenv(AUTH_SECRET, ROTATED)
    deployed.overtake(lambda: default_that_reaches_it(deployed.repository.folder))
    before = list(fly.changes)

    said = deployed.job("github", "secrets", NAME)

    assert said.code == 0
    assert f"The secrets of {NAME} are superseded" in said.out
    assert "start the workflow Secrets, which uses the head" in said.out
    assert "start the workflow Secrets, which uses the head" in summary()
    assert fly.changes == before


def test_a_newer_commit_that_deploys_nothing_of_it_keeps_no_secret_from_it(
    deployed, prefect, fly, monkeypatch
):
    monkeypatch.setenv(AUTH_SECRET, ROTATED)
    prefect.login = ROTATED
    old = deployed.repository.git("rev-parse", "HEAD")
    comment_in_the_file(deployed.repository.folder)
    deployed.push()
    deployed.run_of(old)
    before = dict(fly.secrets)

    said = deployed.job("github", "secrets", NAME)

    assert (said.code, said.out.strip()) == (0, f"{NAME}: set {AUTH_SECRET}. Proved.")
    assert fly.secrets != before


@pytest.fixture
def rotated(deployed, prefect, monkeypatch):  # noqa: ARG001 - whose first deploy has the old one
    """Another login, as a secret of GitHub's or a file of SOPS brings it."""
    monkeypatch.setenv(AUTH_SECRET, ROTATED)
    prefect.login = ROTATED


@pytest.mark.usefixtures("rotated")
@pytest.mark.parametrize(
    ("fields", "options"), [({"protected": True}, ()), ({}, ("--strict",))], ids=["now", "before"]
)
def test_secrets_of_what_is_protected_are_set_only_from_a_pull_request(
    deployed, fly, fields, options
):
    deployed.write(**fields)
    deployed.push()
    before = list(fly.changes)

    refused = deployed.job("github", "secrets", *options, NAME)

    assert refused.code == 1
    assert f"{NAME} is protected, and this commit came without a pull request." in refused.err
    assert f"Run the deploy workflow for {NAME}" in refused.err
    assert fly.changes == before

    words(deployed.repository.folder)
    deployed.plan()
    deployed.merge()
    deployed.env("GITHUB_EVENT_NAME", "workflow_dispatch")
    said = deployed.job("github", "secrets", *options, NAME)

    assert (said.code, said.out.strip()) == (0, f"{NAME}: set {AUTH_SECRET}. Proved.")


UNSEEN = (
    f"secret/{AUTH_SECRET}: its value in GitHub is not the one that the last apply set, and nobody "
    "reviewed that."
)


@pytest.mark.parametrize(
    ("fields", "options"), [({"protected": True}, ()), ({}, ("--strict",))], ids=["now", "before"]
)
def test_a_push_gives_what_is_protected_no_value_that_a_writer_may_have_put_into_github(
    deployed, prefect, fly, monkeypatch, fields, options
):
    """Neither Secrets nor Deploy does; somebody who may press sets it, and the failed job goes on."""
    deployed.write(fields, LARGER)
    monkeypatch.delenv(AUTH_SECRET)  # the job that plans has no value
    deployed.plan()
    deployed.merge()
    monkeypatch.setenv(AUTH_SECRET, ROTATED)
    before = list(fly.changes)

    said, outcome = deployed.deploy(*options)

    assert (said.code, outcome["word"]) == (1, "plan-changed")
    assert outcome["message"].count(UNSEEN) == 1
    assert f"run the workflow Secrets for {NAME}" in said.err
    assert ROTATED not in said.err + said.out
    assert fly.changes == before

    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    assert deployed.deploy(*options)[0].code == 0
    monkeypatch.setenv(AUTH_SECRET, ROTATED)
    before = list(fly.changes)
    refused = deployed.job("github", "secrets", *options, NAME)

    assert refused.code == 1
    assert UNSEEN in " ".join(refused.err.split())
    assert fly.changes == before

    prefect.login = ROTATED
    deployed.env("GITHUB_EVENT_NAME", "workflow_dispatch")
    assert deployed.job("github", "secrets", *options, NAME).code == 0
    deployed.env("GITHUB_EVENT_NAME", "push")
    said = deployed.job("github", "secrets", *options, NAME)
    assert (said.code, said.out.strip()) == (0, f"{NAME}: there is nothing to set.")


def test_a_push_sets_a_value_of_what_is_protected_that_no_apply_has_set(deployed, fly):
    """A new name in the file has no value before; and what somebody set by hand is put back."""
    hook = {"name": "HOOK", "from": {"env": "HOOK"}}
    deployed.env("HOOK", "a")
    deployed.write(protected=True, secrets=[AUTH_SECRET, hook])
    deployed.plan()
    deployed.merge()

    assert deployed.deploy()[0].code == 0
    assert "HOOK" in fly.secrets

    fly.secrets["HOOK"] = "set by hand"
    said = deployed.job("github", "secrets", NAME)
    assert (said.code, said.out.strip()) == (0, f"{NAME}: set HOOK. Proved.")

    fly.secrets["HOOK"] = "set by hand"
    deployed.env("HOOK", "b")
    said = deployed.job("github", "secrets", NAME)
    assert said.code == 1
    assert "secret/HOOK: its value in GitHub is not the one" in " ".join(said.err.split())


def test_nothing_to_set_needs_nobody_s_leave(deployed):
    deployed.write(protected=True)
    deployed.push()

    said = deployed.job("github", "secrets", NAME)

    assert (said.code, said.out.strip()) == (0, f"{NAME}: there is nothing to set.")


@pytest.mark.usefixtures("rotated")
@pytest.mark.parametrize(
    ("change", "more"),
    [
        (LARGER, "machine/app-1 (guest.memory_mb)"),
        ({"prune": True}, "secrets/unset (LEFT_OVER)"),
    ],
    ids=["another size", "a secret that goes"],
)
def test_what_is_more_than_secrets_is_left_to_the_deploy_of_the_same_push(
    deployed, fly, summary, change, more
):
    """A merge starts both, in no order; to take a secret away is never for this one."""
    fly.secrets["LEFT_OVER"] = "x"
    deployed.write(change)
    deployed.push()
    deployed.env("GITHUB_EVENT_NAME", "push")
    before = list(fly.changes)

    said = deployed.job("github", "secrets", NAME)

    assert (said.code, said.err) == (0, "")
    assert f"{NAME}: There is more to change than secrets: {more}" in said.out
    assert "The Deploy run of this commit does that, and sets the secrets with it." in said.out
    assert "Nothing was changed here." in summary()
    assert fly.changes == before


@pytest.mark.usefixtures("rotated")
def test_by_the_button_there_is_no_deploy_that_would_do_the_rest(deployed, fly):
    deployed.write(LARGER)
    deployed.push()
    deployed.env("GITHUB_EVENT_NAME", "workflow_dispatch")
    before = list(fly.changes)

    said = deployed.job("github", "secrets", NAME)

    assert said.code == 3
    assert "There is more to change than secrets: machine/app-1 (guest.memory_mb)" in said.err
    assert f"Run the deploy workflow for {NAME}, which sets the secrets too." in said.err
    assert fly.changes == before


def test_a_gate_that_fails_is_rolled_back_and_the_comment_says_so(deployed, fly, prefect):
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()

    def ill():
        [machine] = fly.machines.values()
        return say(200, "0.0.1") if machine["config"]["guest"]["memory_mb"] == 1024 else None

    prefect.broken["GET", "/api/admin/version"] = ill
    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (4, "rolled-back")
    assert "**rolled back**" in deployed.comment


def reported(story, *names, results="results"):
    """Run the job that reports, after jobs that were to deploy these."""
    folder = story.folder / results
    story.env("ENVIRONMENTS", json.dumps(names))
    said = story.job("github", "report", "--results", folder)
    assert said.code == 0, said.err
    return said


def test_an_environment_whose_job_left_no_result_stands_in_the_comment(deployed, summary):
    """It died in its set-up, ran out of time, was rejected, or was skipped after another one failed."""
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()
    deployed.deploy()
    assert "## Deployed" in deployed.comment

    said = reported(deployed, NAME, "production")

    row = next(line for line in deployed.comment.splitlines() if line.startswith("| `production`"))
    assert "**not deployed**: its job did not get so far" in row
    assert "actions/runs/77" in row
    assert "## 1 environment of 2 not deployed" in deployed.comment
    assert "its job did not get so far: production." in said.out
    assert "did not get so far" in summary()


def test_where_no_job_left_anything_the_report_says_that_and_not_nothing(deployed):
    deployed.write(LARGER)
    deployed.plan()
    deployed.merge()

    said = reported(deployed, NAME, results="none")

    assert "## 1 environment of 1 not deployed" in deployed.comment
    assert "nothing to report" not in said.out


def test_without_a_pull_request_it_stands_on_the_page_of_the_run(deployed, summary):
    said = reported(deployed, NAME, results="none")

    assert "No pull request with a plan brought this commit." in said.out
    assert f"| `{NAME}` | **not deployed**: its job did not get so far |" in summary()


@pytest.mark.parametrize("junk", ["staging", '{"a": 1}', '["../x"]', "[1]", "null"])
def test_a_list_that_is_none_is_told_and_not_taken_for_an_empty_one(deployed, junk):
    deployed.env("ENVIRONMENTS", junk)

    said = deployed.job("github", "report", "--results", "x")

    assert said.code == 3
    assert "ENVIRONMENTS is not" in said.err


def test_an_environment_that_cannot_be_planned_is_told_and_approves_nothing(deployed, monkeypatch):
    deployed.write(LARGER)
    monkeypatch.delenv("FLY_API_TOKEN")

    assert deployed.plan().code == 3

    assert "**could not be planned**" in deployed.comment
    assert "`plan` has no secret FLY&#95;API&#95;TOKEN" in deployed.comment.replace("&#96;", "`")
    assert read_marker(deployed.comment).approved == {}


def test_a_lost_answer_makes_no_second_comment(deployed):
    deployed.write(LARGER)
    deployed.github.lose(1, only=r"POST /.*/comments")

    deployed.plan()

    assert len(deployed.github.comments(deployed.pull.number)) == 1


@pytest.fixture
def quiet(deployed, tmp_path):
    """A pull request in which no environment changes; runs the job that comments."""
    deployed.github.commit("words", {"NOTES.md": "Only words."})
    other = deployed.github.add_pull("words")
    event = {"number": other.number, "head": {"sha": other.head_sha}, "html_url": "https://x"}
    (tmp_path / "event").write_text(json.dumps({"pull_request": event}))
    deployed.env("ENVIRONMENTS", "[]")
    nothing = tmp_path / "nothing"

    def comment():
        said = deployed.job("github", "comment", "--plans", nothing, "--rehearsals", nothing)
        assert said.code == 0, said.err
        return said, [found.body for found in deployed.github.comments(other.number)]

    return comment


def test_a_pull_request_without_any_change_is_not_commented(quiet, summary):
    said, comments = quiet()

    assert "there is nothing to comment" in said.out
    assert comments == []
    assert "No environment changes in this pull request." in summary()


def test_a_pull_request_that_only_removes_a_file_is_told_that_its_server_stays(quiet, monkeypatch):
    """Where people look; and that live is as the files ask nobody has seen."""
    monkeypatch.setenv("REMOVED", '["demo"]')

    _, [comment] = quiet()

    assert "The file of `demo` is removed. Its server stays" in comment
    assert "No environment changes in this pull request." in comment
    assert "live matches" not in comment

    monkeypatch.setenv("REMOVED", "[]")
    _, [comment] = quiet()
    assert "demo" not in comment


def test_a_removed_file_is_told_in_the_comment(deployed, monkeypatch):
    monkeypatch.setenv("REMOVED", '["demo"]')
    deployed.write(LARGER)

    deployed.plan()

    assert "The file of `demo` is removed. Its server stays" in deployed.comment


def test_another_plan_than_the_one_that_was_made_is_not_shown_and_approves_nothing(deployed):
    deployed.write(LARGER)
    deployed.plan()
    plans = deployed.folder / f"plans-{deployed.number}"
    forged = json.loads((plans / f"{NAME}.json").read_text())
    forged["steps"][0]["summary"] = "nothing at all"
    (plans / f"{NAME}.json").write_text(json.dumps(forged))

    said = deployed.job("github", "comment", "--plans", plans, "--rehearsals", plans / "none")

    assert said.code == 1
    assert "::error title=Not the plan that was made::Ignored, " in said.out
    assert f"{NAME}.json. Check the code that this pull request runs" in said.out
    assert "**No plan:** The plan that the job Plan wrote is missing" in deployed.comment
    assert "nothing at all" not in deployed.comment
    assert read_marker(deployed.comment).approved == {}


@pytest.mark.parametrize("where", ["environments", "deploy"])
def test_files_that_lead_out_of_the_repository_are_not_read_beside_a_token(deployed, where):
    (deployed.repository.folder / where / "x.yaml").symlink_to("/proc/self/environ")

    said = deployed.job("github", "plan", "--results", deployed.folder / "plans", NAME)

    assert said.code == 3
    assert "This link leads out of the repository" in said.err


@pytest.mark.parametrize(
    "verb", [("deploy", NAME), ("secrets", NAME), ("report", "--results", "x")]
)
def test_outside_of_a_workflow_these_verbs_say_what_they_are_for(job, monkeypatch, verb):
    monkeypatch.delenv("GITHUB_ACTIONS")

    said = job("github", *verb)

    assert said.code == 3
    assert "This command runs only in a workflow of GitHub." in said.err
