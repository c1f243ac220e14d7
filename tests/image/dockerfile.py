"""Parse the instructions of a Dockerfile, to compare it with image.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from image.errors import ImageError


@dataclass(frozen=True)
class Instruction:
    """One instruction: its keyword in capitals, and its text in one line."""

    word: str
    text: str

    @property
    def argv(self) -> tuple[str, ...]:
        """Return the arguments of an instruction with a JSON array."""
        return tuple(json.loads(self.text))


def instructions(text: str) -> Iterator[Instruction]:
    """Return the instructions without comments; continued lines are joined."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", code).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield Instruction(word.upper(), " ".join(rest.split()))


def default_base(text: str) -> str:
    """Return a Dockerfile's default base image.

    Raises:
        ImageError: the Dockerfile has no `ARG BASE=...`.
    """
    for instruction in instructions(text):
        name, _, value = instruction.text.partition("=")
        if instruction.word == "ARG" and name == "BASE":
            return value
    raise ImageError("deploy/Dockerfile has no ARG BASE=... to start from.")
