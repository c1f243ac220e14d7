"""Branches, files, comparisons and trees, in GitHub's form."""

from __future__ import annotations

import base64
import binascii
import re

from helpers.fake_github import shapes
from helpers.fake_github.answers import Answer, Ask, RefusedError, link_header, not_found, paged
from helpers.fake_github.git import Entry
from helpers.fake_github.pulls import changed_file
from helpers.fake_github.routes import route
from helpers.fake_github.state import Json

FILES_LIMIT = 300
INLINE_LIMIT = 2**20
_TYPES = {"blob": "file", "tree": "dir", "commit": "submodule"}


@route("GET", "git/ref/{ref*}", "contents=read")
def get_reference(ask: Ask) -> Answer:
    """Return a ref by its whole name."""
    ref = f"refs/{ask.args['ref']}"
    sha = ask.state.git.ref(ref)
    if sha is None:
        raise not_found()
    return Answer(200, shapes.reference(ask, ref, sha))


@route("POST", "git/refs", "contents=write")
def create_reference(ask: Ask) -> Answer:
    """Create a ref."""
    ref, sha, git = ask.text("ref", "Reference"), ask.text("sha", "Reference"), ask.state.git
    if not ref.startswith("refs/") or ref.count("/") < 2:
        raise RefusedError(
            422, "Reference name must start with 'refs' and have at least two slashes."
        )
    if not git.is_valid(ref):
        raise RefusedError(422, f"{ref} is not a valid ref name.")
    if git.ref(ref):
        raise RefusedError(422, "Reference already exists")
    if git.resolve(sha) != sha:
        raise RefusedError(422, "Object does not exist")
    git.move(ref, sha)
    return Answer(201, shapes.reference(ask, ref, sha))


@route("PATCH", "git/refs/{ref*}", "contents=write")
def move_reference(ask: Ask) -> Answer:
    """Move a ref, forward only unless forced."""
    ref, sha, git = f"refs/{ask.args['ref']}", ask.text("sha", "Reference"), ask.state.git
    old = git.ref(ref)
    if old is None:
        raise RefusedError(422, "Reference does not exist")
    if git.resolve(sha) != sha:
        raise RefusedError(422, "Object does not exist")
    if not ask.body.get("force") and not git.is_ancestor(old, sha):
        raise RefusedError(422, "Update is not a fast forward")
    git.move(ref, sha, old)
    return Answer(200, shapes.reference(ask, ref, sha))


@route("DELETE", "git/refs/{ref*}", "contents=write")
def delete_reference(ask: Ask) -> Answer:
    """Delete a ref; open pull requests of that branch are closed."""
    ref = f"refs/{ask.args['ref']}"
    if ask.state.git.ref(ref) is None:
        raise RefusedError(422, "Reference does not exist")
    ask.state.git.delete(ref)
    for pull in ask.state.pulls.values():
        ours = pull.head_repository == ask.state.repository
        if ours and pull.state == "open" and ref == f"refs/heads/{pull.head_ref}":
            ask.state.close(pull.issue)
    return Answer(204)


@route("GET", "contents/{path*}", "contents=read")
def get_content(ask: Ask) -> Answer:
    """Return a file, or list a folder."""
    state, path = ask.state, ask.args["path"]
    ref = ask.query.get("ref") or state.default_branch
    commit = state.git.resolve(ref)
    if commit is None:
        raise not_found(f"No commit found for the ref {ref}")
    entries = state.git.entries(commit, path)
    if not entries:
        raise not_found()
    if entries[0].path != path:
        return Answer(200, [_entry(ask, entry) for entry in entries])
    return Answer(200, _content(ask, entries[0]))


def _entry(ask: Ask, entry: Entry) -> Json:
    return {
        "type": _TYPES[entry.kind],
        "name": entry.path.rpartition("/")[2],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size,
        "url": f"{ask.root}/contents/{entry.path}",
    }


def _content(ask: Ask, entry: Entry) -> Json:
    if entry.kind != "blob":
        return _entry(ask, entry)
    if entry.size > INLINE_LIMIT:
        return {**_entry(ask, entry), "encoding": "none", "content": ""}
    content = base64.encodebytes(ask.state.git.blob(entry.sha)).decode()
    return {**_entry(ask, entry), "encoding": "base64", "content": content}


@route("PUT", "contents/{path*}", "contents=write")
def put_content(ask: Ask) -> Answer:
    """Write a file in a commit of its own."""
    state, path = ask.state, ask.args["path"]
    message, branch = ask.text("message", "Commit"), ask.body.get("branch", state.default_branch)
    head = state.git.head(branch)
    if head is None:
        raise not_found(f"Branch {branch} not found")
    try:
        content = base64.b64decode(ask.text("content", "Commit"), validate=True)
    except binascii.Error:
        raise RefusedError(422, "content is not valid Base64") from None
    _check_write(ask, path, branch)
    known = next((entry.sha for entry in state.git.entries(head, path)), None)
    given = ask.body.get("sha")
    if known and given is None:
        raise RefusedError(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if given is not None and given != known:
        raise RefusedError(409, f"{path} does not match {given}")
    author = (ask.body.get("author") or {}).get("name") or ask.account.login
    sha = state.git.write(head, {path: content}, message, author)
    state.git.move(f"refs/heads/{branch}", sha, head)
    [entry] = state.git.entries(sha, path)
    told = {"content": _content(ask, entry), "commit": shapes.commit(ask, sha)["commit"]}
    told["commit"]["sha"] = sha
    return Answer(200 if known else 201, told)


def _check_write(ask: Ask, path: str, branch: str) -> None:
    if re.match(r"\.github/workflows/", path) and not ask.account.may("workflows", "write"):
        said = f"refusing to allow a GitHub App to create or update workflow `{path}` without `workflows` permission"
        raise RefusedError(403, said)
    if any(rule["type"] == "pull_request" for rule in ask.state.rules_of(branch)):
        raise RefusedError(
            409,
            "Repository rule violations found\n\nChanges must be made through a pull request.\n\n",
        )
    if any(part in {"", ".", "..", ".git"} for part in path.split("/")):
        raise RefusedError(422, "path contains a malformed path component")


@route("GET", "compare/{basehead*}", "contents=read")
def compare(ask: Ask) -> Answer:
    """Compare head with where it left base: commits in pages, at most 300 files on the first."""
    state, git = ask.state, ask.state.git
    names = ask.args["basehead"].split("...")
    found = [git.resolve(name) for name in names]
    if len(found) != 2 or None in found:
        raise not_found()
    base, head = (sha or "" for sha in found)
    start = git.merge_base(base, head)
    if start is None:
        raise not_found(f"No common ancestor between {names[0]} and {names[1]}.")
    ahead, behind = git.between(base, head), git.between(head, base)
    asked = "page" in ask.query or "per_page" in ask.query
    size = min(int(ask.query.get("per_page", 30)), 100) if asked else 250
    page = int(ask.query.get("page", 1))
    status = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    files = git.changed(start, head)[:FILES_LIMIT] if page == 1 else []
    body = {
        "status": status.get((bool(ahead), bool(behind)), "identical"),
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "base_commit": shapes.commit(ask, base),
        "merge_base_commit": shapes.commit(ask, start),
        "commits": [shapes.commit(ask, sha) for sha in ahead[(page - 1) * size : page * size]],
        "files": [changed_file(changed) for changed in files],
    }
    last = max(1, -(-len(ahead) // size))
    path = f"compare/{state.git.resolve(names[0])}...{head}"
    return Answer(200, body, link_header(ask, path, page, last))


@route("GET", "commits", "contents=read")
def list_commits(ask: Ask) -> Answer:
    """List commits, the newest first; those of a path, where one is given."""
    git = ask.state.git
    head = git.resolve(ask.query.get("sha") or ask.state.default_branch)
    if head is None:
        raise not_found()
    shown = git.log(head, ask.query.get("path", ""))
    return paged(ask, "commits", shown, lambda sha: shapes.commit(ask, sha))


@route("GET", "git/trees/{sha*}", "contents=read")
def get_tree(ask: Ask) -> Answer:
    """List the files of a commit, up to a limit that the answer reports."""
    git = ask.state.git
    commit = git.resolve(ask.args["sha"])
    if commit is None:
        raise not_found()
    entries = git.tree(commit) if ask.query.get("recursive") else git.entries(commit, "")
    limit = ask.state.tree_limit
    shown = [
        {"path": e.path, "mode": e.mode, "type": e.kind, "sha": e.sha} for e in entries[:limit]
    ]
    return Answer(200, {"sha": commit, "tree": shown, "truncated": len(entries) > limit})
