"""Requests to the server: Roost's own endpoints for flow servers, and a few of Prefect's API."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from roost_flows.errors import (
    FencedError,
    ForgottenError,
    NoFlowServersError,
    RefusedError,
    UnreachableError,
    WrongLoginError,
)
from roost_flows.settings import HEADER, Settings

Json = dict[str, Any]
MISSING_HEADER = "X-Roost-Missing-Processes"
NO_HEADERS: Mapping[str, str] = {}
LIMIT_S = 60.0
_LATER = (408, 425, 429, 500, 502, 503, 504)
_LOGIN = (401, 403)
_ABSENT = (404, 405)
_FENCED = 409
_LONGEST_BODY = 4 * 1024 * 1024


@dataclass(frozen=True)
class ServerClient:
    """Sends each request on a connection of its own; a sleep of either side breaks no connection."""

    settings: Settings

    def prefect_version(self) -> str:
        """Return the version of the server's Prefect."""
        version = self._api("GET", "/admin/version")
        return version if isinstance(version, str) else ""

    def online(self, prefect: str) -> bool:
        """Announce this start; return whether the canary must run.

        Args:
            prefect: the version of the image's Prefect client.
        """
        settings = self.settings
        body = {
            "boot": settings.boot,
            "version": settings.version,
            "address": settings.address,
            "prefect": prefect,
            "missed": settings.missed,
        }
        reply = self._own("POST", "/online", body)
        if not isinstance(reply, dict) or "canary" not in reply:
            raise NoFlowServersError(_not_roost(settings))
        return bool(reply["canary"])

    def canary_done(self) -> None:
        """Report that the canary flow of this version ran."""
        self._own("POST", "/canary", {"version": self.settings.version})

    def drain(self, *, draining: bool, limit_s: float = LIMIT_S) -> None:
        """Ask the server to hand out no work to this flow server, or to do so again."""
        self._own("POST", "/drain", {"draining": draining}, limit_s)

    def record(self, limit_s: float = LIMIT_S, missing: Json | None = None) -> Json:
        """Return the server's record of this flow server.

        Args:
            limit_s: how long the reply may take, in seconds.
            missing: the runs without a process (`missing.py`), for the server to know.
        """
        more = {} if missing is None else {MISSING_HEADER: json.dumps(missing)}
        record = self._own("GET", "", limit_s=limit_s, more=more)
        return record if isinstance(record, dict) else {}

    def paused(self, deployments: list[str], limit_s: float = LIMIT_S) -> dict[str, bool]:
        """Return whether each of these deployments is paused, by its id."""
        if not deployments:
            return {}
        body = {"deployments": {"id": {"any_": deployments}}, "limit": 200}
        found = self._api("POST", "/deployments/filter", body, limit_s)
        return {str(each["id"]): bool(each.get("paused")) for each in found}

    def resume(self, deployment: str, limit_s: float = LIMIT_S) -> None:
        """Resume a paused deployment."""
        self._api("POST", f"/deployments/{deployment}/resume_deployment", None, limit_s)

    def scheduled(self, deployments: list[str], after: str, before: str) -> list[Json]:
        """Return the scheduled runs of deployments that are due between two times (RFC 3339)."""
        if not deployments:
            return []
        runs = {
            "deployment_id": {"any_": deployments},
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"after_": after, "before_": before},
        }
        body = {"flow_runs": runs, "sort": "NEXT_SCHEDULED_START_TIME_ASC", "limit": 50}
        found = self._api("POST", "/flow_runs/filter", body)
        return found if isinstance(found, list) else []

    def _own(
        self,
        verb: str,
        path: str,
        body: Json | None = None,
        limit_s: float = LIMIT_S,
        more: Mapping[str, str] = NO_HEADERS,
    ) -> Any:
        root = self.settings.api_url.removesuffix("/api")
        url = f"{root}/roost/flow-servers/{self.settings.name}{path}"
        try:
            return self._request(verb, url, body, limit_s, more)
        except NoFlowServersError as error:
            if path == "/online":
                raise
            # It knew this flow server when it came online.
            raise ForgottenError(
                f"the server at {self.settings.api_url} has no record of {self.settings.name} any more"
            ) from error

    def _api(self, verb: str, path: str, body: Json | None = None, limit_s: float = LIMIT_S) -> Any:
        return self._request(verb, f"{self.settings.api_url}{path}", body, limit_s)

    def _request(
        self,
        verb: str,
        url: str,
        body: Json | None,
        limit_s: float,
        more: Mapping[str, str] = NO_HEADERS,
    ) -> Any:
        """Send one request, with more headers, and return the parsed reply.

        Raises:
            LaunchError: one of its classes, by the reply's status; without the login in its text.
        """
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else _Plain
        headers = {HEADER: self.settings.caller, "accept": "application/json", **more}
        if self.settings.login:
            token = base64.b64encode(self.settings.login.encode()).decode()
            headers["authorization"] = f"Basic {token}"
        if body is not None:
            headers["content-type"] = "application/json"
        content = None if body is None else json.dumps(body)
        try:
            with closing(kind(str(parts.hostname), parts.port, timeout=limit_s)) as connection:
                connection.request(verb, parts.path, content, headers)
                reply = connection.getresponse()
                text = reply.read(_LONGEST_BODY)
                if reply.length:  # a read up to a length does not notice that the rest is missing
                    raise http.client.IncompleteRead(text, reply.length)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                f"the server at {self.settings.api_url} does not answer: {error!r}. "
                "Check that it runs: `roost status`"
            ) from error
        return self._parsed(f"{verb} {parts.path}", reply.status, text)

    def _parsed(self, call: str, status: int, text: bytes) -> Any:
        settings = self.settings
        if status in _LOGIN:
            raise WrongLoginError(
                f"the server at {settings.api_url} refuses the login (status {status}). "
                "Deploy the environment again with `roost apply`: it sets the server's login as the "
                "secret PREFECT_API_AUTH_STRING of this flow server"
            )
        if status in _ABSENT:
            raise NoFlowServersError(_not_roost(settings))
        if status == _FENCED:
            raise FencedError(
                f"the server ended this start of the flow server {settings.name}: a newer one took "
                "over, or it was silent for too long while a flow ran. Fly starts the machine again; "
                "check that there is one machine: `roost status`"
            )
        if status in _LATER:
            raise UnreachableError(
                f"the server at {settings.api_url} answers {call} with status {status}. "
                "Look at its log: `fly logs`"
            )
        if not http.client.OK <= status < http.client.MULTIPLE_CHOICES:
            raise RefusedError(
                f"the server at {settings.api_url} refuses {call} with status {status}. "
                "Look at its log: `fly logs`"
            )
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise NoFlowServersError(_not_roost(settings)) from error


_Plain = http.client.HTTPConnection


def _not_roost(settings: Settings) -> str:
    return (
        f"what answers at {settings.api_url} is no Roost server with flow servers. Check "
        "PREFECT_API_URL, and deploy the server first: `roost apply`"
    )
