"""Objects of the repository as GitHub's JSON, with the documented fields that are used."""

from __future__ import annotations

import re
from datetime import datetime

from helpers.fake_github.answers import Ask
from helpers.fake_github.state import Comment, Issue, Json, Pull

WEB = "https://github.com"


def stamp(moment: datetime | None) -> str | None:
    """Return a time in GitHub's form."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def user(login: str) -> Json:
    """Return a user."""
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"login": login, "type": kind, "html_url": f"{WEB}/{re.sub(r'.bot.$', '', login)}"}


def repository(ask: Ask) -> Json:
    """Return the repository."""
    state = ask.state
    return {
        "id": state.id,
        "name": state.repository.partition("/")[2],
        "full_name": state.repository,
        "private": state.private,
        "visibility": "private" if state.private else "public",
        "owner": {**user(state.owner), "type": state.owner_type},
        "html_url": f"{WEB}/{state.repository}",
        "url": ask.root,
        "default_branch": state.default_branch,
        "archived": state.archived,
        "disabled": False,
        "has_issues": state.has_issues,
    }


def node_id(found: Comment) -> str:
    """Return the id by which GraphQL knows a comment."""
    return f"IC_{found.id:08x}"


def comment(ask: Ask, found: Comment) -> Json:
    """Return a comment."""
    kind = "pull" if found.number in ask.state.pulls else "issues"
    page = f"{WEB}/{ask.state.repository}/{kind}/{found.number}"
    return {
        "id": found.id,
        "node_id": node_id(found),
        "url": f"{ask.root}/issues/comments/{found.id}",
        "html_url": f"{page}#issuecomment-{found.id}",
        "issue_url": f"{ask.root}/issues/{found.number}",
        "user": user(found.author),
        "author_association": "NONE" if found.author.endswith("[bot]") else "MEMBER",
        "body": found.body,
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.updated_at),
    }


def label(ask: Ask, name: str) -> Json:
    """Return a label."""
    return {"url": f"{ask.root}/labels/{name}", "default": False, **ask.state.labels[name.lower()]}


def issue_node_id(number: int) -> str:
    """Return the id by which GraphQL knows an issue."""
    return f"I_{number}"


def issue(ask: Ask, found: Issue) -> Json:
    """Return an issue; a pull request has a field for that."""
    is_pull = found.number in ask.state.pulls
    page = f"{WEB}/{ask.state.repository}/{'pull' if is_pull else 'issues'}/{found.number}"
    told = {
        "id": found.number + 10**6,
        "node_id": issue_node_id(found.number),
        "number": found.number,
        "title": found.title,
        "body": found.body or None,
        "user": user(found.author),
        "labels": [label(ask, name) for name in found.labels],
        "state": found.state,
        "state_reason": found.state_reason,
        "locked": False,
        "comments": sum(one.number == found.number for one in ask.state.all_comments.values()),
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.updated_at),
        "closed_at": stamp(found.closed_at),
        "url": f"{ask.root}/issues/{found.number}",
        "html_url": page,
    }
    if is_pull:
        told["pull_request"] = {"url": f"{ask.root}/pulls/{found.number}", "html_url": page}
    return told


def pull_in_list(ask: Ask, found: Pull) -> Json:
    """Return a pull request as in lists: without `merged`."""
    told = issue(ask, found.issue)
    for key in ("pull_request", "comments", "state_reason"):
        told.pop(key, None)
    return {
        **told,
        "url": f"{ask.root}/pulls/{found.number}",
        "draft": False,
        "merged_at": stamp(found.merged_at),
        "merge_commit_sha": found.merge_commit_sha,
        "head": _side(ask, found.head_ref, found.head_sha, found.head_repository),
        "base": _side(ask, found.base_ref, found.base_sha, ask.state.repository),
    }


def pull(ask: Ask, found: Pull) -> Json:
    """Return a pull request as by its own route."""
    return {
        **pull_in_list(ask, found),
        "merged": found.merged,
        "merged_by": user(found.merged_by) if found.merged_by else None,
        "mergeable": None if found.state == "closed" else True,
        "comments": issue(ask, found.issue)["comments"],
    }


def _side(ask: Ask, ref: str, sha: str, full_name: str | None) -> Json:
    owner = (full_name or "unknown/repository").partition("/")[0]
    whole = repository(ask)
    told = whole if full_name == ask.state.repository else {"full_name": full_name, "fork": True}
    return {
        "label": f"{owner}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": user(owner),
        "repo": told if full_name else None,
    }


# The base roles as the legacy attribute has them, each with all that it may do.
_LEGACY = {
    "admin": "admin",
    "maintain": "write",
    "write": "write",
    "triage": "read",
    "read": "read",
    "none": "none",
}
_MAY = {
    "admin": "admin",
    "maintain": "maintain",
    "write": "push",
    "triage": "triage",
    "read": "pull",
}


def collaborator(ask: Ask, login: str, given: str) -> Json:
    """Return the permission of an account: everybody may read a public repository."""
    named, _, base = given.partition(":")
    role = base or named
    if role == "none" and not ask.state.private:
        named = role = "read"
    order = list(_LEGACY)
    may = {word: order.index(role) <= order.index(name) for name, word in _MAY.items()}
    told = {**user(login), "permissions": may, "role_name": named}
    return {"permission": _LEGACY[role], "user": told, "role_name": named}


def reference(ask: Ask, ref: str, sha: str) -> Json:
    """Return a branch or tag."""
    return {
        "ref": ref,
        "url": f"{ask.root}/git/{ref}",
        "object": {"sha": sha, "type": "commit", "url": f"{ask.root}/git/commits/{sha}"},
    }


def commit(ask: Ask, sha: str) -> Json:
    """Return a commit."""
    return {
        "sha": sha,
        "url": f"{ask.root}/commits/{sha}",
        "commit": {
            "message": ask.state.git.message(sha),
            "committer": {"date": ask.state.git.committed_at(sha)},
        },
        "parents": [{"sha": parent} for parent in ask.state.git.parents(sha)],
    }


def environment(ask: Ask, name: str) -> Json:
    """Return an environment, without the names of its secrets."""
    known = ask.state.environments[name]
    return {
        "name": name,
        "url": f"{ask.root}/environments/{name}",
        "can_admins_bypass": True,
        "protection_rules": known["protection_rules"],
        "deployment_branch_policy": known["deployment_branch_policy"],
    }
