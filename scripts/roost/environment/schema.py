"""Generate the JSON Schema for editors from the model, and check files against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from roost.environment.model import Environment
from roost.environment.yaml_source import Path

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def environment_schema() -> dict[str, Any]:
    """Return the schema of an environment file; `x-` keys are free for anchors."""
    schema = Environment.model_json_schema(by_alias=True)
    schema["title"] = "Roost environment"
    schema["patternProperties"] = {"^x-": True}
    return {"$schema": DIALECT, **schema}


def render_schema() -> str:
    """Return the text of environment.schema.json."""
    return json.dumps(environment_schema(), indent=2, sort_keys=True) + "\n"


def disagreements(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Return the schema's errors for data that the model accepted; each is a fault of Roost."""
    for error in _validator().iter_errors(data):
        yield tuple(error.absolute_path), error.message


@cache
def _validator() -> Any:
    # Imported late, because the import is slow and the help needs no schema.
    from jsonschema import Draft202012Validator

    return Draft202012Validator(environment_schema())
