"""The table of routes: a verb, a path below the repository, and the permission that a token needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from helpers.fake_github.answers import Answer, Ask
from helpers.fake_github.state import Account

Handler = Callable[[Ask], Answer]
SETTINGS = {"administration", "environments", "secrets"}
"""Read by nobody without the permission, however public the repository is."""


@dataclass(frozen=True)
class Route:
    """One route."""

    verb: str
    pattern: re.Pattern[str]
    wants: str
    """As X-Accepted-GitHub-Permissions has it: `;` is or, `,` is and."""
    handler: Handler

    def args(self, path: str) -> dict[str, str] | None:
        """Return the named parts of a path; None if the path does not match."""
        found = self.pattern.fullmatch(path)
        return {k: unquote(v) for k, v in found.groupdict().items()} if found else None

    def allows(self, account: Account, *, public: bool) -> bool:
        """Return whether an account has the permission."""
        return any(
            all(
                account.may(name, level) or (public and level == "read" and name not in SETTINGS)
                for name, _, level in (part.strip().partition("=") for part in choice.split(","))
            )
            for choice in self.wants.split(";")
        )


ROUTES: list[Route] = []


def route(verb: str, path: str, wants: str) -> Callable[[Handler], Handler]:
    """Add a route; `{name}` is one part of the path, `{name*}` the rest of it."""
    pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", path)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)

    def add(handler: Handler) -> Handler:
        ROUTES.append(Route(verb, re.compile(pattern), wants, handler))
        return handler

    return add


def matching(verb: str, path: str) -> Iterator[tuple[Route, dict[str, str]]]:
    """Return the routes of a request, the first added first."""
    for known in ROUTES:
        if known.verb == verb and (args := known.args(path)) is not None:
            yield known, args
