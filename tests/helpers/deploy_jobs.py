"""The jobs of the deploy workflow, in one process with a fake Fly and a fake GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


class DeployJobs:
    """Runs the jobs Deploy and Report of one environment; a test's story inherits from it."""

    name: str
    folder: Path
    github: Any
    env: Callable[[str, str], None]
    job: Callable[..., Any]

    def deploy(self, *options: object) -> tuple[Any, dict[str, Any]]:
        """Run the jobs Deploy and Report; return the output of the first, and its outcome."""
        results = self.folder / "results"
        said = self.job("github", "deploy", "--results", results, *options, self.name)
        assert self.job("github", "report", "--results", results).code == 0
        return said, json.loads((results / f"{self.name}.json").read_text())

    def by_hand(self, *options: object) -> tuple[Any, dict[str, Any]]:
        """Start Deploy by hand, with the present main."""
        self.env("GITHUB_EVENT_NAME", "workflow_dispatch")
        self.env("GITHUB_SHA", self.github.head())
        (self.folder / "event").write_text(json.dumps({"inputs": {}}))
        return self.deploy(*options)
