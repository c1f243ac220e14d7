"""Fly's published OpenAPI document, with its known errors corrected.

It is looked for in $FLY_OPENAPI, then in `../shared/data/` beside the checkout. Every object is
closed before it is compared: a field that the document does not have is a fault too.
"""

from __future__ import annotations

import copy
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30Validator

Json = dict[str, Any]

NAME = "fly-machines-openapi.json"
BESIDE = Path(__file__).parents[3] / "shared" / "data" / NAME
VERBS = ("get", "post", "put", "patch", "delete")

# What the document says otherwise than the API does: schema, field, what it should be, and who says so.
STRING_OR_NULL = {"type": "string", "nullable": True}
KNOWN_ERRORS = (
    ("Machine", "cordoned", {"type": "boolean"}, "fly-go's Machine has it"),
    ("IPAssignment", "type", {"type": "string"}, "seen live (alchemy-run/distilled)"),
    (
        "fly.MachineService",
        "autostop",
        {"oneOf": [{"type": "boolean"}, {"type": "string", "enum": ["off", "stop", "suspend"]}]},
        "its own description: booleans for off and stop in responses",
    ),
    (
        "fly.MachineService",
        "force_instance_key",
        STRING_OR_NULL,
        "fly-go always writes it, as null",
    ),
    ("Volume", "attached_machine_id", STRING_OR_NULL, "null in the documentation's samples"),
    ("Volume", "attached_alloc_id", STRING_OR_NULL, "null in the documentation's samples"),
    (
        "AppSecretsUpdateRequest",
        "values",
        {"type": "object", "additionalProperties": STRING_OR_NULL},
        "documentation: null deletes",
    ),
    (
        "updateMetadataRequest",
        "metadata",
        {"type": "object", "additionalProperties": STRING_OR_NULL},
        "its own description: null values remove keys",
    ),
    ("CreateAppRequest", "app_role_id", {"type": "string"}, "flyctl sends it"),
)
# Answers in an envelope where the document has the bare lease: fly-go, and seen live.
ENVELOPED = {("get", "lease"), ("post", "lease")}
# Query parameters that exist without being in the document.
KNOWN_QUERIES = {"metadata.": "documentation: filter by metadata.KEY", "ttl": "flyctl sends it"}


def find_document() -> Json | None:
    """Read the document, if there is one."""
    for path in (Path(os.environ.get("FLY_OPENAPI") or NAME), BESIDE):
        if path.is_file():
            document: Json = json.loads(path.read_text(encoding="utf-8"))
            return document
    return None


def required_document() -> Json:
    """Read the document, or skip the test with the reason."""
    document = find_document()
    if document is None:
        pytest.skip(f"Fly's OpenAPI document is neither in $FLY_OPENAPI nor at {BESIDE}")
    return document


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    verb: str
    path: str
    query: tuple[str, ...]
    request: object
    status: int
    answer: object


@dataclass
class Contract:
    """The document, with closed objects and corrected errors."""

    document: Json
    schemas: Json = field(init=False)

    def __post_init__(self) -> None:
        self.schemas = copy.deepcopy(self.document["components"]["schemas"])
        for schema, name, right, _ in KNOWN_ERRORS:
            self.schemas[schema]["properties"][name] = right
        for schema in self.schemas.values():
            _close(schema)

    def operations(self) -> list[tuple[str, str]]:
        """List every verb and path that Fly publishes."""
        paths = self.document["paths"].items()
        return [(verb, path) for path, verbs in paths for verb in VERBS if verb in verbs]

    def find(self, verb: str, path: str) -> str | None:
        """Find the published path that matches a request's path; literal paths come first."""
        fitting = [p for v, p in self.operations() if v == verb and _pattern(p).fullmatch(path)]
        return min(fitting, key=lambda p: p.count("{"), default=None)

    def faults(self, exchange: Exchange) -> list[str]:
        """Return where an exchange differs from the document."""
        verb, where = exchange.verb, f"{exchange.verb.upper()} {exchange.path}"
        path = self.find(verb, exchange.path)
        if path is None:
            return [f"{where} is not published"]
        operation = self.document["paths"][path][verb]
        found = [*self._query_faults(operation, exchange.query)]
        found += self._body_faults(operation, exchange.request)
        found += self._answer_faults(verb, path, operation, exchange)
        return [f"{where}: {fault}" for fault in found]

    def _query_faults(self, operation, query):
        known = {p["name"] for p in operation.get("parameters", []) if p["in"] == "query"}
        for name in query:
            if name not in known and not name.startswith(tuple(KNOWN_QUERIES)):
                yield f"no query parameter {name}"

    def _body_faults(self, operation, body):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content:
            yield from self._invalid("request", content["schema"], body or {})
        elif body:
            yield "takes no request body"

    def _answer_faults(self, verb, path, operation, exchange):
        answers = operation["responses"]
        if str(exchange.status) not in answers:
            if exchange.status < 400:
                yield f"status {exchange.status}, not {', '.join(answers)}"
            else:
                schema = {"$ref": "#/components/schemas/ErrorResponse"}
                yield from self._invalid("error", schema, exchange.answer)
            return
        content = answers[str(exchange.status)].get("content", {}).get("application/json")
        if content:
            body = exchange.answer
            if (verb, path.rpartition("/")[2]) in ENVELOPED and exchange.status < 400:
                yield from [] if body["status"] == "success" else ["no envelope"]
                body = body["data"]
            yield from self._invalid("answer", content["schema"], body)

    def _invalid(self, what, schema, value):
        closed = _close(copy.deepcopy(schema)) | {"components": {"schemas": self.schemas}}
        for error in OAS30Validator(closed).iter_errors(value):
            yield f"{what} at {error.json_path}: {error.message[:300]}"


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path))


def _close(schema: Json) -> Json:
    """Forbid fields that the document does not list."""
    if schema.get("properties") and "allOf" not in schema:
        schema.setdefault("additionalProperties", False)
    for inner in schema.get("properties", {}).values():
        _close(inner)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            _close(schema[name])
    return schema
