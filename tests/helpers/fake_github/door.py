"""Handle requests: find the account, check its permission, simulate faults, and answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from helpers.fake_github import files, issues, pulls, releases, rulesets, settings
from helpers.fake_github.answers import Answer, Ask, RefusedError, not_found
from helpers.fake_github.graphql import answer_query
from helpers.fake_github.routes import Route, matching
from helpers.fake_github.state import Account, Call, Json, State
from helpers.fake_github.trouble import Trouble

MODULES = (files, issues, pulls, releases, rulesets, settings)
"""Loaded for the routes they add."""
VERSION = "2022-11-28"
NO_AGENT = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"


class Door:
    """Answers requests, one at a time, and records them."""

    def __init__(self, state: State, tokens: Mapping[str, Account]) -> None:
        self.state = state
        self.tokens = dict(tokens)
        self.calls: list[Call] = []
        self.trouble = Trouble()
        self.lock = threading.RLock()
        self.url = ""

    def answer(
        self, verb: str, target: str, headers: Mapping[str, str], content: bytes
    ) -> Answer | None:
        """Answer a request, with lower-case header names; None if the answer is to be lost."""
        split = urlsplit(target)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        account, route, lost = None, None, False
        with self.lock:
            try:
                account = self._account(headers)
                fault = self.trouble.next(f"{verb} {split.path}")
                if fault and fault.refusal:
                    raise fault.refusal
                lost = fault is not None
                self.state.sync()
                if (verb, split.path) == ("POST", "/graphql"):
                    reads, _ = next(matching("GET", "issues/1/comments"))
                    told = answer_query(self.state, account, _body(content), reads)
                else:
                    route, args = self._route(verb, split.path, account)
                    ask = Ask(self.state, account, args, query, _body(content), self.url)
                    told = route.handler(ask)
                    self.state.sync()
            except RefusedError as refused:
                told = refused.answer
            login = account.login if account else ""
            self.calls.append(Call(verb, split.path, query, login, 0 if lost else told.status))
        accepted = {"X-Accepted-GitHub-Permissions": route.wants} if route else {}
        return None if lost else Answer(told.status, told.body, {**accepted, **told.headers})

    def _account(self, headers: Mapping[str, str]) -> Account:
        if not headers.get("user-agent"):
            raise RefusedError(403, NO_AGENT)
        if headers.get("x-github-api-version", VERSION) != VERSION:
            raise RefusedError(400, "X-GitHub-Api-Version is not a supported version.")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not token:
            raise RefusedError(401, "Requires authentication")
        if scheme.lower() not in {"bearer", "token"} or token not in self.tokens:
            raise RefusedError(401, "Bad credentials")
        return self.tokens[token]

    def _route(self, verb: str, path: str, account: Account) -> tuple[Route, dict[str, str]]:
        for root in (f"/repos/{self.state.repository}", f"/repositories/{self.state.id}"):
            if path == root or path.startswith(f"{root}/"):
                return self._permitted(verb, path[len(root) + 1 :], account)
        if path.startswith(("/repos/", "/repositories/")):
            raise not_found()
        raise RefusedError(501, f"The stand-in does not know {verb} {path}.")

    def _permitted(self, verb: str, below: str, account: Account) -> tuple[Route, dict[str, str]]:
        for route, args in matching(verb, below):
            if route.allows(account, public=not self.state.private):
                return route, args
            kind = "integration" if account.login.endswith("[bot]") else "personal access token"
            wanted = {"x_accepted_github_permissions": route.wants}
            raise RefusedError(403, f"Resource not accessible by {kind}", **wanted)
        raise RefusedError(501, f"The stand-in does not know {verb} of a repository's /{below}.")


def _body(content: bytes) -> Json:
    try:
        body = json.loads(content) if content else {}
    except ValueError:
        raise RefusedError(400, "Problems parsing JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "Body should be a JSON object")
    return body
