"""Turn pydantic's errors into messages for the person who wrote the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from roost.environment.foreign_keys import FOREIGN_KEYS
from roost.environment.model import IGNORABLE_FIELDS, Environment
from roost.environment.regions import CLOSED_REGIONS
from roost.environment.yaml_source import Path

_UNION_TAGS = ("sqlite", "postgres")

_NESTED = ("a mapping", "a list")
NOT_SHOWN = "something that may be a secret and is not shown"
# Logins in addresses, and the prefixes of tokens of Fly, Prefect, GitHub, AWS, Slack and age.
_SECRET_LOOK = re.compile(
    r"://[^/?#\s]*@|\bf(?:m\d[a-z]?|o1)_|\bpn[ub]_|\bgh[a-z]_|\bgithub_pat_|\bAKIA|\bxox[a-z]-"
    r"|\bAGE-SECRET|-----BEGIN|\bBearer |\bBasic |\beyJ"
)

# The meaning of a field's pattern, by the last part of the field's path.
_FORMS = {
    "app": "must be 2 to 63 lower-case letters, digits and dashes, not beginning or ending with a dash",
    "organization": "must be the organization's slug: lower-case letters, digits and dashes",
    "version": "must be a full version, such as 3.9.1",
    "name": "must be a name such as SLACK_HOOK: letters, digits and underscores",
    "env": "must be the name of an environment variable, such as SLACK_HOOK",
    "url": "must be s3://BUCKET/PATH, with a path that is this environment's alone",
    "endpoint": "must be https://HOST or https://HOST:PORT",
    "region": "must be the bucket's region: lower-case letters, digits and dashes",
    "objects": "must be a YAML file of this repository, such as prefect/production.yaml",
    "url_secret": "must be the name of a secret, such as DATABASE_URL",
    "days": "must be days such as mon-fri, sat,sun or daily, in lower case and without blanks",
    "from": 'must be a time from 00:00 to 23:59 with two digits each, such as "08:00"',
    "to": 'must be a time from 00:00 to 24:00 with two digits each, such as "18:00"',
    "timezone": "must be the name of a time zone, such as Europe/Berlin or UTC",
    "field": "must be a field as plans show it, such as guest.memory_mb or env.PREFECT_LOGGING_LEVEL",
}

_OF_SECRETS = frozenset({"secrets", "object_secrets", "url_secret"})


def field_path(error: ErrorDetails) -> Path:
    """Return the path of the field in the file, without the union members that pydantic adds."""
    path = tuple(error["loc"])
    if len(path) > 1 and path[0] == "database" and path[1] in _UNION_TAGS:
        return (path[0], *path[2:])
    return path


def message(error: ErrorDetails, path: Path) -> str:
    """Return what is wrong with a field, and the fix."""
    name = _named(path)
    found = _found(error["input"], path)
    context = error.get("ctx", {})
    writer = _WRITERS.get(error["type"])
    if writer:
        return writer(name, found, context)
    if error["type"] == "extra_forbidden":
        known = known_keys(path[:-1])
        if name in known:  # a key of the other database backend
            return f"{name} is for the other backend; remove it, or change backend"
        if len(path) == 1 and name in FOREIGN_KEYS:
            return f"there is no key {name} here: {FOREIGN_KEYS[name]}"
        return f"there is no key {name}{suggestion(name, known)}"
    return f"{name}: {error['msg']}, found {found}"


def _found(value: object, path: Path) -> str:
    """Return the value to show; a text instead of a secret's name may be the secret itself."""
    return NOT_SHOWN if _OF_SECRETS.intersection(path) and isinstance(value, str) else _shown(value)


def _named(path: Path) -> str:
    if not path:
        return "the file"
    last = path[-1]
    if isinstance(last, int):
        return f"entry {last + 1}"
    return _shown(last) if last.strip() else "a key without a name"


def suggestion(name: str, known: list[str]) -> str:
    """Return a hint with the closest known key, or with all known keys."""
    known = [key for key in known if key != name]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(known)}" if known else "; remove it"


def known_keys(path: Path) -> list[str]:
    """Return the keys that are allowed at a path of the file."""
    models: list[type[BaseModel]] = [Environment]
    for part in path:
        if isinstance(part, str):
            models = [inner for model in models for inner in _models_at(model, part)]
    return sorted(
        {info.alias or key for model in models for key, info in model.model_fields.items()}
    )


def _models_at(model: type[BaseModel], name: str) -> list[type[BaseModel]]:
    for key, info in model.model_fields.items():
        if name in (key, info.alias):
            return list(_models_in(info.annotation))
    return []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _shown(value: object) -> str:
    """Return a value as the file has it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list | tuple):
        return _NESTED[0] if isinstance(value, dict) else _NESTED[1]
    if isinstance(value, bool):
        return str(value).lower()
    text = str(getattr(value, "source", value))
    if _SECRET_LOOK.search(text):
        return NOT_SHOWN
    short = text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what fits a line
    # Letters of other scripts may look just like the right ones.
    return short if short.isascii() else f"{short} ({ascii(short)[1:-1]})"


def _whole_number(name: str, found: str, _: Mapping[str, Any]) -> str:
    plain = found.replace("_", "")
    usable = plain.isascii() and plain.isdigit() and len(plain) <= 9  # noqa: PLR2004 - no field allows a larger one
    instead = f"; write {int(plain)}" if usable else ""
    return f"{name} must be a whole number, without quotes or unit, found {found}{instead}"


def _number(name: str, found: str, _: Mapping[str, Any]) -> str:
    return f"{name} must be a number such as 5 or 12.50, without quotes or unit, found {found}"


def _truth(name: str, found: str, _: Mapping[str, Any]) -> str:
    return f"{name} must be true or false, without quotes, found {found}"


def _text(name: str, found: str, _: Mapping[str, Any]) -> str:
    if found == "nothing":
        return f"{name} is empty; give it a value or remove the key"
    if (
        name == "version"
    ):  # YAML reads `3.9` as a number; quotes alone would not make it a full version
        return _pattern(name, found, {})
    quotes = "" if found in _NESTED else "; put it in quotes if it is meant"
    return f"{name} must be text, found {found}{quotes}"


def _mapping(name: str, found: str, _: Mapping[str, Any]) -> str:
    return f"{name} must be a mapping of keys to values, indented below it, found {found}"


def _listing(name: str, found: str, _: Mapping[str, Any]) -> str:
    return f"{name} must be a list, one `- entry` a line, found {found}"


def _missing(name: str, _: str, __: Mapping[str, Any]) -> str:
    return f"{name} is missing; add it"


def _choice(name: str, found: str, context: Mapping[str, Any]) -> str:
    expected = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
    close = _region_instead(found) if name == "region" else _did_you_mean(found, expected)
    return f"{name} must be one of {', '.join(expected)}, found {found}{close}"


def _region_instead(found: str) -> str:
    """Return a hint with the region nearest to a closed one; similar names would mislead."""
    if found not in CLOSED_REGIONS:
        return ""
    place, nearest = CLOSED_REGIONS[found]
    return f" ({place}, which Fly has closed); the nearest is {nearest}"


def _did_you_mean(found: str, expected: list[str]) -> str:
    close = difflib.get_close_matches(found, expected, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _pattern(name: str, found: str, _: Mapping[str, Any]) -> str:
    close = _did_you_mean(found, list(IGNORABLE_FIELDS)) if name == "field" else ""
    return f"{name} {_FORMS.get(name, 'is not written as it must be')}, found {found}{close}"


def _at_least(name: str, found: str, context: Mapping[str, Any]) -> str:
    return f"{name} must be {context['ge']} or more, found {found}"


def _at_most(name: str, found: str, context: Mapping[str, Any]) -> str:
    return f"{name} must be {context['le']} or less, found {found}"


def _multiple(name: str, found: str, context: Mapping[str, Any]) -> str:
    step = context["multiple_of"]
    return f"{name} must be a multiple of {step}, such as {2 * step}, found {found}"


def _too_long(name: str, found: str, context: Mapping[str, Any]) -> str:
    return f"{name} must be no longer than {context['max_length']}, found {found}"


def _too_short(name: str, _: str, __: Mapping[str, Any]) -> str:
    return f"{name} is empty; give it a value or remove the key"


def _value(name: str, found: str, context: Mapping[str, Any]) -> str:
    return f"{name} {context['error']}, found {found}"


def _backend(_: str, __: str, ___: Mapping[str, Any]) -> str:
    return "backend is missing; write backend: sqlite or backend: postgres"


def _other_backend(_: str, __: str, context: Mapping[str, Any]) -> str:
    return f"backend must be sqlite or postgres, found {_shown(context['tag'])}"


_WRITERS: dict[str, Callable[[str, str, Mapping[str, Any]], str]] = {
    "missing": _missing,
    "int_type": _whole_number,
    "float_type": _number,
    "finite_number": _number,
    "bool_type": _truth,
    "string_type": _text,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "dict_type": _mapping,
    "tuple_type": _listing,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "string_too_long": _too_long,
    "string_too_short": _too_short,
    "too_short": _too_short,
    "too_long": _too_long,
    "greater_than_equal": _at_least,
    "less_than_equal": _at_most,
    "multiple_of": _multiple,
    "value_error": _value,
    "union_tag_not_found": _backend,
    "union_tag_invalid": _other_backend,
}
