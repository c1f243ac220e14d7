"""The client before a GitHub that remembers: pages, limits, lost answers, and what came of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from helpers.fake_github import ACTIONS_BOT, Account
from roost.errors import (
    GitHubConflictError,
    GitHubForbiddenError,
    GitHubNotFoundError,
    GitHubRateLimitedError,
    GitHubRejectedError,
    GitHubUnauthorizedError,
    GitHubUnavailableError,
)
from roost.github import models
from roost.github.contents import blob_sha

NO_LABELS = ("ededed", "")


def comment_paths(github):
    return [call for call in github.calls if call.path.endswith("/comments")]


@pytest.fixture
def pull(github):
    """A pull request of a branch with one file more."""
    github.commit("more", {"environments/a.yaml": "app: a\n"})
    return github.add_pull("more", title="More", number=42)


# Comments


@pytest.mark.usefixtures("pull")
def test_two_hundred_and_fifty_comments_are_read_on_three_pages(github, ask):
    for number in range(250):
        github.add_comment(42, f"comment {number}")

    comments = ask(lambda g: g.comments(42))

    assert [comment.body for comment in comments] == [f"comment {n}" for n in range(250)]
    assert len(comment_paths(github)) == 3
    assert comment_paths(github)[1].path == "/repositories/1300192/issues/42/comments"


@pytest.mark.usefixtures("pull")
def test_a_comment_is_written_and_edited_by_the_bot(github, ask):
    written = ask(lambda g: g.create_comment(42, "one"))
    edited = ask(lambda g: g.update_comment(written.id, "two"))

    assert (written.author, edited.author) == (models.ACTIONS_BOT, ACTIONS_BOT)
    [comment] = github.comments(42)
    assert (comment.id, comment.body, comment.bodies) == (edited.id, "two", ["one", "two"])


@pytest.mark.usefixtures("pull")
def test_a_comment_whose_answer_was_lost_is_there_and_the_error_says_that_it_may_be(github, ask):
    github.lose(only="POST .*/comments")

    error = ask(lambda g: g.create_comment(42, "one"))

    assert isinstance(error, GitHubUnavailableError)
    assert error.ambiguous
    assert [comment.body for comment in github.comments(42)] == ["one"]


@pytest.mark.usefixtures("pull")
def test_an_edit_whose_answer_was_lost_is_made_again(github, ask):
    comment = github.add_comment(42, "one", author=ACTIONS_BOT)
    github.lose(2, only="PATCH")

    edited = ask(lambda g: g.update_comment(comment.id, "two"))

    assert edited.body == "two"
    assert comment.bodies == ["one", "two", "two", "two"]


@pytest.mark.usefixtures("pull")
def test_what_is_limited_is_written_once_in_the_end(github, ask):
    github.limit(3, only="POST")

    ask(lambda g: g.create_comment(42, "one"))

    assert len(github.comments(42)) == 1
    assert [call.status for call in comment_paths(github)] == [403, 403, 403, 201]


@pytest.mark.usefixtures("pull")
def test_a_limit_that_lasts_is_told(github, ask):
    github.limit(99, retry_after=3600)

    error = ask(lambda g: g.create_comment(42, "one"))

    assert isinstance(error, GitHubRateLimitedError)
    assert len(github.calls) == 1


@pytest.mark.usefixtures("pull")
def test_pages_survive_a_bad_gateway_between_them(github, ask):
    for number in range(150):
        github.add_comment(42, str(number))
    github.fail(502, 2, only="/repositories/")

    assert len(ask(lambda g: g.comments(42))) == 150


@pytest.mark.usefixtures("pull")
def test_a_comment_that_is_too_long_is_refused(ask):
    longest = ask(lambda g: g.create_comment(42, "x" * 65_536))
    error = ask(lambda g: g.create_comment(42, "x" * 65_537))

    assert len(longest.body) == 65_536
    assert isinstance(error, GitHubRejectedError)
    assert "maximum is 65536 characters" in error.what


# Tokens


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda g: g.create_comment(42, "x"), "`issues: write` or `pull-requests: write`"),
        (lambda g: g.comments(42), "`issues: read` or `pull-requests: read`"),
        (lambda g: g.create_issue("x", "y"), "`issues: write`"),
        (lambda g: g.branch_head("main"), "`contents: read`"),
        (lambda g: g.create_branch("x", "a" * 40), "`contents: write`"),
        (lambda g: g.workflow_runs("drift.yml"), "`actions: read`"),
    ],
)
@pytest.mark.usefixtures("pull")
def test_a_job_without_a_permission_is_told_which(github, ask, call, wanted):
    error = ask(call, github.token_for({"metadata": "read"}))

    assert isinstance(error, GitHubForbiddenError)
    assert wanted in error.advice


@pytest.mark.usefixtures("pull")
def test_a_job_has_what_its_permissions_give_and_no_more(github, ask):
    token = github.token_for({"pull-requests": "write"})

    assert ask(lambda g: g.create_comment(42, "x"), token).author == ACTIONS_BOT
    assert isinstance(ask(lambda g: g.create_issue("x", "y"), token), GitHubForbiddenError)


def test_a_wrong_token_is_told_and_not_shown(ask):
    error = ask(lambda g: g.pull(1), "ghs_wrong")

    assert isinstance(error, GitHubUnauthorizedError)
    assert "ghs_wrong" not in f"{error!r} {error} {vars(error)}"


# Pull requests


@pytest.mark.usefixtures("pull")
def test_a_pull_request_follows_its_branch(github, ask):
    pushed = github.commit("more", {"b": "b"})

    found = ask(lambda g: g.pull(42))

    assert (found.head_sha, found.head_ref, found.base_ref) == (pushed, "more", "main")
    assert (found.head_repository, found.state, found.merged) == ("acme/infra", "open", False)
    assert [one.number for one in ask(lambda g: g.pulls("more"))] == [42]
    assert ask(lambda g: g.pulls("other")) == ()


@pytest.mark.parametrize("method", ["merge", "squash"])
@pytest.mark.usefixtures("pull")
def test_a_merged_pull_request_is_found_by_its_commit(github, ask, method):
    github.add_pull("unrelated", number=50)
    sha = github.merge_pull(42, method=method)

    [found] = ask(lambda g: g.pulls_of_commit(sha))

    assert (found.number, found.merged, found.merge_commit_sha) == (42, True, sha)
    assert ask(lambda g: g.pulls("more")) == ()
    assert github.head() == sha


@pytest.mark.usefixtures("pull")
def test_a_commit_that_nobody_asked_for_belongs_to_no_pull_request(github, ask):
    sha = github.commit("main", {"a": "a"})

    assert ask(lambda g: g.pulls_of_commit(sha)) == ()


def test_a_pull_request_is_opened_once_also_when_the_answer_was_lost(github, ask):
    github.state.workflow_permissions["can_approve_pull_request_reviews"] = True
    github.commit("roost/x", {"a": "a"})
    github.lose(only="POST")

    opened = ask(lambda g: g.create_pull("Scale", "why", "roost/x", "main"))
    again = ask(lambda g: g.create_pull("Scale", "why", "roost/x", "main"))

    assert opened == again
    assert len(github.pulls()) == 1


def test_a_setting_that_forbids_pull_requests_is_told(github, ask):
    github.commit("roost/x", {"a": "a"})
    github.state.workflow_permissions["can_approve_pull_request_reviews"] = False

    error = ask(lambda g: g.create_pull("Scale", "why", "roost/x", "main"))

    assert isinstance(error, GitHubForbiddenError)
    assert "Have a GitHub App open pull requests" in error.advice


# Issues


@pytest.mark.usefixtures("pull")
def test_an_issue_lives_by_its_label(github, ask):
    ask(lambda g: g.ensure_label("drift", "d93f0b", "Live differs from its file"))
    ask(lambda g: g.ensure_label("drift", "000000", ""))
    opened = ask(lambda g: g.create_issue("Drift: a", "body", ["drift"]))

    closed = ask(lambda g: g.update_issue(opened.number, state="closed", state_reason="completed"))
    again = ask(lambda g: g.update_issue(opened.number, state="open", body="more"))

    assert (closed.state, closed.state_reason) == ("closed", "completed")
    assert (again.state, again.body, again.title) == ("open", "more", "Drift: a")
    assert [issue.number for issue in ask(lambda g: g.issues("drift"))] == [opened.number]
    assert github.state.labels["drift"]["color"] == "d93f0b"


def test_a_label_whose_answer_was_lost_is_there_and_that_is_fine(github, ask):
    github.lose(only="POST")

    assert ask(lambda g: g.ensure_label("drift", *NO_LABELS)) is None
    assert list(github.state.labels) == ["drift"]


# Branches and files


def test_a_branch_and_a_file_are_made_once_also_when_answers_were_lost(github, ask):
    main = github.head()
    github.lose(only="POST .*/git/refs")
    github.lose(only="PUT .*/contents/")

    assert ask(lambda g: g.create_branch("roost/x", main)) is None
    assert ask(lambda g: g.create_branch("roost/x", main)) is None
    assert ask(lambda g: g.put_file("a b/ü.yaml", b"x\r\n", "Say x", "roost/x")) is None

    assert github.file("a b/ü.yaml", "roost/x") == b"x\r\n"
    assert len(github.state.git.between("main", "roost/x")) == 1
    assert github.file("a b/ü.yaml") is None


def test_a_file_is_replaced_only_as_it_was_read(github, ask):
    github.commit("roost/x", {"a": "one"})
    found = ask(lambda g: g.file_at("a", "roost/x"))
    github.commit("roost/x", {"a": "between"})

    error = ask(lambda g: g.put_file("a", b"two", "m", "roost/x", found.sha))
    unseen = ask(lambda g: g.put_file("a", b"two", "m", "roost/x"))
    fine = ask(lambda g: g.put_file("a", b"two", "m", "roost/x", blob_sha(b"between")))

    assert (found.content, found.sha) == (b"one", blob_sha(b"one"))
    assert isinstance(error, GitHubConflictError)
    assert isinstance(unseen, GitHubConflictError)
    assert fine is None
    assert github.file("a", "roost/x") == b"two"


def test_a_rule_for_main_keeps_files_from_being_written_there(github, ask):
    github.state.rules["main"] = [{"type": "pull_request", "parameters": {}}]

    error = ask(lambda g: g.put_file("a", b"x", "m", "main"))

    assert isinstance(error, GitHubConflictError)
    assert "through a pull request" in error.what


def test_a_file_or_a_commit_that_is_not_there(ask):
    assert ask(lambda g: g.file_at("nothing", "main")) is None
    assert isinstance(ask(lambda g: g.file_at("a", "no-branch")), GitHubNotFoundError)
    assert isinstance(ask(lambda g: g.branch_head("no-branch")), GitHubNotFoundError)


def test_a_branch_is_deleted_once_also_when_the_answer_was_lost(github, ask):
    github.commit("roost/x", {"a": "a"})
    github.lose(only="DELETE")

    assert ask(lambda g: g.delete_branch("roost/x")) is None
    assert github.head("roost/x") == ""


@pytest.mark.parametrize("count", [3, 299, 300, 700])
def test_all_changed_files_are_known_however_many(github, ask, count):
    github.commit("main", {"old": "moved\n" * 9, "gone": "x", "same": "y"})
    files = {f"many/{number:03}": str(number) for number in range(count - 2)}
    github.commit("work", {**files, "old": None, "new": "moved\n" * 9, "gone": None})
    github.commit("main", {"later": "not of this branch"})

    changed = ask(lambda g: g.changed_files("main", "work"))

    assert changed == tuple(sorted({*files, "old", "new", "gone"}))


def test_a_tree_names_every_file_by_its_hash_so_that_only_others_have_to_be_asked_for(github, ask):
    github.commit("main", {"deploy/a": "one", "b": "two"})

    files = ask(lambda g: g.tree(github.head("main")))

    assert {path: file.sha for path, file in files.items()} == {
        "deploy/a": blob_sha(b"one"),
        "b": blob_sha(b"two"),
    }
    assert {file.mode for file in files.values()} == {"100644"}


# Who did what in a run


@pytest.mark.parametrize(
    ("given", "permission", "role", "maintains"),
    [
        ("admin", "admin", "admin", True),
        ("maintain", "write", "maintain", True),
        ("release-manager:maintain", "write", "release-manager", True),
        ("owner-of-all:admin", "admin", "owner-of-all", True),
        ("write", "write", "write", False),
        ("triage", "read", "triage", False),
        ("read", "read", "read", False),
        ("none", "none", "none", False),
        ("maintainer:write", "write", "maintainer", False),
    ],
)
def test_what_a_person_may_do_is_told_by_role_and_by_what_that_is_based_on(
    github, ask, given, permission, role, maintains
):
    github.state.roles["bob"] = given

    found = ask(lambda g: g.collaborator("Bob"))

    assert (found.permission, found.role, found.maintains) == (permission, role, maintains)


@pytest.mark.parametrize(
    ("answer", "maintains"),
    [
        ({"permission": "admin", "role_name": "admin", "user": None}, True),
        ({"permission": "write", "role_name": "maintain", "user": {"login": "bob"}}, True),
        ({"permission": "write", "role_name": "own", "user": {"permissions": None}}, False),
        ({"permission": "write", "role_name": "own"}, False),
        ({}, False),
    ],
)
def test_what_github_leaves_out_of_a_person_is_nothing_they_may_do(answer, maintains):
    assert models.Collaborator.model_validate(answer).maintains is maintains


def test_a_bot_may_nothing_by_a_role_and_nobody_is_none(ask):
    assert not ask(lambda g: g.collaborator(ACTIONS_BOT)).maintains
    assert ask(lambda g: g.collaborator("nobody-by-that-name")) is None


def test_what_reviewers_said_about_a_run_is_read_with_whom_it_was(github, ask):
    github.add_review(7, "Production", "carol")
    github.add_review(7, "staging", "dave", "rejected")
    github.add_review(7, "plan", "")

    carol, dave, gone = ask(lambda g: g.deployment_reviews("7"))

    assert (carol.reviewer, carol.approves("production"), carol.approves("staging")) == (
        *("carol", True, False),
    )
    assert (dave.reviewer, dave.approves("staging")) == ("dave", False)
    assert gone.reviewer == ""
    assert isinstance(ask(lambda g: g.deployment_reviews("8")), GitHubNotFoundError)


def test_one_environment_is_read_by_a_workflow_with_its_reviewers(github, ask):
    github.add_environment("production", reviewers=("bob",))
    token = github.token_for({"actions": "read"})

    found = ask(lambda g: g.environment("production"), token)

    assert [reviewer.name for reviewer in found.reviewers] == ["bob"]
    assert isinstance(ask(lambda g: g.environment("other"), token), GitHubNotFoundError)


# What doctor reads


def test_the_settings_of_a_repository_are_read_by_an_administrator(github, ask):
    github.add_environment(
        "production", secrets=("FLY_API_TOKEN",), reviewers=("bob",), branches=("main",)
    )
    github.add_environment("plan")
    github.state.rules["main"] = [
        {"type": "pull_request", "parameters": {"required_approving_review_count": 1}}
    ]
    github.state.protection["main"] = {
        "required_status_checks": {"strict": True, "contexts": ["checks"]},
        "enforce_admins": {"enabled": True},
    }

    def as_alice(call):
        return ask(call, github.person_token)

    production, plan = as_alice(lambda g: g.environments())
    [rule] = as_alice(lambda g: g.branch_rules("main"))
    protection = as_alice(lambda g: g.branch_protection("main"))
    info = as_alice(lambda g: g.repository_info())

    assert (info.default_branch, info.private, info.owner) == ("main", True, "acme")
    assert [reviewer.name for reviewer in production.reviewers] == ["bob"]
    assert production.branches.custom_branch_policies
    assert (plan.name, plan.branches, plan.reviewers) == ("plan", None, ())
    [policy] = as_alice(lambda g: g.environment_branches("production"))
    assert policy.name == "main"
    assert as_alice(lambda g: g.environment_secrets("production")) == ("FLY_API_TOKEN",)
    assert (rule.type, rule.parameters["required_approving_review_count"]) == ("pull_request", 1)
    assert (protection.is_on, protection.strict, protection.for_admins) == (True, True, True)
    assert protection.status_checks == ("checks",)
    assert as_alice(lambda g: g.actions_permissions()).enabled
    assert as_alice(lambda g: g.workflow_permissions()).default_workflow_permissions == "read"


def test_what_a_workflows_token_may_not_see_is_none(github, ask):
    github.add_environment("production", secrets=("FLY_API_TOKEN",))

    assert ask(lambda g: g.environment_secrets("production")) is None
    assert ask(lambda g: g.branch_protection("main")) is None
    assert ask(lambda g: g.actions_permissions()) is None
    assert ask(lambda g: g.workflow_permissions()) is None


RULESET = {
    "name": "review",
    "enforcement": "active",
    "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
    "bypass_actors": [{"actor_type": "DeployKey", "actor_id": None, "bypass_mode": "always"}],
    "rules": [{"type": "deletion"}],
}


def test_who_bypasses_a_ruleset_is_shown_only_to_who_may_change_it(github, ask):
    source = {"source_type": "Repository", "source": "acme/infra"}
    github.state.rulesets[9] = {"id": 9, **source, **RULESET}
    github.state.rulesets[8] = {"id": 8, **source, **RULESET, "enforcement": "disabled"}

    shown = ask(lambda g: g.ruleset(9), github.person_token)

    assert [actor.actor_type for actor in shown.bypass_actors] == ["DeployKey"]
    assert ask(lambda g: g.ruleset(9)).bypass_actors is None
    assert ask(lambda g: g.ruleset(10)) is None
    [rule] = ask(lambda g: g.branch_rules("main"))
    assert (rule.type, rule.ruleset_id) == ("deletion", 9)
    listed = ask(lambda g: g.rulesets())
    assert {(one.id, one.enforcement) for one in listed} == {(9, "active"), (8, "disabled")}


def test_names_of_shared_secrets_are_read_by_who_may_and_none_for_others(github, ask):
    github.state.repository_secrets.append("FLY_API_TOKEN")
    github.state.organization_secrets.append("SOPS_AGE_KEY")

    def as_alice(call):
        return ask(call, github.person_token)

    assert as_alice(lambda g: g.repository_secrets()) == ("FLY_API_TOKEN",)
    assert as_alice(lambda g: g.organization_secrets()) == ("SOPS_AGE_KEY",)
    assert ask(lambda g: g.repository_secrets()) is None
    assert ask(lambda g: g.organization_secrets()) is None


def test_runners_and_a_variable_are_read_by_who_may(github, ask):
    def as_alice(call):
        return ask(call, github.person_token)

    assert as_alice(lambda g: g.runners()) == ()
    assert as_alice(lambda g: g.has_variable("ROOST_RUNNER")) is False
    github.state.runners.append("box")
    github.state.variables["ROOST_RUNNER"] = "roost"

    assert as_alice(lambda g: g.runners()) == ("box",)
    assert as_alice(lambda g: g.has_variable("ROOST_RUNNER")) is True
    assert ask(lambda g: g.runners()) is None
    assert ask(lambda g: g.has_variable("ROOST_RUNNER")) is None


def test_protected_branches_are_listed(github, ask):
    github.commit("dev", {"a": "a"})
    github.state.protection["dev"] = {"enforce_admins": {"enabled": True}}

    assert [b.name for b in ask(lambda g: g.protected_branches())] == ["dev"]


def test_a_branch_without_protection_is_told_so(github, ask):
    github.tokens["admin"] = Account("root")

    assert ask(lambda g: g.branch_protection("main"), "admin").is_on is False


def test_the_newest_run_of_a_schedule_is_read(github, ask):
    newest = datetime(2026, 5, 4, 3, 7, tzinfo=UTC)
    github.add_run("drift.yml", created_at=newest)
    github.add_run("drift.yml", created_at=newest - timedelta(days=1), conclusion="failure")
    github.add_run("drift.yml", created_at=newest + timedelta(days=1), event="workflow_dispatch")

    [run] = ask(lambda g: g.workflow_runs("drift.yml"))

    assert (run.created_at, run.conclusion, run.event) == (newest, "success", "schedule")
    assert isinstance(ask(lambda g: g.workflow_runs("other.yml")), GitHubNotFoundError)
