"""A repository of real git, with the command line in it as a job of a workflow has it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import yaml

from helpers.command_fixtures import clients, fly, prefect, rewrite, roost
from helpers.environments import environment_data
from helpers.local_daemon import SCRIPTS
from helpers.roost_here import RoostHere
from helpers.step_outputs import outputs_in
from roost.operations import context

__all__ = [
    "clients",
    "fly",
    "job",
    "outputs",
    "prefect",
    "repository",
    "rewrite",
    "roost",
    "summary",
]
GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


class Repository:
    """A checkout: environment files, and what the image is made of."""

    def __init__(self, folder):
        self.folder = folder
        self.environments = folder / "environments"
        self.environments.mkdir(parents=True)
        shutil.copytree(SCRIPTS.parent / "deploy", folder / "deploy")
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *arguments):
        """Run git, and return what it says."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=GIT | {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def write(self, name, *parts, **fields):
        """Write an environment file; its app is named after it."""
        data = environment_data({"app": f"acme-{name}"}, *parts, **fields)
        path = self.environments / f"{name}.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    def commit(self, message="change"):
        """Commit all there is, and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    """A repository without a commit."""
    return Repository(tmp_path / "checkout")


@pytest.fixture
def job(tmp_path, repository, capsys, monkeypatch, clients):
    """The command line as a step has it; what it outputs and sums up stands in `tmp_path`."""
    command = RoostHere(repository.environments, capsys, monkeypatch, clients)
    monkeypatch.delenv("ROOST_ENVIRONMENTS")
    monkeypatch.setattr(context, "PROJECT", repository.folder)
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(repository.folder),
        "GITHUB_REPOSITORY": "acme/infra",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_RUN_ID": "77",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_ACTOR": "ada",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_WORKFLOW": "Deploy",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_TOKEN": "ghs_token",
    }.items():
        monkeypatch.setenv(name, value)
    return command


@pytest.fixture
def outputs(tmp_path):
    """Return the outputs of the step so far."""
    return lambda: outputs_in(tmp_path / "output")


@pytest.fixture
def summary(tmp_path):
    """Return the summary of the step so far."""
    return (tmp_path / "summary").read_text
