"""Read the workflow files of a checkout: the steps with a deploy token, and the secrets they get."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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
_TELLS = re.compile(r"\broost\s+github\s+(notify|waiting)\b")
_DUMPS = re.compile(r"\broost\s+(backup\b|\"\$ACTION\")")
_SECRET = re.compile(r"\$\{\{\s*secrets\.(\w+)\s*\}\}", re.ASCII)


@dataclass(frozen=True)
class Holder:
    """A step that needs values: one with a deploy token, or one that sends messages."""

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
    tellers: tuple[Holder, ...] = ()
    """Steps that send messages, and need their addresses."""
    keepers: tuple[Holder, ...] = ()
    """Steps that dump a Postgres into a bucket, and need its address and the bucket's keys."""

    def secret_of(self, variable: str) -> str:
        """Return the secret of GitHub that a variable is set to."""
        found = [h.handed[variable] for h in self.holders if variable in h.handed]
        return found[0] if found else variable


def lacking(holders: Iterable[Holder], variable: str) -> tuple[str, ...]:
    """Return the workflows, with their jobs, of steps that do not pass a variable on."""
    jobs: dict[str, dict[str, None]] = {}
    for holder in holders:
        if variable not in holder.handed:
            jobs.setdefault(holder.workflow, {})[holder.job] = None
    return tuple(f"{workflow} ({', '.join(names)})" for workflow, names in jobs.items())


def read_workflows(repository: Path) -> Workflows:
    """Read all workflow files of a checkout."""
    folder = repository / FOLDER
    files = sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])
    holders: list[Holder] = []
    tellers: list[Holder] = []
    keepers: list[Holder] = []
    unreadable: list[str] = []
    for file in files:
        try:
            workflow = yaml.safe_load(file.read_bytes())
            holders += _holders(file.name, workflow)
            tellers += _running(_TELLS, file.name, workflow)
            keepers += _running(_DUMPS, file.name, workflow)
        except (yaml.YAMLError, OSError, AttributeError, TypeError, ValueError, RecursionError):
            unreadable.append(file.name)
    have = {file.stem for file in files}
    absent = tuple(f"{name}.yml" for name in WANTED if name not in have)
    return Workflows(tuple(holders), absent, tuple(unreadable), tuple(tellers), tuple(keepers))


def _holders(name: str, workflow: Any) -> Iterator[Holder]:
    for key, job, run, env in _steps(workflow):
        if _environment(job) != PLAN and TOKEN in env and _NEEDS_VALUES.search(run):
            yield Holder(name, key, dict(_handed(env)))


def _running(commands: re.Pattern[str], name: str, workflow: Any) -> Iterator[Holder]:
    for key, _, run, env in _steps(workflow):
        if commands.search(run):
            yield Holder(name, key, dict(_handed(env)))


def _steps(workflow: Any) -> Iterator[tuple[str, Mapping[str, Any], str, Mapping[str, Any]]]:
    """Return each step's job with its name, and what it runs with which variables."""
    for key, job in workflow["jobs"].items() if "jobs" in workflow else ():
        around = {**(workflow.get("env") or {}), **(job.get("env") or {})}
        for step in job.get("steps") or ():
            yield str(key), job, str(step.get("run") or ""), {**around, **(step.get("env") or {})}


def _environment(job: Mapping[str, Any]) -> str:
    found = job.get("environment")
    return str(found.get("name") if isinstance(found, dict) else found)


def _handed(env: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable, value in env.items():
        if found := _SECRET.search(str(value)):
            yield str(variable), found[1]
