"""The commit of a release: the job's, or that of a clean checkout, and never a wrong one."""

from __future__ import annotations

import os
import subprocess

import pytest

from roost.verbs.commit import commit_of

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
