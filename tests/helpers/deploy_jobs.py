"""The jobs of the deploy workflow, in one process with a fake Fly and a fake GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.step_outputs import outputs_in

WEB_FLOW = "web-flow"
"""The committer of merges on GitHub."""


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


class PullRequestJobs(DeployJobs):
    """The jobs of pull requests, merges and pushes to one repository, beside those of a deploy."""

    def __init__(self, github, repository, job, folder, env):
        self.github, self.repository, self.job = github, repository, job
        self.folder, self.env = folder, env
        self.pull, self.plans = None, folder / "plans"

    def push(self, branch="main"):
        """Commit and push what is there; the next jobs are those of the push."""
        sha, before = self.repository.commit(), self.github.head(branch)
        self.repository.push(branch, sha)
        self.event(before, sha)
        return sha

    def event(self, before, sha, committer="ada"):
        """Have the next jobs be those of a push."""
        pushed = {
            "before": before,
            "head_commit": {"id": sha, "committer": {"username": committer}},
        }
        (self.folder / "event").write_text(json.dumps(pushed))
        self.env("GITHUB_EVENT_NAME", "push")
        self.env("GITHUB_SHA", sha)

    def plan(self):
        """Run the jobs Plan and Comment of a pull request; return what Plan said."""
        head = self.push("change")
        self.pull = self.pull or self.github.add_pull("change")
        url = f"https://github.com/acme/infra/pull/{self.pull.number}"
        event = {"number": self.pull.number, "head": {"sha": head}, "html_url": url}
        (self.folder / "event").write_text(json.dumps({"pull_request": event}))
        self.env("ENVIRONMENTS", json.dumps([self.name]))
        said = self.job("github", "plan", "--results", self.plans)
        self.env("PLANNED", outputs_in(self.folder / "output")["planned"])
        assert self.tell().code == 0
        return said

    def tell(self):
        """Run the job Comment."""
        return self.job(
            "github", "comment", "--plans", self.plans, "--rehearsals", self.folder / "none"
        )

    def merge(self):
        """Merge the pull request after somebody read its comment."""
        self.github.pass_time()
        before = self.github.head()
        self.event(before, self.github.merge_pull(self.pull.number, method="squash"), WEB_FLOW)

    @property
    def comment(self):
        """The one comment of the pull request."""
        [found] = self.github.comments(self.pull.number)
        return found.body
