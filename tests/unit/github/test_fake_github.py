"""The stand-in keeps GitHub's documented contract, whoever asks."""

from __future__ import annotations

import subprocess

import httpx
import pytest

from helpers.fake_github import Account, FakeGitHub
from helpers.fake_github.git import Git
from helpers.plain_http import NO_TLS
from helpers.waiting import LIMIT_S

ROOT = "/repos/acme/infra"


@pytest.fixture
def http(github):
    """Ask with the workflow's token."""
    with client(github, github.token) as http:
        yield http


def client(github, token, **headers):
    return httpx.Client(
        base_url=github.url,
        headers={"authorization": f"Bearer {token}", **headers},
        trust_env=False,
        timeout=LIMIT_S,
        verify=NO_TLS,
    )


def git(path, *args):
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    who = {
        f"GIT_{one}_{what}": "x@x" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", "-C", path, *args], check=True, capture_output=True, env={**env, **who}, text=True
    )
    return done.stdout.strip()


# The way in


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"authorization": ""}, 401, "Requires authentication"),
        ({"authorization": "Bearer nobody"}, 401, "Bad credentials"),
        ({"authorization": "Basic x"}, 401, "Bad credentials"),
        ({"user-agent": ""}, 403, "Request forbidden by administrative rules"),
        ({"x-github-api-version": "2020-01-01"}, 400, "not a supported version"),
    ],
)
def test_who_does_not_say_properly_who_asks_is_refused(http, headers, status, message):
    answer = http.get(ROOT, headers=headers)

    assert (answer.status_code, answer.json()["status"]) == (status, str(status))
    assert message in answer.json()["message"]
    assert answer.json()["documentation_url"].startswith("https://docs.github.com/")
    assert answer.headers["x-github-request-id"]


def test_what_it_does_not_model_it_says(http):
    unknown = http.get(f"{ROOT}/pulls/1/reviews")
    elsewhere = http.post("/markdown", json={})

    assert (unknown.status_code, elsewhere.status_code) == (501, 501)
    assert "does not know GET of a repository's /pulls/1/reviews" in unknown.json()["message"]
    assert http.get("/repos/acme/other").status_code == 404


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(http, content):
    assert http.post(f"{ROOT}/issues", content=content).status_code == 400


def test_reading_is_for_all_where_the_repository_is_public():
    with FakeGitHub(private=False) as github:
        token = github.token_for({})
        with client(github, token) as http:
            assert http.get(f"{ROOT}/issues").status_code == 200
            assert http.get(f"{ROOT}/actions/permissions").status_code == 403
            refused = http.post(f"{ROOT}/issues", json={"title": "x"})

    assert refused.status_code == 403
    assert refused.json()["message"] == "Resource not accessible by integration"
    assert refused.headers["x-accepted-github-permissions"] == "issues=write"


def test_a_person_is_refused_in_other_words(github):
    github.tokens["bob"] = Account("bob", {"issues": "read"})
    with client(github, "bob") as http:
        refused = http.post(f"{ROOT}/issues", json={"title": "x"})

    assert refused.json()["message"] == "Resource not accessible by personal access token"


def test_calls_are_kept(github, http):
    http.get(f"{ROOT}/issues", params={"labels": "drift"})
    http.post(f"{ROOT}/issues", json={})

    read, write = github.calls
    assert (read.method, read.query, read.login) == (
        "GET",
        {"labels": "drift"},
        "github-actions[bot]",
    )
    assert (write.status, github.changes()) == (422, [f"POST {ROOT}/issues"])


def test_what_a_person_may_do_is_told_as_github_tells_it(github, http):
    """See https://docs.github.com/rest/collaborators/collaborators, permissions for a user."""
    github.state.roles["bob"] = "release-manager:maintain"
    github.state.roles["eve"] = "none"

    told = http.get(f"{ROOT}/collaborators/BOB/permission").json()

    assert (told["permission"], told["role_name"], told["user"]["login"]) == (
        *("write", "release-manager", "bob"),
    )
    assert told["user"]["permissions"] == {
        **dict.fromkeys(("maintain", "push", "triage", "pull"), True),
        "admin": False,
    }
    assert http.get(f"{ROOT}/collaborators/eve/permission").json()["permission"] == "none"
    assert http.get(f"{ROOT}/collaborators/zed/permission").status_code == 404
    github.state.private = False
    assert http.get(f"{ROOT}/collaborators/eve/permission").json()["permission"] == "read"


def test_the_reviews_of_a_run_are_one_list_for_who_may_read_actions(github, http):
    """See https://docs.github.com/rest/actions/workflow-runs, review history of a run."""
    github.add_review(7, "production", "carol")
    with client(github, github.token_for({"contents": "read"})) as other:
        refused = other.get(f"{ROOT}/actions/runs/7/approvals")

    [review] = http.get(f"{ROOT}/actions/runs/7/approvals").json()

    assert (review["state"], review["user"]["login"]) == ("approved", "carol")
    assert [found["name"] for found in review["environments"]] == ["production"]
    assert refused.status_code == 403
    assert refused.headers["x-accepted-github-permissions"] == "actions=read"
    assert http.get(f"{ROOT}/actions/runs/8/approvals").status_code == 404


# Pages


@pytest.mark.parametrize(
    ("params", "sizes"),
    [({}, [30, 30, 30, 15]), ({"per_page": "100"}, [100, 5]), ({"per_page": "999"}, [100, 5])],
)
def test_pages_have_links_to_the_next_and_the_last(github, http, params, sizes):
    for number in range(105):
        github.add_issue(str(number))

    pages = [http.get(f"{ROOT}/issues", params=params)]
    while "next" in pages[-1].links:
        pages.append(http.get(pages[-1].links["next"]["url"]))

    assert [len(page.json()) for page in pages] == sizes
    assert pages[0].links["last"]["url"].endswith(f"page={len(sizes)}")
    assert set(pages[-1].links) == {"prev", "first"}
    assert pages[0].json()[0]["title"] == "104"


def test_a_page_past_the_end_is_empty(http):
    assert http.get(f"{ROOT}/issues", params={"page": "7"}).json() == []


# Rules of fields


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("issues", {}, "missing_field"),
        ("issues", {"title": " "}, "missing_field"),
        ("issues", {"title": "x" * 257}, "title is too long (maximum is 256 characters)"),
        ("issues", {"title": "x", "body": "y" * 65_537}, "maximum is 65536 characters"),
        ("issues/1/comments", {}, "missing_field"),
        ("issues/1/comments", {"body": ""}, "body cannot be blank"),
        ("issues/1/comments", {"body": "y" * 65_537}, "maximum is 65536 characters"),
        ("labels", {"name": "bug", "color": "#ff0000"}, "invalid"),
        ("labels", {"name": "DRIFT", "color": "ff0000"}, "already_exists"),
        ("labels", {"name": "x", "color": "ff0000", "description": "y" * 101}, "maximum is 100"),
        ("pulls", {"title": "x", "head": "nothing", "base": "main"}, "invalid"),
        ("pulls", {"title": "x", "head": "main", "base": "main"}, "No commits between"),
        ("git/refs", {"ref": "refs/heads/main", "sha": "a" * 40}, "Reference already exists"),
        ("git/refs", {"ref": "refs/heads/x", "sha": "a" * 40}, "Object does not exist"),
        ("git/refs", {"ref": "x", "sha": "a" * 40}, "must start with 'refs'"),
        ("git/refs", {"ref": "refs/heads/a..b", "sha": "a" * 40}, "not a valid ref name"),
        ("deployments", {"ref": "nothing", "required_contexts": []}, "No ref found"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_nothing_is_made(github, http, path, body, said):
    github.state.workflow_permissions["can_approve_pull_request_reviews"] = True
    github.add_issue("One", labels=("drift",))

    answer = http.post(f"{ROOT}/{path}", json=body)

    assert answer.status_code == 422
    assert said in answer.text
    assert len(github.issues()) == 1
    assert github.comments(1) == []


def test_issues_that_are_switched_off_are_gone(github, http):
    github.state.has_issues = False

    assert http.get(f"{ROOT}/issues").status_code == 410


@pytest.mark.parametrize(
    "path", ["issues/9", "issues/x", "issues/9/comments", "pulls/9", "labels/x"]
)
def test_what_is_not_there_is_not_found(http, path):
    answer = http.get(f"{ROOT}/{path}")

    assert answer.json() == {
        "message": "Not Found",
        "documentation_url": "https://docs.github.com/rest",
        "status": "404",
    }


def test_issues_and_pull_requests_share_numbers_and_the_list_of_issues(github, http):
    github.add_issue("One")
    pull = github.add_pull("feature")

    listed = http.get(f"{ROOT}/issues").json()

    assert pull.number == 2
    assert [("pull_request" in issue) for issue in listed] == [True, False]


def test_an_issue_closes_with_a_reason_and_opens_again(github, http):
    github.add_issue("One")

    closed = http.patch(f"{ROOT}/issues/1", json={"state": "closed"}).json()
    opened = http.patch(f"{ROOT}/issues/1", json={"state": "open"}).json()
    wrong = http.patch(f"{ROOT}/issues/1", json={"state_reason": "bored"})

    assert (closed["state"], closed["state_reason"]) == ("closed", "completed")
    assert (opened["state"], opened["state_reason"], opened["closed_at"]) == (
        "open",
        "reopened",
        None,
    )
    assert wrong.status_code == 422


# Trouble


def test_a_fault_is_for_so_many_calls_that_fit(github, http):
    github.fail(502, 2, only="GET .*/issues$")

    statuses = [http.get(f"{ROOT}/{path}").status_code for path in ("labels", *["issues"] * 3)]

    assert statuses == [200, 502, 502, 200]


def test_a_lost_answer_has_its_effect_and_a_refusal_has_none(github, http):
    github.lose()
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(f"{ROOT}/issues", json={"title": "One"})
    github.limit(retry_after=7)
    limited = http.post(f"{ROOT}/issues", json={"title": "Two"})

    assert [issue.title for issue in github.issues()] == ["One"]
    assert (limited.status_code, limited.headers["retry-after"]) == (403, "7")
    assert "secondary rate limit" in limited.json()["message"]
    assert github.calls[0].status == 0


# A repository of one's own


@pytest.fixture
def work(tmp_path):
    """A clone of a bare repository with one commit on main."""
    Git.create(tmp_path / "bare", "main")
    git(tmp_path, "clone", "-q", "bare", "work")
    return tmp_path / "work"


def push(work, branch, path, text="x"):
    (work / path).write_text(text)
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", f"Write {path}")
    git(work, "push", "-q", "origin", f"HEAD:refs/heads/{branch}")
    return git(work, "rev-parse", "HEAD")


def test_what_is_pushed_moves_the_pull_request_and_its_ref(work):
    first = push(work, "feature", "a")
    with FakeGitHub(work.parent / "bare") as github:
        pull = github.add_pull("feature", number=42)
        assert pull.head_sha == first
        second = push(work, "feature", "b")

        assert github.pull(42).head_sha == second
        assert git(work, "ls-remote", "origin", "refs/pull/42/head").split()[0] == second


@pytest.mark.parametrize("how", ["--no-ff", "--ff-only"])
def test_a_merge_that_is_pushed_merges_the_pull_request(work, how):
    head = push(work, "feature", "a")
    with FakeGitHub(work.parent / "bare") as github:
        github.add_pull("feature", number=42)
        git(work, "checkout", "-q", "-B", "main", "origin/main")
        git(work, "merge", "-q", how, "-m", "Merge", head)
        merge = git(work, "rev-parse", "HEAD")
        push(work, "main", "later")

        pull = github.pull(42)

    assert (pull.merged, pull.merge_commit_sha) == (True, merge)


def test_the_button_merges_in_git(work):
    head = push(work, "feature", "a", "text")
    with FakeGitHub(work.parent / "bare") as github:
        github.add_pull("feature", title="Title", number=42)
        sha = github.merge_pull(42)
        parents = git(work.parent / "bare", "show", "-s", "--format=%P", sha).split()

        assert parents[1] == head
        assert github.file("a") == b"text"
        git(work, "pull", "-q", "origin", "main")
        assert git(work, "rev-parse", "HEAD") == sha


def test_a_merge_that_conflicts_is_refused(github, http):
    github.commit("feature", {"a": "one"})
    github.commit("main", {"a": "two"})
    pull = github.add_pull("feature")

    answer = http.put(f"{ROOT}/pulls/{pull.number}/merge", json={})
    stale = http.put(f"{ROOT}/pulls/{pull.number}/merge", json={"sha": "a" * 40})

    assert (answer.status_code, stale.status_code) == (405, 409)
    assert not github.pull(pull.number).merged


def test_a_pull_request_of_a_fork_holds_the_commit_it_was_given(github, http):
    pull = github.add_pull("main", head_sha="f" * 40, head_repository="mallory/infra")

    told = http.get(f"{ROOT}/pulls/{pull.number}").json()

    assert told["head"]["repo"]["full_name"] == "mallory/infra"
    assert (told["head"]["sha"], told["head"]["label"]) == ("f" * 40, "mallory:main")


def test_a_commit_that_only_the_test_knows_can_belong_to_a_pull_request(github, http):
    pull = github.add_pull("gone", commits=("c" * 40,))
    github.mark_merged(pull.number, "d" * 40)

    for sha in ("c" * 40, "d" * 40):
        [found] = http.get(f"{ROOT}/commits/{sha}/pulls").json()
        assert (found["number"], "merged" in found) == (1, False)
    assert http.get(f"{ROOT}/commits/{'e' * 40}/pulls").status_code == 422


def test_a_branch_that_is_deleted_closes_its_pull_request(github, http):
    github.commit("feature", {"a": "one"})
    pull = github.add_pull("feature")

    assert http.delete(f"{ROOT}/git/refs/heads/feature").status_code == 204
    assert http.delete(f"{ROOT}/git/refs/heads/feature").status_code == 422
    assert github.pull(pull.number).state == "closed"


def test_folders_are_listed_and_large_files_are_not_inline(github, http):
    github.commit("main", {"folder/a": "x", "folder/b": "y", "large": "z" * (2**20 + 1)})

    listed = http.get(f"{ROOT}/contents/folder").json()
    large = http.get(f"{ROOT}/contents/large").json()

    assert [entry["path"] for entry in listed] == ["folder/a", "folder/b"]
    assert (large["encoding"], large["content"]) == ("none", "")


def test_a_workflow_is_nothing_that_a_workflows_token_may_write(http):
    body = {"message": "m", "content": ""}

    refused = http.put(f"{ROOT}/contents/.github/workflows/x.yml", json=body)

    assert refused.status_code == 403
    assert "without `workflows` permission" in refused.json()["message"]


def test_a_comparison_has_its_files_on_the_first_page_only(github, http):
    for number in range(3):
        github.commit("work", {str(number): "x"})
    params = {"per_page": "2"}

    first = http.get(f"{ROOT}/compare/main...work", params=params)
    second = http.get(first.links["next"]["url"])

    assert (first.json()["status"], first.json()["total_commits"]) == ("ahead", 3)
    assert [len(page.json()["commits"]) for page in (first, second)] == [2, 1]
    assert [len(page.json()["files"]) for page in (first, second)] == [3, 0]
    assert http.get(f"{ROOT}/compare/main...nothing").status_code == 404


def test_a_tree_says_when_it_is_cut(github, http):
    github.commit("main", {"a/b": "x", "c": "y"})
    whole = http.get(f"{ROOT}/git/trees/main", params={"recursive": "1"}).json()
    github.state.tree_limit = 2
    cut = http.get(f"{ROOT}/git/trees/main", params={"recursive": "1"}).json()

    assert [(entry["path"], entry["type"]) for entry in whole["tree"]] == [
        ("a", "tree"),
        ("a/b", "blob"),
        ("c", "blob"),
    ]
    assert (whole["truncated"], cut["truncated"], len(cut["tree"])) == (False, True, 2)


def test_a_success_ends_what_was_deployed_before_to_the_same_environment(github, http):
    def deploy(**fields):
        body = {"ref": "main", "environment": "staging", "required_contexts": [], **fields}
        made = http.post(f"{ROOT}/deployments", json=body).json()
        http.post(f"{ROOT}/deployments/{made['id']}/statuses", json={"state": "success"})

    deploy()
    deploy(environment="demo")
    deploy(production_environment=True)  # is ended by none, and ends the others
    deploy()

    assert [state for _, state, _ in github.deployed("staging")] == [
        *("inactive", "success", "success"),
    ]
    assert [state for _, state, _ in github.deployed("demo")] == ["success"]


def test_a_commit_whose_checks_are_not_done_is_no_deployment_unless_none_is_required(http):
    refused = http.post(f"{ROOT}/deployments", json={"ref": "main"})

    assert (refused.status_code, http.get(f"{ROOT}/deployments").json()) == (409, [])


def test_a_deployment_tells_how_it_went(github, http):
    made = http.post(
        f"{ROOT}/deployments",
        json={"ref": "main", "environment": "staging", "required_contexts": []},
    ).json()
    path = f"{ROOT}/deployments/{made['id']}/statuses"
    for state in ("in_progress", "success"):
        http.post(path, json={"state": state, "environment_url": "https://a.fly.dev"})

    assert [status["state"] for status in http.get(path).json()] == ["success", "in_progress"]
    assert http.post(path, json={"state": "great"}).status_code == 422
    [listed] = http.get(f"{ROOT}/deployments", params={"environment": "staging"}).json()
    assert (listed["sha"], "statuses" in listed) == (github.head(), False)
    assert http.get(f"{ROOT}/deployments", params={"environment": "other"}).json() == []
