"""A Prefect server in memory: the part of its API that the probe uses, and ways to break it."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import httpx

from helpers.fake_events import EventSocket
from helpers.fake_objects import FakeObjects
from roost.prefect.transport import OpenServer, prefect_client

Json = dict[str, Any]
LOGIN = "admin:s3cret"
CREATED = "2026-11-23T12:00:00+00:00"


def opens(serve: Callable[[httpx.Request], Any]) -> OpenServer:
    """Return what opens a client of one server in memory, at whatever address.

    `serve` answers a request; it may be a coroutine function.
    """
    return partial(prefect_client, transport=httpx.MockTransport(serve))


def say(status: int, body: Any = None, **headers: str) -> httpx.Response:
    """Return an answer of the server."""
    if body is None:
        return httpx.Response(status, headers=headers)
    return httpx.Response(status, json=body, headers=headers)


@dataclass
class FakePrefect:
    """Set `broken` to answer otherwise: (verb, path) -> an answer, an exception, or a hang.

    A path may end in `*`. Values may be callables without arguments that give one of these, or
    None for the usual answer.
    """

    auth: bool = True
    login: str = LOGIN
    csrf: bool = False
    scheduler: bool = True
    docs: bool = False
    version: str = "3.8.8"
    api_url: str = "/api"
    report: Json | None = None
    """What it reports to the gate, as our image does; None for an image without a report."""
    settings: Json = field(default_factory=dict)
    """What it shows of its settings."""
    socket: str = ""
    """A trouble of helpers/fake_events, or `deaf`: events are taken and not kept."""
    broken: dict[tuple[str, str], Any] = field(default_factory=dict)
    things: dict[str, Json] = field(default_factory=dict)
    events: dict[str, Json] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    objects: FakeObjects = field(default_factory=FakeObjects)
    """Its work pools, limits, variables, blocks and automations."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path
        self.asked.append((request.method, path))
        wrong = self._wrong(request.method, path)
        if wrong == "hang":
            await anyio.sleep(60)
        if isinstance(wrong, Exception):
            raise wrong
        if isinstance(wrong, httpx.Response):
            return httpx.Response(wrong.status_code, headers=wrong.headers, content=wrong.content)
        if path == "/api/events/in":
            return self._socket().answer(request)
        page = self._page(path) or self._guard(request)
        return page or self._own_report(request, path) or self._api(request, path)

    def _socket(self) -> EventSocket:
        def keep(event: Json) -> None:
            if self.socket != "deaf":
                self.events[event["id"]] = event

        return EventSocket(self.login if self.auth else "", keep, self.socket)

    def _wrong(self, verb: str, path: str) -> Any:
        for (its_verb, pattern), wrong in self.broken.items():
            matches = path.startswith(pattern[:-1]) if pattern[-1] == "*" else path == pattern
            if verb == its_verb and matches:
                return wrong() if callable(wrong) else wrong
        return None

    def _page(self, path: str) -> httpx.Response | None:
        """Return the answer of a path that needs no login; None for any other."""
        docs = partial(say, 200 if self.docs else 404, {})
        # An answer is made when it is asked for: the others would cost more than all the rest.
        pages = {
            "/api/health": partial(say, 200, body=True),
            "/api/ready": partial(say, 200, {"message": "OK"}),
            "/": partial(say, 307, location="/v2/"),
            "/v2/": partial(httpx.Response, 200, html="<html>"),
            "/ui-settings": partial(say, 200, {"api_url": self.api_url}),
            "/docs": docs,
            "/openapi.json": docs,
        }
        return pages[path]() if path in pages else None

    def _own_report(self, request: httpx.Request, path: str) -> httpx.Response | None:
        if "x-roost-gate" in request.headers and path == "/roost/hold":
            return httpx.Response(200, text="held\n")
        if "x-roost-gate" in request.headers and path == "/roost/report":
            return say(404, {}) if self.report is None else say(200, self.report)
        return None

    def _guard(self, request: httpx.Request) -> httpx.Response | None:
        header = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.auth and request.headers.get("authorization") != header:
            return say(401, {"exception_message": "Unauthorized"})
        if self.csrf and request.method != "GET":
            pair = [request.headers.get(f"prefect-csrf-{part}") for part in ("token", "client")]
            if pair[0] != f"token-of-{pair[1]}":
                return say(403, {"detail": "Missing CSRF token."})
        return None

    def _api(  # noqa: C901, PLR0911, PLR0912 - one line a call of the API
        self, request: httpx.Request, path: str
    ) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        below = path.removeprefix("/api/")
        if self.objects.knows(below, body):
            return self.objects.answer(request.method, below, body)
        match (request.method, *path.removeprefix("/api/").rstrip("/").split("/")):
            case ("GET", "admin", "settings"):
                return say(200, self.settings)
            case ("GET", "admin", "version"):
                return say(200, self.version)
            case ("GET", "csrf-token"):
                client = request.url.params["client"]
                return say(200, {"token": f"token-of-{client}"}) if self.csrf else say(422, {})
            case ("POST", "logs"):
                return say(201)
            case ("POST", "events", "filter"):
                wanted = body["filter"]["id"]["id"]
                return say(200, {"events": [self.events[k] for k in wanted if k in self.events]})
            case ("POST", _, "filter"):
                return say(200, self._find(path.split("/")[2], body))
            case ("POST", "flow_runs", "count"):
                return say(200, len(self._scheduled()) if self.scheduler else 0)
            case ("POST", "flow_runs", key, "set_state"):
                self.things[key]["state"] = body["state"]
                return say(201, {"status": "ACCEPT"})
            case ("POST", kind):
                return say(201, self.put(kind, **body))
            case ("PATCH", "deployments", key):
                self.things[key].update(body)
                return say(204)
            case ("GET", _, key):
                return say(200, self.things[key]) if key in self.things else say(404, {})
            case ("DELETE", _, key):
                return say(204 if self.things.pop(key, None) else 404)
            case _:
                return say(405)

    def put(self, kind: str, **fields: Any) -> Json:
        """Add an object to the server."""
        thing = {"id": str(uuid.uuid4()), "kind": kind, "created": CREATED, **fields}
        self.things[thing["id"]] = thing
        return thing

    def _find(self, kind: str, body: Json) -> list[Json]:
        things = [thing for thing in self.things.values() if thing["kind"] == kind]
        if "flows" in body:
            part = body["flows"]["name"]["like_"]
            return [thing for thing in things if part in thing["name"]]
        wanted = body["flow_runs"]["id"]["any_"]
        return [thing for thing in things if thing["id"] in wanted]

    def _scheduled(self) -> list[Json]:
        return [
            thing
            for thing in self.things.values()
            if thing["kind"] == "deployments" and not thing.get("paused")
        ]


def first(*answers: Any) -> Callable[[], Any]:
    """Return these answers first, one a request, and the usual one from then on."""
    left = list(answers)
    return lambda: left.pop(0) if left else None
