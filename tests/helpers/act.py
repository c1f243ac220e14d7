"""Run workflows on this computer with act, and read their results.

act takes the place of GitHub's runners, not of GitHub: filters, queues, GitHub environments and permissions
are nothing to it. `scoped` puts the last two into the workflow itself; filters are `workflow_world.py`'s, and what
nobody does here `tests/unit/test_workflows.py` holds.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from helpers.workflow_files import ROOT

ACT = Path(sys.executable).parent / "act"
ACTIONS = ROOT / "tests" / "workflows" / "actions"
LABEL = "ubuntu-24.04"
LIMIT_S = 1500
ONLY_READS = "READ_ONLY_"
"""Begins the names by which act knows the secrets of the GitHub environment `plan`."""
OPENS_PULLS = "PULL_REQUESTS_"
"""Begins those of the GitHub environment `pull-requests`."""
PREFIXES = {"plan": ONLY_READS, "pull-requests": OPENS_PULLS, "": "NOWHERE_"}


@dataclass(frozen=True)
class Run:
    """One run of one workflow, to its end."""

    folder: Path
    code: int
    records: list[dict[str, Any]]
    errors: str

    @cached_property
    def jobs(self) -> dict[str, str]:
        """The result of each job that was not skipped, by its id and, for a matrix, its environment."""
        return {named(r): str(r["jobResult"]) for r in self.records if "jobResult" in r}

    @cached_property
    def names(self) -> dict[str, str]:
        """The name of each job's check run, by the id of the job."""
        found = (r for r in self.records if "jobResult" in r)
        return {str(r["jobID"]): str(r["job"]).partition("/")[2].strip() for r in found}

    @property
    def good(self) -> bool:
        """Whether GitHub would show the run as passed."""
        return self.code == 0

    @property
    def summary(self) -> str:
        """The step summaries of the run."""
        return "".join(str(r["content"]) for r in self.records if r.get("command") == "summary")

    @property
    def log(self) -> str:
        """The output of all steps."""
        return "".join(str(r["msg"]) for r in self.records if r.get("raw_output"))

    def log_of(self, job: str) -> str:
        """Return the output of the steps of one job."""
        printed = (r for r in self.records if r.get("raw_output") and named(r) == job)
        return "".join(str(record["msg"]) for record in printed)

    def annotations(self, kind: str = "error") -> list[dict[str, str]]:
        """The annotations: `file`, `line`, `title` and the `message`."""
        return [
            {**(record.get("kvPairs") or {}), "message": record["arg"]}
            for record in self.records
            if record.get("command") == kind
        ]

    def outputs(self, job: str) -> dict[str, str]:
        """Return the outputs of the steps of a job."""
        return {
            record["name"]: record["arg"]
            for record in self.records
            if record.get("command") == "set-output" and record.get("jobID") == job
        }

    def artifact(self, name: str) -> dict[str, Any]:
        """Return the content of an artifact's only JSON file."""
        [file] = (self.folder / "artifacts" / name).glob("*.json")
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    @property
    def artifacts(self) -> set[str]:
        """The names of the run's artifacts."""
        return {path.name for path in (self.folder / "artifacts").glob("*")}

    def everything(self) -> str:
        """All that the run publishes: log, outputs, summary, annotations and artifacts."""
        # What is to be masked, and the token that one step makes for another, is told to the runner alone.
        said = [json.dumps(r) for r in self.records if not _is_of_the_runner(r)]
        files = [p for p in (self.folder / "artifacts").rglob("*") if p.is_file()]
        return "\n".join([*said, self.errors, *(p.read_bytes().decode("latin-1") for p in files)])

    def __str__(self) -> str:
        """Return the log, for the message of a failed test."""
        return f"{self.jobs}\n{self.log}\n{self.errors}"


def _is_of_the_runner(record: Mapping[str, Any]) -> bool:
    return record.get("command") == "add-mask" or (
        record.get("command") == "set-output" and record.get("name") == "token"
    )


def named(record: Mapping[str, Any]) -> str:
    """Return the job of a log record: its id in the workflow and, for a matrix, its environment."""
    environment = (record.get("matrix") or {}).get("environment")
    return " ".join(filter(None, (str(record.get("jobID")), environment)))


def run_act(
    folder: Path,
    clone: Path,
    workflow: str,
    event: str,
    payload: Mapping[str, Any],
    *,
    token_for: Callable[[Mapping[str, str]], str],
    secrets: Mapping[str, str],
    variables: Mapping[str, str],
    settings: Mapping[str, str],
    environ: Mapping[str, str],
    actor: str,
) -> Run:
    """Run one workflow of a clone, at the commit that is checked out in it.

    Args:
        folder: where the run writes its logs and artifacts.
        clone: the repository; its `origin` names the repository on GitHub.
        workflow: name of the workflow's file.
        event: the event that starts it, such as `push`.
        payload: GitHub's JSON of the event.
        token_for: returns the token of a job with these permissions.
        secrets: by their names, those of the GitHub environment `plan` with `ONLY_READS` before them.
        variables: environment variables of every step.
        settings: the repository's own variables, `vars` of a workflow.
        environ: the environment of act itself, which every step inherits.
        actor: who started the run.
    """
    written = (clone / ".github/workflows" / workflow).read_text(encoding="utf-8")
    text = scoped(written, token_for)
    (folder / workflow).write_text(text, encoding="utf-8")
    (folder / "event.json").write_text(json.dumps(payload))
    (folder / "secrets").write_text("".join(f'{k}="{v}"\n' for k, v in secrets.items()))
    given = {**variables, "ARTIFACTS": str(folder / "artifacts")}
    options = [
        *("--workflows", str(folder / workflow), "--eventpath", str(folder / "event.json")),
        *("--secret-file", str(folder / "secrets"), "--action-cache-path", str(folder / "cache")),
        *("--env-file", "/dev/null", "--var-file", "/dev/null", "--input-file", "/dev/null"),
        # What act would hide of secrets, a test has to see.
        *("--json", "--rm", "--insecure-secrets", "--no-skip-checkout", "--pull=false"),
        *("--action-offline-mode", "--no-cache-server", "--defaultbranch", "main"),
        *("--platform", f"{LABEL}=-self-hosted", "--actor", actor, "--concurrent-jobs", "2"),
        *(part for name, value in given.items() for part in ("--env", f"{name}={value}")),
        *(part for name, value in settings.items() for part in ("--var", f"{name}={value}")),
        *(part for stub in _stubs(clone) for part in ("--local-repository", stub)),
    ]
    done = subprocess.run(
        [ACT, event, *options],
        cwd=clone,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    lines = done.stdout.splitlines()
    run = Run(
        folder, done.returncode, [json.loads(x) for x in lines if x.startswith("{")], done.stderr
    )
    # act takes a runner that it does not know for a reason to skip the job and be content.
    assert not [r for r in run.records if "unsupported platform" in str(r.get("msg"))], run
    return run


def scoped(text: str, token_for: Callable[[Mapping[str, str]], str]) -> str:
    """Give each job a token, and the secrets of its own GitHub environment if it has one.

    Newer keys of GitHub that act does not know are removed.
    """
    text = re.sub(r"^    concurrency: \{.*\}\n", "", text, flags=re.MULTILINE)
    text = text.replace(", deployment: false}", "}")
    head, jobs, rest = text.partition("\njobs:\n")
    blocks = re.split(r"^(?=  [\w-]+:$)", rest, flags=re.MULTILINE)
    return head + jobs + "".join(_scoped_job(block, token_for) for block in blocks)


def _scoped_job(block: str, token_for: Callable[[Mapping[str, str]], str]) -> str:
    read = yaml.load(block, yaml.BaseLoader)
    if not read:  # nothing, or a comment before the first job
        return block
    [job] = read.values()
    named = job.get("environment", "")
    environment = named["name"] if isinstance(named, dict) else named
    prefix = PREFIXES.get(environment, "")
    # GitHub gives each job a token of its own, which holds what its permissions say.
    token = token_for(job["permissions"] or {})
    block = block.replace("secrets.", f"secrets.{prefix}").replace("${{ github.token }}", token)
    return block.replace("|| github.token }}", f"|| '{token}' }}}}")


def _stubs(clone: Path) -> set[str]:
    """Replace every action that the workflows of a clone use with a stub."""
    texts = [path.read_text(encoding="utf-8") for path in clone.glob(".github/**/*.yml")]
    used = {found for text in texts for found in re.findall(r"uses: (actions/[\w-]+@\S+)", text)}
    return {f"{action}={ACTIONS / action.partition('@')[0].split('/')[1]}" for action in used}
