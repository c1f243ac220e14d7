"""The files of .github/workflows, read as GitHub reads them: their events, and the commands of their steps."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = Path(".github") / "workflows"
# GitHub's own types of `pull_request` where a workflow names none.
DEFAULT_TYPES = ("opened", "synchronize", "reopened")
# Stands where a checkout's `run` stands, and writes down with which arguments it was called.
# The count of arguments, the program, the arguments: a NUL behind each. No Python, as it starts slowly.
RECORDER = """#!/bin/sh
printf '%s\\0' "$#" "${0#./}" "$@" >>"$CALLS"
"""


@dataclass(frozen=True)
class Step:
    """A step, and the job it belongs to."""

    data: Mapping[str, Any]
    workflow: str
    job: str

    @property
    def uses(self) -> str:
        """The action that it uses; empty for a script."""
        return str(self.data.get("uses", ""))

    @property
    def run(self) -> str:
        """The script that it runs; empty for an action."""
        return str(self.data.get("run", ""))

    @property
    def env(self) -> Mapping[str, str]:
        """Its own variables, with the expressions as they are written."""
        return dict(self.data.get("env") or {})


@dataclass(frozen=True)
class Job:
    """A job of a workflow."""

    name: str
    data: Mapping[str, Any]
    workflow: str

    @property
    def steps(self) -> list[Step]:
        """Its steps, in order."""
        return [Step(step, self.workflow, self.name) for step in self.data["steps"]]

    @property
    def environment(self) -> str:
        """The GitHub environment that it uses; empty for none."""
        found = self.data.get("environment", "")
        return str(found["name"] if isinstance(found, dict) else found)

    @property
    def leaves_deployment(self) -> bool:
        """Whether GitHub records a deployment of the job's commit where the job ends well."""
        found = self.data.get("environment", "")
        return bool(found) and not (isinstance(found, dict) and found.get("deployment") == "false")

    @property
    def condition(self) -> str:
        """Its condition, on one line."""
        return " ".join(str(self.data.get("if", "")).split())

    @property
    def permissions(self) -> Mapping[str, str]:
        """The permissions of its GitHub token."""
        return dict(self.data.get("permissions") or {})

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets that it mentions."""
        return set(re.findall(r"secrets\.(\w+)", json.dumps(self.data)))


@dataclass(frozen=True)
class Workflow:
    """A workflow file, read without guessing types: `on` is no boolean, and a number stays as written."""

    file: str
    text: str

    @cached_property
    def data(self) -> dict[str, Any]:
        """The whole document."""
        # The loader that makes strings of everything, and nothing else.
        found: dict[str, Any] = yaml.load(self.text, yaml.BaseLoader)
        return found

    @property
    def events(self) -> dict[str, Any]:
        """The events that start it, with their filters."""
        return {event: filters or {} for event, filters in self.data["on"].items()}

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs of a start by hand."""
        found: dict[str, Any] = self.events.get("workflow_dispatch", {}).get("inputs", {})
        return found

    @property
    def jobs(self) -> list[Job]:
        """Its jobs, in the order of the file."""
        return [Job(name, data, self.file) for name, data in self.data["jobs"].items()]

    def job(self, name: str) -> Job:
        """One of its jobs."""
        return next(job for job in self.jobs if job.name == name)

    def starts(
        self,
        event: str,
        *,
        branch: str = "main",
        kind: str = "",
        files: Iterable[str] = (),
        tag: str = "",
    ) -> bool:
        """Return whether GitHub would start it for an event of this type, on this branch, with these files.

        A push of a tag starts those that filter tags, and those that filter nothing; one of a branch
        the same way.
        """
        if event not in self.events:
            return False
        found = self.events[event]
        filters = found if isinstance(found, dict) else {}  # a schedule has a list of times
        types = filters.get("types", DEFAULT_TYPES if event == "pull_request" else ())
        if kind and types and kind not in types:
            return False
        if tag and ("tags" in filters or "branches" in filters):
            return matches(filters.get("tags", ()), tag)
        if "tags" in filters and "branches" not in filters:
            return False
        if "branches" in filters and not matches(filters["branches"], branch):
            return False
        return "paths" not in filters or any(matches(filters["paths"], file) for file in files)


def workflows(root: Path = ROOT) -> list[Workflow]:
    """Read every workflow of a checkout."""
    files = sorted((root / FOLDER).glob("*.yml"))
    return [Workflow(file.name, file.read_text(encoding="utf-8")) for file in files]


def matches(patterns: Sequence[str], value: str) -> bool:
    """Match as GitHub's filters do: in order, and a later `!PATTERN` excludes again."""
    found = False
    for pattern in patterns:
        if _expression(pattern.removeprefix("!")).fullmatch(value):
            found = not pattern.startswith("!")
    return found


def _expression(pattern: str) -> re.Pattern[str]:
    """`**` is anything, `*` anything without a slash, `?` perhaps the character before it."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\+|\[[^]]*\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "?", "+": "+"}
    return re.compile(
        "".join(
            known.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts
        )
    )


def calls(step: Step, folder: Path, values: Mapping[str, str]) -> Iterator[list[str]]:
    """Run a script with a recorder in place of every `run`, and return the calls with their arguments.

    `values` are its environment variables; others are empty.
    """
    for place in (".", "trusted"):
        program = folder / place / "run"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(RECORDER)
        program.chmod(0o755)
    record = folder / "calls"
    record.write_text("")
    given = {name: values.get(name, "") for name in step.env}
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.run],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "CALLS": str(record), **given},
        check=True,
    )
    fields = iter(record.read_text().split("\0")[:-1])
    for count in fields:
        yield list(islice(fields, int(count) + 1))
