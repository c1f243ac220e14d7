"""Read the workflow files of a checkout: the steps with a deploy token, and the secrets they get."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from roost.report.setup import PLAN, TOKEN

FOLDER = ".github/workflows"
WANTED = ("checks", "plan", "deploy", "drift", "scale", "rollback", "secrets", "server", "destroy")
# The commands that may set a secret, or log in to prove what they did.
_NEEDS_VALUES = re.compile(
    r"\broost\s+(github\s+(deploy|secrets|rollback)|apply|secrets|drift|scale|rollback|restore)\b"
)
_SECRET = re.compile(r"\$\{\{\s*secrets\.(\w+)\s*\}\}", re.ASCII)


@dataclass(frozen=True)
class Holder:
    """A step with a deploy token, which may need the value of every secret."""

    workflow: str
    job: str
    handed: Mapping[str, str]
    """The secret of GitHub that each variable is set to."""


@dataclass(frozen=True)
class Workflows:
    """The workflow files of a checkout."""

    holders: tuple[Holder, ...]
    absent: tuple[str, ...]
    """Files of the template that are missing."""
    unreadable: tuple[str, ...]
    """Files that cannot be read as workflows."""

    def lacking(self, variable: str) -> tuple[str, ...]:
        """Return the workflows, with their jobs, that do not pass a variable on."""
        jobs: dict[str, dict[str, None]] = {}
        for holder in self.holders:
            if variable not in holder.handed:
                jobs.setdefault(holder.workflow, {})[holder.job] = None
        return tuple(f"{workflow} ({', '.join(names)})" for workflow, names in jobs.items())

    def secret_of(self, variable: str) -> str:
        """Return the secret of GitHub that a variable is set to."""
        found = [h.handed[variable] for h in self.holders if variable in h.handed]
        return found[0] if found else variable


def read_workflows(repository: Path) -> Workflows:
    """Read all workflow files of a checkout."""
    folder = repository / FOLDER
    files = sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])
    holders: list[Holder] = []
    unreadable: list[str] = []
    for file in files:
        try:
            holders += _holders(file.name, yaml.safe_load(file.read_bytes()))
        except (yaml.YAMLError, OSError, AttributeError, TypeError, ValueError, RecursionError):
            unreadable.append(file.name)
    have = {file.stem for file in files}
    absent = tuple(f"{name}.yml" for name in WANTED if name not in have)
    return Workflows(tuple(holders), absent, tuple(unreadable))


def _holders(name: str, workflow: Any) -> Iterator[Holder]:
    for key, job in workflow["jobs"].items() if "jobs" in workflow else ():
        if _environment(job) == PLAN:
            continue
        around = {**(workflow.get("env") or {}), **(job.get("env") or {})}
        for step in job.get("steps") or ():
            env = {**around, **(step.get("env") or {})}
            if TOKEN in env and _NEEDS_VALUES.search(str(step.get("run") or "")):
                yield Holder(name, str(key), dict(_handed(env)))


def _environment(job: Mapping[str, Any]) -> str:
    found = job.get("environment")
    return str(found.get("name") if isinstance(found, dict) else found)


def _handed(env: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable, value in env.items():
        if found := _SECRET.search(str(value)):
            yield str(variable), found[1]
