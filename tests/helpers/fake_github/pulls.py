"""Pull requests."""

from __future__ import annotations

from helpers.fake_github import shapes
from helpers.fake_github.answers import (
    Answer,
    Ask,
    RefusedError,
    check_length,
    invalid,
    not_found,
    paged,
)
from helpers.fake_github.issues import BODY_LIMIT, TITLE_LIMIT
from helpers.fake_github.routes import route
from helpers.fake_github.state import ACTIONS_BOT, Issue, Pull, State


def open_pull(
    state: State, author: str, title: str, body: str, head: str, base: str, sha: str, fork: str = ""
) -> Pull:
    """Open a pull request."""
    at = state.now()
    issue = Issue(state.next_number(), title, body, author, created_at=at, updated_at=at)
    base_sha = state.git.head(base) or "0" * 40
    made = Pull(issue, head, sha, fork or state.repository, base, base_sha)
    state.issues[issue.number] = issue
    state.pulls[issue.number] = made
    return made


def merge(state: State, pull: Pull, login: str, method: str, title: str = "") -> str:
    """Merge a pull request into its base; return the commit."""
    git = state.git
    base = git.head(pull.base_ref)
    tree = git.merged_tree(base, pull.head_sha) if base else None
    if base is None or tree is None:
        raise RefusedError(405, "Pull Request is not mergeable")
    if method == "squash":
        message = title or f"{pull.issue.title} (#{pull.number})"
        sha = git.commit(tree, [base], message, pull.issue.author)
    elif method == "merge":
        source = f"{(pull.head_repository or '').partition('/')[0]}/{pull.head_ref}"
        message = title or f"Merge pull request #{pull.number} from {source}\n\n{pull.issue.title}"
        sha = git.commit(tree, [base, pull.head_sha], message, login)
    else:
        raise RefusedError(501, "The stand-in does not merge by rebase.")
    git.move(f"refs/heads/{pull.base_ref}", sha, base)
    state.merged(pull, sha, login)
    return sha


def find(ask: Ask) -> Pull:
    """Return the pull request in the path."""
    found = ask.state.pulls.get(ask.number("number"))
    if found is None:
        raise not_found()
    return found


@route("GET", "commits/{sha*}/pulls", "pull_requests=read")
def pulls_of_commit(ask: Ask) -> Answer:
    """List the pull requests that merged a commit into the default branch, or else contain it."""
    state, sha = ask.state, ask.args["sha"]
    sha = state.git.resolve(sha) or sha
    holders = [pull for pull in state.pulls.values() if sha in state.commits_of(pull)]
    if not holders and state.git.resolve(sha) is None:
        raise RefusedError(422, f"No commit found for SHA: {sha}")
    if state.index_lag > 0:
        state.index_lag -= 1
        holders = []
    default = state.git.head(state.default_branch)
    arrived = default and state.git.resolve(sha) and state.git.is_ancestor(sha, default)
    shown = [pull for pull in holders if pull.merged or (pull.state == "open" and not arrived)]
    return paged(ask, f"commits/{sha}/pulls", shown, lambda pull: shapes.pull_in_list(ask, pull))


@route("GET", "pulls", "pull_requests=read")
def list_pulls(ask: Ask) -> Answer:
    """List pull requests, the newest first."""
    wanted = ask.query.get("state", "open")

    def fits(pull: Pull) -> bool:
        label = f"{(pull.head_repository or '').partition('/')[0]}:{pull.head_ref}"
        head, base = ask.query.get("head"), ask.query.get("base")
        # GitHub ignores a head that does not say whose branch it is.
        return (
            wanted in {"all", pull.state}
            and (not head or ":" not in head or head == label)
            and (not base or base == pull.base_ref)
        )

    shown = [pull for pull in reversed(ask.state.pulls.values()) if fits(pull)]
    return paged(ask, "pulls", shown, lambda pull: shapes.pull_in_list(ask, pull))


@route("POST", "pulls", "pull_requests=write")
def create_pull(ask: Ask) -> Answer:
    """Open a pull request from a branch of this repository."""
    state = ask.state
    allowed = state.workflow_permissions["can_approve_pull_request_reviews"]
    if ask.account.login == ACTIONS_BOT and not allowed:
        raise RefusedError(
            403, "GitHub Actions is not permitted to create or approve pull requests."
        )
    title = ask.text("title", "PullRequest")
    head, base = ask.text("head", "PullRequest"), ask.text("base", "PullRequest")
    body = ask.body.get("body") or ""
    check_length("PullRequest", "title", title, TITLE_LIMIT)
    check_length("PullRequest", "body", body, BODY_LIMIT)
    head = head.removeprefix(f"{state.owner}:")
    sha = state.git.head(head)
    for name, field in ((base, "base"), (head, "head")):
        if state.git.head(name) is None:
            raise invalid({"resource": "PullRequest", "field": field, "code": "invalid"})
    assert sha is not None
    if any(
        pull.state == "open" and (pull.head_ref, pull.base_ref) == (head, base)
        for pull in state.pulls.values()
    ):
        said = f"A pull request already exists for {state.owner}:{head}."
        raise invalid({"resource": "PullRequest", "code": "custom", "message": said})
    if not state.git.between(base, sha):
        said = f"No commits between {base} and {head}"
        raise invalid({"resource": "PullRequest", "code": "custom", "message": said})
    made = open_pull(state, ask.account.login, title, body, head, base, sha)
    return Answer(201, shapes.pull(ask, made))


@route("GET", "pulls/{number}", "pull_requests=read")
def get_pull(ask: Ask) -> Answer:
    """Return one pull request."""
    return Answer(200, shapes.pull(ask, find(ask)))


@route("PATCH", "pulls/{number}", "pull_requests=write")
def update_pull(ask: Ask) -> Answer:
    """Change title, body or state."""
    found = find(ask)
    found.issue.title = ask.body.get("title", found.issue.title)
    found.issue.body = ask.body.get("body", found.issue.body)
    if ask.body.get("state") == "closed":
        ask.state.close(found.issue)
    elif ask.body.get("state") == "open" and not found.merged:
        found.issue.state = "open"
    return Answer(200, shapes.pull(ask, found))


@route("GET", "pulls/{number}/files", "pull_requests=read")
def list_files(ask: Ask) -> Answer:
    """List what a pull request changes."""
    found, git = find(ask), ask.state.git
    start = git.merge_base(found.base_sha, found.head_sha)
    changed = git.changed(start, found.head_sha) if start else []
    return paged(ask, f"pulls/{found.number}/files", changed[:3000], changed_file)


def changed_file(changed: tuple[str, str, str]) -> dict[str, str]:
    """Return a file of a comparison in GitHub's form."""
    status, path, before = changed
    moved = {"previous_filename": before} if before else {}
    return {"filename": path, "status": status, **moved}


@route("PUT", "pulls/{number}/merge", "contents=write")
def merge_pull(ask: Ask) -> Answer:
    """Merge a pull request."""
    found = find(ask)
    if found.state != "open":
        raise RefusedError(405, "Pull Request is not mergeable")
    if ask.body.get("sha") not in {None, found.head_sha}:
        raise RefusedError(409, "Head branch was modified. Review and try the merge again.")
    method, title = ask.body.get("merge_method", "merge"), ask.body.get("commit_title", "")
    sha = merge(ask.state, found, ask.account.login, method, title)
    said = "Pull Request successfully merged"
    return Answer(200, {"sha": sha, "merged": True, "message": said})
