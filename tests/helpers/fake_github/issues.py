"""Issues, comments and labels."""

from __future__ import annotations

import re
from typing import Any

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
from helpers.fake_github.routes import route
from helpers.fake_github.state import Comment, Issue, State

TITLE_LIMIT = 256
BODY_LIMIT = 65_536
_READ = "issues=read; pull_requests=read"
_WRITE = "issues=write; pull_requests=write"
_REASONS = {None, "completed", "not_planned", "reopened", "duplicate"}


def open_issue(state: State, author: str, title: str, body: str, labels: list[str]) -> Issue:
    """Open an issue, and create its missing labels."""
    at = state.now()
    known = known_labels(state, labels)
    made = Issue(state.next_number(), title, body, author, known, created_at=at, updated_at=at)
    state.issues[made.number] = made
    return made


def known_labels(state: State, names: list[str]) -> list[str]:
    """Return labels in their existing spelling, and create missing ones."""
    for name in names:
        plain = {"name": name, "color": "ededed", "description": None}
        state.labels.setdefault(name.lower(), plain)
    return [state.labels[name.lower()]["name"] for name in dict.fromkeys(names)]


def add_comment(state: State, number: int, author: str, body: str) -> Comment:
    """Write a comment."""
    at = state.now()
    made = Comment(state.next_id(), number, body, author, at, at, bodies=[body])
    state.all_comments[made.id] = made
    state.issues[number].updated_at = at
    return made


def edit_comment(state: State, comment: Comment, login: str, body: str) -> None:
    """Replace a comment's text; its author stays."""
    comment.body, comment.updated_at = body, state.now()
    comment.editors.append(login)
    comment.bodies.append(body)


def _issue(ask: Ask) -> Issue:
    found = ask.state.issues.get(ask.number("number"))
    if found is None:
        raise not_found()
    return found


def _comment(ask: Ask) -> Comment:
    found = ask.state.all_comments.get(ask.number("id"))
    if found is None:
        raise not_found()
    return found


def _check_issue(ask: Ask) -> None:
    for field, limit in (("title", TITLE_LIMIT), ("body", BODY_LIMIT)):
        value = ask.body.get(field)
        if isinstance(value, str):
            check_length("Issue", field, value, limit)
    labels = ask.body.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
        raise RefusedError(422, "Invalid request.\n\nFor 'properties/labels', it is not an array.")


def _comment_body(ask: Ask) -> str:
    body = ask.text("body", "IssueComment")
    if not body.strip():
        said = "body cannot be blank"
        raise invalid(
            {"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": said}
        )
    check_length("IssueComment", "body", body, BODY_LIMIT)
    return body


def _enabled(ask: Ask) -> None:
    if not ask.state.has_issues:
        raise RefusedError(410, "Issues are disabled for this repo")


@route("GET", "issues/comments/{id}", _READ)
def get_comment(ask: Ask) -> Answer:
    """Return one comment."""
    return Answer(200, shapes.comment(ask, _comment(ask)))


@route("PATCH", "issues/comments/{id}", _WRITE)
def update_comment(ask: Ask) -> Answer:
    """Replace a comment's text; its author stays."""
    found = _comment(ask)
    edit_comment(ask.state, found, ask.account.login, _comment_body(ask))
    return Answer(200, shapes.comment(ask, found))


@route("DELETE", "issues/comments/{id}", _WRITE)
def delete_comment(ask: Ask) -> Answer:
    """Delete a comment."""
    del ask.state.all_comments[_comment(ask).id]
    return Answer(204)


@route("GET", "issues/{number}/comments", _READ)
def list_comments(ask: Ask) -> Answer:
    """List comments, the oldest first."""
    number = _issue(ask).number
    shown = [found for found in ask.state.all_comments.values() if found.number == number]
    path = f"issues/{number}/comments"
    return paged(ask, path, shown, lambda found: shapes.comment(ask, found))


@route("POST", "issues/{number}/comments", _WRITE)
def create_comment(ask: Ask) -> Answer:
    """Write a comment."""
    number = _issue(ask).number
    made = add_comment(ask.state, number, ask.account.login, _comment_body(ask))
    return Answer(201, shapes.comment(ask, made))


@route("GET", "issues", "issues=read")
def list_issues(ask: Ask) -> Answer:
    """List issues and pull requests, the newest first; open ones unless asked otherwise."""
    _enabled(ask)
    state = ask.query.get("state", "open")
    labels = {name.lower() for name in ask.query.get("labels", "").split(",") if name}
    shown = [
        found
        for found in reversed(ask.state.issues.values())
        if state in {"all", found.state} and labels <= {name.lower() for name in found.labels}
    ]
    return paged(ask, "issues", shown, lambda found: shapes.issue(ask, found))


@route("POST", "issues", "issues=write")
def create_issue(ask: Ask) -> Answer:
    """Open an issue."""
    _enabled(ask)
    title = ask.text("title", "Issue")
    if not title.strip():
        raise invalid({"resource": "Issue", "code": "missing_field", "field": "title"})
    _check_issue(ask)
    labels = ask.body.get("labels", [])
    made = open_issue(ask.state, ask.account.login, title, ask.body.get("body") or "", labels)
    return Answer(201, shapes.issue(ask, made))


@route("GET", "issues/{number}", _READ)
def get_issue(ask: Ask) -> Answer:
    """Return one issue."""
    return Answer(200, shapes.issue(ask, _issue(ask)))


@route("PATCH", "issues/{number}", _WRITE)
def update_issue(ask: Ask) -> Answer:
    """Change an issue; fields that are left out stay."""
    found, body = _issue(ask), ask.body
    _check_issue(ask)
    state, reason = body.get("state", found.state), body.get("state_reason")
    if state not in {"open", "closed"} or reason not in _REASONS:
        raise RefusedError(422, "Invalid request.\n\nNo such state, or no such state_reason.")
    found.title = body.get("title") or found.title
    found.body = body.get("body", found.body) or ""
    found.labels = known_labels(ask.state, body.get("labels", found.labels))
    if (found.state, state) == ("open", "closed"):
        ask.state.close(found, reason or "completed")
    elif (found.state, state) == ("closed", "open"):
        found.state, found.state_reason, found.closed_at = "open", "reopened", None
    found.updated_at = ask.state.now()
    return Answer(200, shapes.issue(ask, found))


@route("GET", "labels", _READ)
def list_labels(ask: Ask) -> Answer:
    """List labels."""
    return paged(ask, "labels", list(ask.state.labels), lambda name: shapes.label(ask, name))


@route("GET", "labels/{name}", _READ)
def get_label(ask: Ask) -> Answer:
    """Return a label."""
    name = ask.args["name"]
    if name.lower() not in ask.state.labels:
        raise not_found()
    return Answer(200, shapes.label(ask, name))


@route("POST", "labels", _WRITE)
def create_label(ask: Ask) -> Answer:
    """Make a label."""
    name, color = ask.text("name", "Label"), ask.body.get("color", "ededed")
    wrong = _label_fault(ask, name, color, ask.body.get("description"))
    if wrong:
        raise invalid({"resource": "Label", **wrong})
    told = {"name": name, "color": color, "description": ask.body.get("description")}
    ask.state.labels[name.lower()] = told
    return Answer(201, shapes.label(ask, name))


def _label_fault(ask: Ask, name: str, color: Any, description: Any) -> dict[str, str] | None:
    if name.lower() in ask.state.labels:
        return {"code": "already_exists", "field": "name"}
    if not name.strip() or len(name) > 50:
        return {"code": "invalid", "field": "name"}
    if not isinstance(color, str) or not re.fullmatch("[0-9a-fA-F]{6}", color):
        return {"code": "invalid", "field": "color"}
    if description is not None and len(description) > 100:
        said = "description is too long (maximum is 100 characters)"
        return {"code": "custom", "field": "description", "message": said}
    return None
