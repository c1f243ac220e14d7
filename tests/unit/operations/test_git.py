"""The commit of a release: the job's, or that of a clean checkout, and never a wrong one."""

from __future__ import annotations

import os
import subprocess

import pytest

from roost.operations.git import ask_git, commit_of

ENVIRON = {"PATH": os.environ["PATH"]}


def git(folder, *words):
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.test")
    done = subprocess.run(
        ["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "staging.yaml").write_text("app: x\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_a_clean_checkout_says_which_commit_it_is(checkout):
    assert commit_of(ENVIRON, checkout) == git(checkout, "rev-parse", "HEAD")


def test_a_job_says_it_itself(checkout):
    assert commit_of({**ENVIRON, "GITHUB_SHA": "0123abc"}, checkout) == "0123abc"


@pytest.mark.parametrize("name", ["staging.yaml", "new.yaml"])
def test_what_is_not_committed_has_no_commit(checkout, name):
    (checkout / name).write_text("app: y\n")

    assert commit_of(ENVIRON, checkout) == ""


def test_where_there_is_no_checkout_or_no_git_there_is_none(tmp_path):
    assert commit_of(ENVIRON, tmp_path) == ""
    assert commit_of({"PATH": str(tmp_path)}, tmp_path) == ""


SPY = "#!/bin/sh\ntouch {seen}\n"


@pytest.fixture
def spy(tmp_path_factory):
    """A program that notes that it ran, and the note."""
    folder = tmp_path_factory.mktemp("spy")
    program, seen = folder / "program", folder / "seen"
    program.write_text(SPY.format(seen=seen))
    program.chmod(0o755)
    return program, seen


def test_a_repository_that_somebody_committed_is_no_repository(checkout, spy):
    """Git takes any folder with these files for one, and runs what its config names."""
    program, seen = spy
    folder = checkout / "environments"
    git(checkout, "init", "-q", "--bare", str(folder))
    (folder / "config").write_text(
        f"[core]\nrepositoryformatversion = 0\nbare = false\nworktree = {folder}\n"
        f"fsmonitor = {program}\n"
    )
    git(folder, "status", "--porcelain")
    assert seen.exists()  # which is what git does
    seen.unlink()
    (checkout / ".gitignore").write_text("environments\n.gitignore\n")

    assert commit_of(ENVIRON, folder) == git(checkout, "rev-parse", "HEAD")
    assert not seen.exists()


def test_a_monitor_of_the_repository_s_own_configuration_is_not_run(checkout, spy):
    program, seen = spy
    git(checkout, "config", "core.fsmonitor", str(program))

    assert commit_of(ENVIRON, checkout) != ""
    assert not seen.exists()


def test_git_gets_none_of_our_tokens(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bin")
    (folder / "git").write_text(f"#!/bin/sh\n/usr/bin/env > {folder}/seen\n")
    (folder / "git").chmod(0o755)

    ask_git({"PATH": str(folder), "FLY_API_TOKEN": "t", "GIT_DIR": "x"}, checkout, "status")

    seen = (folder / "seen").read_text()
    assert f"PATH={folder}" in seen
    assert "FLY_API_TOKEN" not in seen
    assert "GIT_DIR" not in seen
