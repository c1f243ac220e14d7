"""Answers: bodies, pages, and refusals in GitHub's own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from helpers.fake_github.state import Account, Json, State

DOCS = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Ask:
    """A request with its account and its route."""

    state: State
    account: Account
    args: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    url: str
    """Where the API is."""

    @property
    def root(self) -> str:
        """The API's address of the repository."""
        return f"{self.url}/repos/{self.state.repository}"

    def number(self, name: str) -> int:
        """Return a number of the path."""
        if not self.args[name].isdigit():
            raise not_found()
        return int(self.args[name])

    def text(self, key: str, resource: str) -> str:
        """Return a required text of the body."""
        value = self.body.get(key)
        if value is None:
            raise invalid({"resource": resource, "code": "missing_field", "field": key})
        if not isinstance(value, str):
            raise RefusedError(
                422, f"Invalid request.\n\nFor 'properties/{key}', {value} is not a string."
            )
        return value


@dataclass(frozen=True)
class Answer:
    """An answer; with None it has no body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """GitHub refuses a request."""

    def __init__(
        self, status: int, message: str, errors: Sequence[Any] = (), **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors
        self.headers = headers

    @property
    def answer(self) -> Answer:
        """Return the refusal as GitHub writes it."""
        body: Json = {"message": str(self)}
        if self.errors:
            body["errors"] = list(self.errors)
        named = {name.replace("_", "-"): value for name, value in self.headers.items()}
        return Answer(
            self.status,
            {**body, "documentation_url": DOCS, "status": str(self.status)},
            named,
        )


def not_found(message: str = "Not Found") -> RefusedError:
    """Return the refusal for something that does not exist."""
    return RefusedError(404, message)


def invalid(*errors: Json) -> RefusedError:
    """Return the refusal for an invalid field."""
    return RefusedError(422, "Validation Failed", errors)


def check_length(resource: str, name: str, value: str, most: int) -> None:
    """Refuse a text that is too long."""
    if len(value) > most:
        said = f"{name} is too long (maximum is {most} characters)"
        raise invalid({"resource": resource, "code": "custom", "field": name, "message": said})


def paged(
    ask: Ask, path: str, items: Sequence[Any], shape: Callable[[Any], Json], key: str = ""
) -> Answer:
    """Return one page of a list, with links to the others."""
    size = min(_positive(ask.query.get("per_page"), 30), 100)
    page = _positive(ask.query.get("page"), 1)
    last = max(1, -(-len(items) // size))
    shaped = [shape(item) for item in items[(page - 1) * size : page * size]]
    body = {"total_count": len(items), key: shaped} if key else shaped
    return Answer(200, body, link_header(ask, path, page, last))


def link_header(ask: Ask, path: str, page: int, last: int) -> dict[str, str]:
    """Return the header that leads to other pages, as GitHub writes it: under the repository's id."""

    def link(to: int, rel: str) -> str:
        query = urlencode({**ask.query, "page": str(to)})
        return f'<{ask.url}/repositories/{ask.state.id}/{path}?{query}>; rel="{rel}"'

    links = []
    if page > 1:
        links.append(link(min(page - 1, last), "prev"))
    if page < last:
        links += [link(page + 1, "next"), link(last, "last")]
    if page > 1:
        links.append(link(1, "first"))
    return {"Link": ", ".join(links)} if links else {}


def _positive(written: str | None, otherwise: int) -> int:
    return int(written) if written and written.isdigit() and int(written) > 0 else otherwise
