"""What only GraphQL tells: who wrote a comment as it is now. It refuses with a success."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from helpers.fake_github import ACTIONS_BOT
from helpers.fly_answers import says
from helpers.github_answers import NOW, ask_github
from roost.errors import (
    GitHubAnswerError,
    GitHubForbiddenError,
    GitHubNotFoundError,
    GitHubRateLimitedError,
    GitHubRejectedError,
    GitHubUnavailableError,
)
from roost.github.models import Comment
from roost.http.exchange import ATTEMPTS

BOT = {"__typename": "Bot", "login": "github-actions"}
MALLORY = {"__typename": "User", "login": "mallory"}
NOON, LATER = "2026-05-04T10:00:00Z", "2026-05-04T11:00:00Z"


def ASK(github):  # noqa: N802 - a constant that is a call
    return github.written(Comment(id=5, node_id="IC_5"))


def node(**fields):
    told = {
        "body": "hello",
        "createdAt": NOON,
        "lastEditedAt": None,
        "author": BOT,
        "editor": None,
        **fields,
    }
    return says(200, {"data": {"node": told}})


def refused(message, kind=None, **headers):
    error = {"message": message, **({"type": kind} if kind else {})}
    return says(200, {"data": {"node": None}, "errors": [error]}, **headers)


def test_it_is_asked_beside_the_rest_api_by_the_comment_s_id():
    written, [request] = ask_github(ASK, node())

    assert (written.body, written.stranger) == ("hello", "")
    assert str(request.url) == "http://github.test/api/graphql"
    assert (request.method, json.loads(request.content)["variables"]) == ("POST", {"id": "IC_5"})


@pytest.mark.parametrize(
    ("fields", "stranger"),
    [
        ({"editor": BOT, "lastEditedAt": LATER}, ""),
        ({"editor": {**BOT, "login": ACTIONS_BOT}, "lastEditedAt": LATER}, ""),
        ({"editor": MALLORY, "lastEditedAt": LATER}, "mallory"),
        (
            {"editor": {**MALLORY, "login": "github-actions"}, "lastEditedAt": LATER},
            "github-actions",
        ),
        ({"editor": {**BOT, "login": "other-app"}, "lastEditedAt": LATER}, "other-app"),
        ({"editor": None, "lastEditedAt": LATER}, "an account that is gone"),
        ({"author": MALLORY}, "mallory"),
        ({"author": None}, "an account that is gone"),
    ],
)
def test_whoever_wrote_it_last_and_is_no_workflow_is_a_stranger(fields, stranger):
    written, _ = ask_github(ASK, node(**fields))

    assert written.stranger == stranger


@pytest.mark.parametrize(
    ("fields", "expected"), [({}, NOON), ({"editor": BOT, "lastEditedAt": LATER}, LATER)]
)
def test_its_text_is_as_old_as_its_last_edit_or_as_itself(fields, expected):
    written, _ = ask_github(ASK, node(**fields))

    assert written.at == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "answer",
    [
        says(200, {"data": {"node": None}}),
        says(200, {"data": {"node": {}}}),
        says(200, {"data": {"node": {"body": "hello", "author": BOT, "editor": None}}}),
        node(createdAt=None),
        says(200, {"data": None}),
        says(200, {}),
        says(200, []),
    ],
)
def test_an_answer_that_does_not_say_it_is_an_error_and_no_all_clear(answer):
    error, _ = ask_github(ASK, answer)

    assert isinstance(error, GitHubAnswerError)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("FORBIDDEN", "Resource not accessible by integration", GitHubForbiddenError),
        ("NOT_FOUND", "Could not resolve to a node", GitHubNotFoundError),
        (None, "Field 'x' doesn't exist on type 'IssueComment'", GitHubRejectedError),
        (None, "", GitHubRejectedError),
    ],
)
def test_a_refusal_within_a_success_is_the_error_that_it_is(kind, message, expected):
    error, asked = ask_github(ASK, refused(message, kind))

    assert type(error) is expected
    assert message in error.what
    assert len(asked) == 1


def test_a_query_changes_nothing_so_it_is_asked_again_where_an_answer_failed():
    written, asked = ask_github(
        ASK, says(502), refused("Something went wrong while executing your query"), node()
    )

    assert (written.body, len(asked)) == ("hello", 3)


def test_a_query_that_keeps_failing_is_told_as_one_that_changed_nothing():
    error, asked = ask_github(ASK, refused("Something went wrong while executing your query"))

    assert isinstance(error, GitHubUnavailableError)
    assert (error.ambiguous, len(asked)) == (False, ATTEMPTS)


def test_a_limit_that_ends_soon_is_waited_for_and_a_longer_one_is_told():
    soon = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(NOW.timestamp()) + 5)}
    long = {**soon, "x_ratelimit_reset": str(int(NOW.timestamp()) + 3600)}

    written, _ = ask_github(ASK, refused("API rate limit exceeded", "RATE_LIMITED", **soon), node())
    error, asked = ask_github(ASK, refused("API rate limit exceeded", "RATE_LIMITED", **long))

    assert written.body == "hello"
    assert isinstance(error, GitHubRateLimitedError)
    assert (len(asked), "after 2026-05-04 13:00:01 UTC" in error.advice) == (1, True)


def test_the_stand_in_tells_who_edited_a_comment_last(github, ask):
    pull = github.add_pull()
    comment = github.add_comment(pull.number, "one", ACTIONS_BOT)

    def written():
        return ask(read)

    async def read(client):
        [found] = await client.comments(pull.number)
        return await client.written(found)

    assert (written().stranger, written().body) == ("", "one")
    made = written().at
    github.pass_time(9000)
    github.edit_comment(comment, "two", "mallory")
    assert 9000 <= (written().at - made).total_seconds() < 18000
    assert (written().stranger, written().body) == ("mallory", "two")
    ask(lambda client: client.update_comment(comment.id, "three"))
    assert (written().stranger, written().body) == ("", "three")
    assert github.changes() == [f"PATCH /repos/acme/infra/issues/comments/{comment.id}"]


def test_who_may_not_read_pull_requests_is_not_told(github, ask):
    pull = github.add_pull()
    github.add_comment(pull.number, "one", ACTIONS_BOT)
    token = github.token_for({"contents": "read"})

    error = ask(lambda client: client.written(Comment(id=1, node_id="IC_x")), token)
    [comment] = github.comments(pull.number)
    refusal = ask(
        lambda client: client.written(Comment(id=1, node_id=f"IC_{comment.id:08x}")), token
    )

    assert (type(error), type(refusal)) == (GitHubNotFoundError, GitHubForbiddenError)


@pytest.mark.usefixtures("github")
def test_a_query_that_the_stand_in_does_not_know_is_said(ask):
    error = ask(lambda client: client._query("query { viewer { login } }", {}))

    assert error.status == 501


# Commits


def test_the_line_of_a_branch_has_its_merges_and_not_what_they_brought(github, ask):
    before = github.head()
    merges = []
    for name in ("one", "two"):
        github.commit(name, {f"{name}-1": "x"})
        github.commit(name, {f"{name}-2": "x"})
        merges.insert(0, github.merge_pull(github.add_pull(name).number))

    assert ask(lambda client: client.line(before, github.head())) == tuple(merges)


def test_a_line_of_many_commits_is_read_in_pages(github, ask):
    before = github.head()
    for number in range(130):
        github.commit("main", {"a": str(number)})

    line = ask(lambda client: client.line(before, github.head()))

    assert (len(line), line[0]) == (130, github.head())


def test_the_last_change_of_a_file_or_folder_is_a_commit_and_of_what_never_was_none(github, ask):
    sha = github.commit("main", {"environments/a.yaml": "x"})
    github.commit("main", {"README.md": "x"})

    for path in ("environments/a.yaml", "environments"):
        assert ask(lambda client, path=path: client.last_change(path, "main")).sha == sha
    assert ask(lambda client: client.last_change("nothing", "main")) is None
