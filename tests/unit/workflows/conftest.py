"""A repository of real git, with the command line in it as a job of a workflow has it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import stamina
import yaml

from helpers.command_fixtures import clients, fly, prefect, rewrite, roost
from helpers.environments import environment_data
from helpers.fake_github import FakeGitHub
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
SETTINGS = {
    # Every commit would start a program that looks whether there is anything to tidy up.
    "gc.auto": "0",
    "maintenance.auto": "false",
    # A test's repository need not survive a loss of power.
    "core.fsync": "none",
    # A copy of the files is known by size and time, so that git does not read them all again.
    "core.checkStat": "minimal",
    "core.trustctime": "false",
}
GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": str(len(SETTINGS)),
    **{f"GIT_CONFIG_KEY_{number}": name for number, name in enumerate(SETTINGS)},
    **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(SETTINGS.values())},
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
        self.origin = None

    @classmethod
    def create(cls, folder):
        """Make a repository with `deploy/` in its index, and without a commit."""
        made = cls(folder)
        made.environments.mkdir(parents=True)
        shutil.copytree(SCRIPTS.parent / "deploy", folder / "deploy")
        made.git("init", "--quiet", "--template=", "--initial-branch", "main")
        made.git("add", "--all")
        return made

    def copy(self, folder):
        """Return a copy that reads the objects of this one, and writes its own."""
        leave_out = shutil.ignore_patterns("objects")
        shutil.copytree(
            self.folder,
            folder,
            ignore=lambda at, names: leave_out(at, names) if at.endswith(".git") else (),
        )
        share_objects(self.folder / ".git", folder / ".git")
        return Repository(folder)

    def connect(self, origin):
        """Take a bare repository as the one that is pushed to.

        It reads the objects of this checkout, so that a push moves a branch and copies nothing.
        """
        self.git("remote", "add", "origin", str(origin))
        share_objects(self.folder / ".git", origin)
        self.origin = origin

    def push(self, branch="main", commit="HEAD"):
        """Have a branch of the origin stand at a commit, whatever stood there before."""
        sha = self.git("rev-parse", commit)
        self.git("--git-dir", str(self.origin), "update-ref", f"refs/heads/{branch}", sha)

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


def share_objects(lender, borrower):
    """Let a repository read the objects of another one; both are the folders that hold `objects`."""
    info = borrower / "objects" / "info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "alternates").write_text(f"{lender / 'objects'}\n")


@pytest.fixture(scope="session")
def first_repository(tmp_path_factory):
    """The repository that each test has a copy of."""
    return Repository.create(tmp_path_factory.mktemp("first") / "checkout")


@pytest.fixture
def repository(tmp_path, first_repository):
    """A repository without a commit."""
    return first_repository.copy(tmp_path / "checkout")


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


@pytest.fixture
def github_with_repository(tmp_path, repository, job, monkeypatch):  # noqa: ARG001 - what the job sets is set anew here
    """A GitHub with that repository, for jobs that a push started; repeats happen at once."""
    with stamina.set_testing(True, attempts=2, cap=True), FakeGitHub() as github:
        (tmp_path / "event").write_text("{}")
        monkeypatch.setenv("GITHUB_API_URL", github.url)
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event"))
        repository.connect(github.state.git.path)
        yield github
