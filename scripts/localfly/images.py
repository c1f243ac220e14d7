"""Images: a lock, files and a command, built once into folders and named by what they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Image:
    """A built image. `folder` is its root (IMAGE_ROOT), `bin` holds its `python`; never write there."""

    ref: str
    digest: str
    folder: Path
    bin: Path
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
