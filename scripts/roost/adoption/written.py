"""Write the file of an imported app as YAML, with a comment above each section that has a guess."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from roost.adoption.imported import Imported
from roost.environment.yaml_source import printable
from roost.errors.command import Command

_SPACED = frozenset(
    {"prefect", "environment", "machine", "scaling", "database", "access", "health"}
)
_WIDTH = 1000


def written(found: Imported) -> str:
    """Return the text of the file."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Imported) -> Iterator[str]:
    yield "# yaml-language-server: $schema=environment.schema.json"
    yield f"# Made from the app {found.environment.app} by `{Command('import', found.environment.app).typed}`."
    for section, value in found.data.items():
        if section in _SPACED or section == "secrets":
            yield ""
        for place, guess in found.findings.guesses:
            if place == section:
                yield f"# guessed: {printable(guess)}"
        if section == "adopt":
            yield "# The machine that the first apply takes over; keep this line."
        if section == "secrets":
            yield "# names; a value never stands here"
        text = yaml.safe_dump(
            {section: value},
            sort_keys=False,
            allow_unicode=True,
            width=_WIDTH,
            default_flow_style=False,
        )
        yield text.rstrip("\n")
