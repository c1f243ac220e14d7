"""Prefect's own objects in memory: the calls that create, read, change and remove them."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx

Json = dict[str, Any]

HIDDEN = "********"
WEBHOOK = "slack-webhook"
SECRET_FIELDS = {WEBHOOK: ["url"], "secret": ["value"], "plain": [], "logins": ["users.*"]}
"""The block types of the server, each with the fields that it keeps secret."""
_PATHS = ("variables", "work_pools", "v2/concurrency_limits", "automations", "block_types")
_BLOCKS = ("block_schemas", "block_documents")
_BAD = re.compile(r'"bad[ "]')
"""Not within a text: an id may have these letters."""


def _say(status: int, body: Any = None) -> httpx.Response:
    return httpx.Response(status, json=body) if body is not None else httpx.Response(status)


@dataclass
class FakeObjects:
    """What is on the server, by kind and name, and the writes that it was asked for.

    `before_write` and `after_write` are called around each write with its number: there a test ends
    the process or loses the answer.
    """

    things: dict[tuple[str, str], Json] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)
    """By work pool, how many runs wait in it."""
    before_write: Callable[[int], None] = lambda _: None
    after_write: Callable[[int], None] = lambda _: None
    respells: bool = False
    """Whether it returns durations in another form than it got them, as Prefect does."""
    _clock: Any = field(default_factory=itertools.count)

    def knows(self, path: str, body: Json) -> bool:
        """Return whether a path below `/api/` is one of these objects'."""
        return path.startswith((*_PATHS, *_BLOCKS)) or (
            path == "flow_runs/count" and "work_pools" in body
        )

    def answer(self, verb: str, path: str, body: Json) -> httpx.Response:
        """Answer one call."""
        if verb == "GET" or path.endswith(("/filter", "/count")):
            return self._read(path, body)
        number = len(self.writes)
        self.before_write(number)
        self.writes.append(f"{verb} {path}")
        answer = self._write(verb, path, body)
        self.after_write(number)
        return answer

    def fields(self, kind: str, name: str) -> Json:
        """Return an object as the server has it, secrets included."""
        return self.things[(kind, name)]

    def names(self) -> set[str]:
        """Return all objects as `KIND/NAME`."""
        return {"/".join(key) for key in self.things}

    def _read(self, path: str, body: Json) -> httpx.Response:
        match path.split("/"):
            case ["flow_runs", "count"]:
                [pool] = body["work_pools"]["name"]["any_"]
                return _say(200, self.runs.get(pool, 0))
            case ["automations", "filter"]:
                [name] = body["automations"]["name"]["any_"]
                every = [t for (kind, _), t in self.things.items() if kind == "automations"]
                return _say(200, [self._spelt(t) for t in every if t["name"] == name])
            case ["block_schemas", "filter"]:
                [slug] = body["block_schemas"]["block_type_id"]["any_"]
                return _say(200, [{"id": slug, "fields": {"secret_fields": SECRET_FIELDS[slug]}}])
            case ["block_types", "slug", slug]:
                return _say(200, {"id": slug}) if slug in SECRET_FIELDS else _say(404, {})
            case ["block_types", "slug", slug, "block_documents", "name", name]:
                found = self.things.get(("block_documents", f"{slug}/{name}"))
                return _say(404, {}) if found is None else _say(200, self._hidden(slug, found))
            case parts:
                name = parts[-1]
                found = self.things.get((self._kind(path), unquote(name)))
                return _say(404, {}) if found is None else _say(200, found)

    def _write(self, verb: str, path: str, body: Json) -> httpx.Response:
        kind, name = self._kind(path), unquote(path.rstrip("/").rsplit("/", 1)[-1])
        if verb == "POST":
            return self._create(kind, body)
        key = next(
            (k for k, t in self.things.items() if k[0] == kind and name in (t["id"], t["name"])),
            None,
        )
        if key is None:
            return _say(404, {"detail": "not found"})
        if verb == "DELETE":
            self.things.pop(key)
            return _say(204)
        if refused := _refusal(body):
            return refused
        thing = self.things[key]
        if kind == "block_documents":
            thing["data"] = {**thing["data"], **body["data"]}
        else:
            thing.update(body)
        thing["updated"] = self._now()
        return _say(204)

    def _create(self, kind: str, body: Json) -> httpx.Response:
        if refused := _refusal(body):
            return refused
        slug = f"{body['block_type_id']}/" if kind == "block_documents" else ""
        key = (kind, f"{slug}{body['name']}")
        if key in self.things and kind != "automations":
            return _say(409, {"detail": "exists already"})
        if key in self.things:
            key = (kind, f"{body['name']}#{len(self.things)}")
        self.things[key] = {"id": str(uuid.uuid4()), "updated": self._now(), **body}
        return _say(201, self.things[key])

    def _kind(self, path: str) -> str:
        kind = path.split("/", maxsplit=1)[0]
        return "concurrency_limits" if kind == "v2" else kind

    def _hidden(self, slug: str, thing: Json) -> Json:
        fields = SECRET_FIELDS[slug]
        data = {k: HIDDEN if k in fields else v for k, v in thing["data"].items()}
        return {**thing, "data": data, "block_schema": {"fields": {"secret_fields": fields}}}

    def _spelt(self, thing: Json) -> Json:
        within = thing["trigger"].get("within")
        if not self.respells or within != "PT10M":
            return thing
        return {**thing, "trigger": {**thing["trigger"], "within": 600.0}}

    def _now(self) -> str:
        return f"2026-11-30T12:00:{next(self._clock):02}Z"


def _refusal(body: Json) -> httpx.Response | None:
    """Refuse a text that begins with `bad` as Prefect does, which repeats the whole request."""
    if not _BAD.search(json.dumps(body)):
        return None
    detail = {"type": "value_error", "loc": ["body", "value"], "msg": "is bad", "input": body}
    return _say(
        422,
        {
            "exception_message": "Invalid request received.",
            "exception_detail": [detail],
            "request_body": body,
        },
    )
