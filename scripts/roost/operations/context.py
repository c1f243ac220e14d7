"""What every verb is given: where things are, what the environment says, where to print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Context:
    """Passed in, never looked up: tests hand in their own."""

    environ: Mapping[str, str]
    project: Path
    out: Console
    """Standard output: data, and what the verb was asked for."""
    progress: Console
    """Standard error: what happens as it happens."""

    @property
    def environments(self) -> Path:
        """The folder whose files are environments; ROOST_ENVIRONMENTS names another."""
        return Path(self.environ.get("ROOST_ENVIRONMENTS") or self.project / "environments")

    @property
    def deploy(self) -> Path:
        """What runs on the machine, and what limits it; ROOST_DEPLOY names another."""
        return Path(self.environ.get("ROOST_DEPLOY") or self.project / "deploy")

    @property
    def prices(self) -> Path:
        """The price list; always our own, whoever's files are planned."""
        return self.project / "deploy" / "prices.yaml"

    @property
    def local_home(self) -> Path:
        """Where the local Fly keeps its state: LOCALFLY_HOME, or in the state of `./run`."""
        state = self.environ.get("RUN_STATE") or self.project / ".run"
        return Path(self.environ.get("LOCALFLY_HOME") or Path(state) / "localfly")
