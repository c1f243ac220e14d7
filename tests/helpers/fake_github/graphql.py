"""GraphQL for what REST does not report: who edited a comment, and when."""

from __future__ import annotations

import re
from typing import Any

from helpers.fake_github import shapes
from helpers.fake_github.answers import Answer, RefusedError
from helpers.fake_github.routes import Route
from helpers.fake_github.state import Account, Comment, Json, State

_COMMENT = re.compile(
    r"query\s*\(\$(\w+):\s*ID!\)\s*\{\s*node\(id:\s*\$\1\)\s*\{\s*"
    r"\.\.\.\s*on\s+IssueComment\s*\{(?P<fields>.*)\}\s*\}\s*\}\s*",
    re.DOTALL,
)
_PIN = re.compile(
    r"mutation\s*\(\$(\w+):\s*ID!\)\s*\{\s*pinIssue\(input:\s*\{issueId:\s*\$\1\}\)\s*"
    r"\{\s*issue\s*\{\s*isPinned\s*\}\s*\}\s*\}\s*"
)
MOST_PINNED = 3
_FIELD = re.compile(r"(\w+)(?:\s*\{([^{}]*)\})?")


def answer_query(state: State, account: Account, body: Json, reads: Route) -> Answer:
    """Answer a supported query: fields of a comment by its id, or the pinning of an issue.

    `reads` is the route of REST with the same permission. Refusals have status 200.
    """
    query = body.get("query")
    if not isinstance(query, str):
        raise RefusedError(400, "A query attribute must be specified and must be a string.")
    if pin := _PIN.fullmatch(query):
        return _pin(state, account, str((body.get("variables") or {}).get(pin[1])))
    found = _COMMENT.fullmatch(query)
    if found is None:
        raise RefusedError(501, "The stand-in does not know this query.")
    node = str((body.get("variables") or {}).get(found[1]))
    comment = next((c for c in state.all_comments.values() if shapes.node_id(c) == node), None)
    if comment is None:
        return _refused("NOT_FOUND", f"Could not resolve to a node with the global id of '{node}'")
    if not reads.allows(account, public=not state.private):
        return _refused("FORBIDDEN", "Resource not accessible by integration")
    told = _told(comment)
    fields = _FIELD.findall(found["fields"])
    return Answer(200, {"data": {"node": {name: _picked(told[name], of) for name, of in fields}}})


def _pin(state: State, account: Account, node: str) -> Answer:
    found = next((n for n in state.issues if shapes.issue_node_id(n) == node), None)
    if found is None:
        return _refused("NOT_FOUND", f"Could not resolve to a node with the global id of '{node}'")
    if not account.may("issues", "write"):
        return _refused("FORBIDDEN", "Resource not accessible by integration")
    if len(state.pinned) == MOST_PINNED:
        return _refused("UNPROCESSABLE", "Maximum 3 pinned issues per repository")
    state.pinned.append(found)
    return Answer(200, {"data": {"pinIssue": {"issue": {"isPinned": True}}}})


def _refused(kind: str, message: str) -> Answer:
    error = {"type": kind, "path": ["node"], "message": message}
    return Answer(200, {"data": {"node": None}, "errors": [error]})


def _told(comment: Comment) -> Json:
    edited = bool(comment.editors)
    return {
        "id": shapes.node_id(comment),
        "body": comment.body,
        "createdAt": shapes.stamp(comment.created_at),
        "lastEditedAt": shapes.stamp(comment.updated_at) if edited else None,
        "author": _actor(comment.author),
        "editor": _actor(comment.editors[-1]) if edited else None,
    }


def _actor(login: str) -> Json | None:
    """Return an account: a bot without REST's brackets, a deleted one as null."""
    if not login:
        return None
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"__typename": kind, "login": login.removesuffix("[bot]")}


def _picked(value: Any, fields: str) -> Any:
    return {name: value[name] for name in fields.split()} if isinstance(value, dict) else value
