"""List the settings of the installed Prefect: `python list_settings.py FILE`.

`./run lock VERSION` runs it with the Prefect of that lock. Each line describes one setting: its
name, the type of its value, and its aliases. `roost validate` reads the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from roost_server.prefect_internals import LOGGING_FILE, SETTINGS

PLAIN = {bool: "bool", int: "int", float: "float"}
GROUP, TEXT = "group", "text"


def main(argv: list[str]) -> int:
    """Write the list to the file named by the first argument; return the exit code."""
    lines = {
        line.split()[0]: line
        for line in (*logging_lines(LOGGING_FILE.load()), *setting_lines(SETTINGS.load()))
    }
    Path(argv[0]).write_text("".join(f"{lines[name]}\n" for name in sorted(lines)), "utf-8")
    return 0


def setting_lines(model: Any) -> Iterator[str]:
    """Return one line for each field of a settings model and of its nested models."""
    prefix = model.model_config["env_prefix"]
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        own = f"{prefix}{name}".upper()
        if inner:
            yield f"{own} {GROUP}"
            yield from setting_lines(inner)
        else:
            yield " ".join([own, type_of(field.annotation), *_aliases(field, own)])


def _model_in(annotation: Any) -> Any:
    from pydantic_settings import BaseSettings

    is_model = isinstance(annotation, type) and issubclass(annotation, BaseSettings)
    return annotation if is_model else None


def _aliases(field: Any, own: str) -> list[str]:
    choices = getattr(field.validation_alias, "choices", ())
    return sorted({alias.upper() for alias in choices if isinstance(alias, str)} - {own})


def type_of(annotation: Any) -> str:
    """Return the name of a type that can be checked without Prefect; "text" for the others."""
    if get_origin(annotation) is Literal:
        return "|".join(str(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        some = {type_of(part) for part in get_args(annotation) if part is not type(None)}
        return some.pop() if len(some) == 1 else TEXT
    return PLAIN.get(annotation, TEXT)


def logging_lines(path: Path) -> Iterator[str]:
    """Return one line for each value of Prefect's logging.yml, which variables can override."""
    import yaml

    for keys in _leaves(yaml.safe_load(path.read_text("utf-8"))):
        name = re.sub(r"[^0-9A-Z]+", "_", "_".join(["PREFECT_LOGGING", *keys]).upper())
        yield f"{name} {TEXT}"


def _leaves(data: Any, above: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    if not isinstance(data, dict) or not data:
        return [above]
    return [leaf for key, value in data.items() for leaf in _leaves(value, (*above, str(key)))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
