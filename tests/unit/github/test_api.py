"""Each method sends what GitHub documents, gives what it answered, and tells what went wrong."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta

import httpx
import pytest

from helpers.fly_answers import says
from helpers.github_answers import NOW, TOKEN, ask_github
from roost.errors import (
    GitHubAnswerError,
    GitHubConflictError,
    GitHubError,
    GitHubForbiddenError,
    GitHubNotFoundError,
    GitHubRateLimitedError,
    GitHubRejectedError,
    GitHubUnauthorizedError,
    GitHubUnavailableError,
    MissingTokenError,
    UsageError,
)
from roost.github.api import github_of
from roost.github.contents import blob_sha
from roost.github.models import Issue, Pull
from roost.github.transport import MAX_PAGES
from roost.http.exchange import ATTEMPTS

COMMENT = {"id": 5, "body": "hello", "user": {"login": "alice"}, "html_url": "https://g/5"}
ISSUE = {"number": 7, "title": "Drift", "state": "open", "labels": [{"name": "drift"}, "old"]}
PULL = {
    "number": 42,
    "title": "More memory",
    "state": "closed",
    "merged_at": "2026-05-04T11:00:00Z",
    "merge_commit_sha": "c" * 40,
    "head": {"sha": "a" * 40, "ref": "more", "repo": {"full_name": "acme/infra"}},
    "base": {"sha": "b" * 40, "ref": "main"},
    "user": {"login": "alice"},
    "html_url": "https://g/42",
}
PAGES = "http://github.test/api/v3/repositories/1/comments?page="


def sent(request):
    body = json.loads(request.content) if request.content else None
    return (
        request.method,
        request.url.raw_path.decode().removeprefix("/api/v3/repos/acme/infra"),
        body,
    )


def linked(number, *comments):
    return says(200, list(comments), link=f'<{PAGES}{number}>; rel="next", <{PAGES}9>; rel="last"')


@pytest.mark.parametrize(
    ("call", "answer", "expected"),
    [
        (lambda g: g.pull(42), PULL, ("GET", "/pulls/42", None)),
        (
            lambda g: g.pulls("fix/a b"),
            [],
            ("GET", "/pulls?per_page=100&state=open&head=acme%3Afix%2Fa+b", None),
        ),
        (
            lambda g: g.pulls_of_commit("abc"),
            [PULL],
            ("GET", "/commits/abc/pulls?per_page=100", None),
        ),
        (
            lambda g: g.create_comment(42, "hi"),
            COMMENT,
            ("POST", "/issues/42/comments", {"body": "hi"}),
        ),
        (
            lambda g: g.update_comment(5, "\ud800"),
            COMMENT,
            ("PATCH", "/issues/comments/5", {"body": "\ud800"}),
        ),
        (
            lambda g: g.issues("drift"),
            [],
            ("GET", "/issues?per_page=100&labels=drift&state=all", None),
        ),
        (
            lambda g: g.update_issue(7, state="closed", state_reason="completed"),
            ISSUE,
            ("PATCH", "/issues/7", {"state": "closed", "state_reason": "completed"}),
        ),
        (
            lambda g: g.branch_head("roost/../x#?"),
            {"object": {"sha": "a"}},
            ("GET", "/git/ref/heads/roost/%2E%2E/x%23%3F", None),
        ),
        (
            lambda g: g.delete_branch("roost/x"),
            None,
            ("DELETE", "/git/refs/heads/roost/x", None),
        ),
        (
            lambda g: g.put_file("environments/a.yaml", b"x", "Say x", "roost/x", "old"),
            {},
            (
                "PUT",
                "/contents/environments/a.yaml",
                {"message": "Say x", "content": "eA==", "branch": "roost/x", "sha": "old"},
            ),
        ),
        (
            lambda g: g.workflow_runs("drift.yml"),
            {"workflow_runs": []},
            ("GET", "/actions/workflows/drift.yml/runs?event=schedule&per_page=1", None),
        ),
        (
            lambda g: g.environment_secrets("a/b"),
            {"total_count": 0, "secrets": []},
            ("GET", "/environments/a%2Fb/secrets?per_page=100", None),
        ),
    ],
)
def test_a_method_sends_what_github_documents(call, answer, expected):
    result, [request] = ask_github(call, says(200, answer))

    assert not isinstance(result, Exception)
    assert sent(request) == expected
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["x-github-api-version"] == "2022-11-28"
    assert request.headers["accept"] == "application/vnd.github+json"
    assert request.headers["user-agent"] == "roost"


def test_a_pull_request_is_read_flat_and_lists_tell_that_it_was_merged():
    [pull], _ = ask_github(lambda g: g.pulls_of_commit("c" * 40), says(200, [PULL]))

    assert pull == Pull(
        number=42,
        title="More memory",
        state="closed",
        merged=True,
        merged_at=datetime.fromisoformat("2026-05-04T11:00:00Z"),
        merge_commit_sha="c" * 40,
        head_sha="a" * 40,
        head_ref="more",
        head_repository="acme/infra",
        base_ref="main",
        base_sha="b" * 40,
        author="alice",
        url="https://g/42",
    )


def test_what_is_gone_or_null_is_empty():
    gone = {"number": 1, "merged": False, "merged_at": None, "user": None, "merge_commit_sha": None}
    head = {"sha": "a", "ref": "x", "repo": None}

    pull, _ = ask_github(lambda g: g.pull(1), says(200, {**gone, "head": head}))

    assert (pull.head_repository, pull.author, pull.merge_commit_sha) == ("", "", "")
    assert not pull.merged


def test_pull_requests_are_not_taken_for_issues():
    listed = [ISSUE, {**ISSUE, "number": 8, "pull_request": {"url": "u"}}]

    issues, _ = ask_github(lambda g: g.issues("drift"), says(200, listed))

    assert issues == (Issue(number=7, title="Drift", state="open", labels=("drift", "old")),)


@pytest.mark.parametrize(
    "junk",
    [
        None,
        {},
        [],
        "x",
        {"number": "many"},
        {"number": -1},
        {**PULL, "head": {"sha": 5}},
        b"<html>",
        b"[" * 100_000,
        b'{"number": NaN}',
        b'{"number": ' + b"9" * 5000 + b"}",
    ],
)
def test_an_answer_that_is_not_documented_is_told(junk):
    error, asked = ask_github(lambda g: g.pull(42), says(200, junk))

    assert isinstance(error, GitHubAnswerError)
    assert error.where == "GET /repos/acme/infra/pulls/42"
    assert len(asked) == 1


@pytest.mark.parametrize("junk", [None, {}, "x", [None], [{"id": "x"}]])
def test_a_list_that_is_none_is_not_taken_for_an_empty_one(junk):
    error, _ = ask_github(lambda g: g.comments(42), says(200, junk))

    assert isinstance(error, GitHubAnswerError)


# Paging


def test_pages_are_followed_by_githubs_own_links():
    comments, asked = ask_github(
        lambda g: g.comments(42), linked(2, COMMENT), linked(3, {**COMMENT, "id": 6}), says(200, [])
    )

    assert [comment.id for comment in comments] == [5, 6]
    assert [str(request.url) for request in asked[1:]] == [f"{PAGES}2", f"{PAGES}3"]


@pytest.mark.parametrize(
    "link",
    [
        "https://github.test/api/v3/x?page=2",
        "http://evil.test/api/v3/x?page=2",
        "http://github.test:8080/x?page=2",
        "//evil.test/x",
        "http://[",
    ],
)
def test_the_token_goes_to_no_other_host(link):
    error, asked = ask_github(
        lambda g: g.comments(42), says(200, [COMMENT], link=f'<{link}>; rel="next"')
    )

    assert isinstance(error, GitHubAnswerError)
    assert len(asked) == 1


def test_a_redirect_is_told_and_not_followed():
    error, asked = ask_github(
        lambda g: g.pull(42), says(301, {"message": "Moved Permanently"}, location="http://e.test")
    )

    assert isinstance(error, GitHubError)
    assert "renamed or moved" in error.advice
    assert len(asked) == 1


def test_a_list_without_an_end_is_told():
    error, asked = ask_github(lambda g: g.comments(42), linked(2, COMMENT))

    assert isinstance(error, GitHubAnswerError)
    assert len(asked) == MAX_PAGES


@pytest.mark.parametrize("link", ["", "junk", ";", "<>", "<>;rel", '<x>; rel="prev"', ",,;=;"])
def test_a_link_that_is_none_ends_the_list(link):
    comments, asked = ask_github(lambda g: g.comments(42), says(200, [COMMENT], link=link))

    assert (len(comments), len(asked)) == (1, 1)


# Repeats

READ = lambda g: g.pull(42)  # noqa: E731
WRITE = lambda g: g.update_comment(5, "x")  # noqa: E731
CREATE = lambda g: g.create_comment(42, "x")  # noqa: E731


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(("call", "answer"), [(READ, PULL), (WRITE, COMMENT)])
def test_what_is_the_same_twice_is_sent_again(call, answer, status):
    result, asked = ask_github(call, says(status), httpx.ReadTimeout("late"), says(200, answer))

    assert not isinstance(result, Exception)
    assert len(asked) == 3


def test_it_is_not_sent_again_for_ever():
    error, asked = ask_github(READ, says(502))

    assert isinstance(error, GitHubUnavailableError)
    assert not error.ambiguous
    assert len(asked) == ATTEMPTS


@pytest.mark.parametrize("answer", [says(502), httpx.ReadTimeout("late"), httpx.ReadError("cut")])
def test_a_create_that_may_have_happened_is_not_repeated_but_told(answer):
    error, asked = ask_github(CREATE, answer, says(201, COMMENT))

    assert isinstance(error, GitHubUnavailableError)
    assert error.ambiguous
    assert len(asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        says(429, retry_after="1"),
        says(403, {"message": "slow down"}, retry_after="30"),
        says(403, {"message": "API rate limit exceeded"}),
        says(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(NOW.timestamp()) + 5)),
        httpx.ConnectError("no"),
    ],
)
def test_a_create_that_certainly_did_nothing_is_sent_again(answer):
    result, asked = ask_github(CREATE, answer, says(201, COMMENT))

    assert result.id == 5
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("headers", "until"),
    [
        ({"retry_after": "61"}, "2026-05-04 12:01:01"),
        ({"retry_after": "Mon, 04 May 2026 13:00:00 GMT"}, "2026-05-04 13:00:00"),
        (
            {
                "x_ratelimit_remaining": "0",
                "x_ratelimit_reset": str(int((NOW + timedelta(hours=1)).timestamp())),
            },
            "2026-05-04 13:00:01",
        ),
    ],
)
@pytest.mark.parametrize("status", [403, 429])
def test_a_long_limit_is_told_with_its_end_and_not_waited_for(status, headers, until):
    error, asked = ask_github(READ, says(status, {"message": "limit"}, **headers))

    assert isinstance(error, GitHubRateLimitedError)
    assert f"after {until} UTC" in error.advice
    assert len(asked) == 1


def test_a_limit_is_not_waited_for_past_the_deadline():
    error, asked = ask_github(READ, says(429, retry_after="50"), deadline_s=40)

    assert isinstance(error, GitHubRateLimitedError)
    assert len(asked) == 1


# Refusals


@pytest.mark.parametrize(
    ("answer", "kind", "advice"),
    [
        (says(401, {"message": "Bad credentials"}), GitHubUnauthorizedError, "GITHUB_TOKEN"),
        (
            says(
                403,
                {"message": "Resource not accessible by integration"},
                x_accepted_github_permissions="issues=write; pull_requests=write,contents=read",
            ),
            GitHubForbiddenError,
            "`issues: write` or `pull-requests: write` and `contents: read`",
        ),
        (says(403), GitHubForbiddenError, "`permissions:`"),
        (says(404, {"message": "Not Found"}), GitHubNotFoundError, "may not read it"),
        (
            says(
                403,
                {"message": "GitHub Actions is not permitted to create or approve pull requests."},
            ),
            GitHubForbiddenError,
            "Have a GitHub App open pull requests",
        ),
        (says(409, {"message": "a does not match b"}), GitHubConflictError, "changed since"),
        (says(410, {"message": "Issues are disabled"}), GitHubNotFoundError, "settings"),
        (says(418, {"message": "tea"}), GitHubError, "documentation"),
    ],
)
def test_a_refusal_says_what_where_and_what_to_do(answer, kind, advice):
    answer.headers["x-github-request-id"] = "C0:FF:EE"

    error, _ = ask_github(READ, answer)

    assert type(error) is kind
    assert advice in error.advice
    assert error.where == "GET /repos/acme/infra/pulls/42"
    assert error.status == answer.status_code
    assert "x-github-request-id C0:FF:EE" in str(error)


def test_a_refusal_names_what_is_wrong_but_no_value_and_no_token():
    fault = {"resource": "Issue", "field": "body", "code": "custom", "message": "is too long"}
    body = {"message": f"Validation Failed {TOKEN}", "errors": [{**fault, "value": "hunter2"}, "x"]}

    error, _ = ask_github(CREATE, says(422, body))

    assert isinstance(error, GitHubRejectedError)
    assert "Validation Failed [hidden]: Issue body custom is too long; x." in error.what
    assert "hunter2" not in f"{error} {vars(error)}"


@pytest.mark.parametrize("body", [b"<html>\n<body>gone</body>", b"\xff\x1b[2J\r\n", b"", b"[[]]"])
def test_a_refusal_of_a_proxy_is_told_on_one_printable_line(body):
    error, _ = ask_github(READ, says(502, body, x_github_request_id="a\x1b[2Jb"))

    assert isinstance(error, GitHubUnavailableError)
    assert str(error).isprintable()
    assert "<" not in str(error)


# Creates of which there can be only one


TAKEN = {"message": "Validation Failed", "errors": [{"code": "already_exists", "field": "name"}]}
EXISTS = {"message": "Reference already exists"}


@pytest.mark.parametrize("answer", [says(422, EXISTS), httpx.ReadTimeout("late")])
def test_a_branch_that_is_there_at_this_commit_is_fine(answer):
    there = says(200, {"object": {"sha": "a" * 40}})

    fine, _ = ask_github(lambda g: g.create_branch("x", "a" * 40), answer, there)
    error, _ = ask_github(lambda g: g.create_branch("x", "b" * 40), answer, there)

    assert fine is None
    assert isinstance(error, GitHubConflictError | GitHubUnavailableError)


def test_a_branch_that_was_not_created_is_told():
    lost, missing = httpx.ReadTimeout("late"), says(404, {"message": "Not Found"})

    error, _ = ask_github(lambda g: g.create_branch("x", "a" * 40), lost, missing)

    assert isinstance(error, GitHubUnavailableError)


def test_a_pull_request_that_is_open_already_is_given():
    exists = {
        "message": "Validation Failed",
        "errors": [{"message": "A pull request already exists for acme:x."}],
    }

    pull, asked = ask_github(
        lambda g: g.create_pull("t", "b", "x", "main"), says(422, exists), says(200, [PULL])
    )

    assert pull.number == 42
    assert sent(asked[1])[1] == "/pulls?per_page=100&state=open&head=acme%3Ax&base=main"


def test_a_label_is_made_once():
    missing = says(404, {"message": "Not Found"})

    there, asked = ask_github(
        lambda g: g.ensure_label("drift", "ededed", ""), says(200, {"name": "drift"})
    )
    raced, _ = ask_github(
        lambda g: g.ensure_label("drift", "ededed", ""), missing, says(422, TAKEN)
    )

    assert (there, raced, len(asked)) == (None, None, 1)


@pytest.mark.parametrize(
    "answer",
    [
        says(409, {"message": "a does not match b"}),
        says(422, {"message": 'Invalid request.\n\n"sha" wasn\'t supplied.'}),
    ],
)
def test_a_file_that_has_this_content_already_is_fine_and_another_is_not(answer):
    file = {
        "type": "file",
        "encoding": "base64",
        "content": base64.encodebytes(b"new").decode(),
        "sha": blob_sha(b"new"),
    }

    fine, _ = ask_github(lambda g: g.put_file("a", b"new", "m", "x"), answer, says(200, file))
    error, _ = ask_github(lambda g: g.put_file("a", b"other", "m", "x"), answer, says(200, file))

    assert fine is None
    assert isinstance(error, GitHubConflictError)


@pytest.mark.parametrize("answer", [says(404), says(422, {"message": "Reference does not exist"})])
def test_a_branch_that_is_gone_is_fine(answer):
    fine, _ = ask_github(lambda g: g.delete_branch("x"), answer)

    assert fine is None


# Files


@pytest.mark.parametrize(
    "found",
    [
        [],
        {"type": "file", "encoding": "none", "content": "", "sha": blob_sha(b"")},
        {"type": "submodule", "sha": "x"},
        {"type": "file", "encoding": "base64", "content": "!", "sha": "x"},
        {"type": "file", "encoding": "base64", "content": "eA==", "sha": "x"},
    ],
)
def test_what_is_no_small_file_is_told(found):
    error, _ = ask_github(lambda g: g.file_at("a", "main"), says(200, found))

    assert isinstance(error, GitHubAnswerError)


def test_a_missing_file_is_none_and_a_missing_commit_is_told():
    none, _ = ask_github(lambda g: g.file_at("a", "main"), says(404, {"message": "Not Found"}))
    error, _ = ask_github(
        lambda g: g.file_at("a", "x"), says(404, {"message": "No commit found for the ref x"})
    )

    assert none is None
    assert isinstance(error, GitHubNotFoundError)


def test_a_moved_file_is_changed_under_both_names():
    files = [{"filename": "b", "previous_filename": "a"}, {"filename": "0"}]

    changed, _ = ask_github(lambda g: g.changed_files("m", "h/x"), says(200, {"files": files}))

    assert changed == ("0", "a", "b")


def test_a_comparison_that_may_leave_files_out_is_made_from_the_trees():
    def entry(path, sha, mode="100644", kind="blob"):
        return {"path": path, "sha": sha, "mode": mode, "type": kind}

    compared = {
        "files": [{"filename": str(n)} for n in range(300)],
        "merge_base_commit": {"sha": "f"},
    }
    before = [
        entry("same", "1"),
        entry("dir", "2", kind="tree"),
        entry("old", "3"),
        entry("x", "4"),
    ]
    after = [
        entry("same", "1"),
        entry("dir", "5", kind="tree"),
        entry("new", "3"),
        entry("x", "4", "100755"),
    ]

    changed, asked = ask_github(
        lambda g: g.changed_files("m", "h"),
        says(200, compared),
        says(200, {"truncated": False, "tree": before}),
        says(200, {"truncated": False, "tree": after}),
    )
    error, _ = ask_github(
        lambda g: g.changed_files("m", "h"),
        says(200, compared),
        says(200, {"truncated": True, "tree": before}),
    )

    assert changed == ("new", "old", "x")
    assert [sent(request)[1] for request in asked[1:]] == [
        "/git/trees/f?recursive=1",
        "/git/trees/h?recursive=1",
    ]
    assert isinstance(error, GitHubAnswerError)


# What may not be readable


@pytest.mark.parametrize(
    "call",
    [
        lambda g: g.environment_secrets("production"),
        lambda g: g.branch_protection("main"),
        lambda g: g.actions_permissions(),
        lambda g: g.workflow_permissions(),
    ],
)
def test_what_the_token_may_not_see_is_none(call):
    result, _ = ask_github(call, says(403, {"message": "Resource not accessible by integration"}))

    assert result is None


def test_a_branch_without_protection_is_not_one_that_cannot_be_seen():
    off, _ = ask_github(
        lambda g: g.branch_protection("main"), says(404, {"message": "Branch not protected"})
    )
    unseen, _ = ask_github(
        lambda g: g.branch_protection("main"), says(404, {"message": "Not Found"})
    )

    assert off.is_on is False
    assert unseen is None


# How a step finds it


def test_a_step_has_its_connection_from_its_variables():
    github = github_of({"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "acme/infra"})

    assert repr(github) == "GitHub(URL('https://api.github.com'), 'acme/infra')"


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, MissingTokenError),
        ({"GITHUB_TOKEN": "a b"}, UsageError),
        ({"GITHUB_TOKEN": "t\u00e4"}, UsageError),
        ({"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": ""}, UsageError),
        ({"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": "a/../b"}, UsageError),
        ({"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": "a/.."}, UsageError),
        ({"GITHUB_TOKEN": "t", "GITHUB_API_URL": "ftp://x"}, UsageError),
        ({"GITHUB_TOKEN": "t", "GITHUB_API_URL": "github"}, UsageError),
    ],
)
def test_variables_that_lead_nowhere_are_told(environ, kind):
    with pytest.raises(kind):
        github_of({"GITHUB_REPOSITORY": "acme/infra", **environ})
