"""Two releases of this very repository, made from its own history, and a copy that goes from one to the other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.roost_here import RoostHere
from roost.operations import context
from roost.operations.release_files import RECORD, is_kept, is_ours

ROOT = Path(__file__).parents[3]
SETTINGS = ("-c", "user.name=ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")
EDITS = {"LICENSE": "\nOurs.\n", ".github/dependabot.yml": "# Ours\n"}
OWN = {"environments/ours.yaml": "app: acme\n", "flows/ours.py": "a = 1\n", "README.md": "# Ours\n"}
BACK = 150
"""First-parent commits; a shallow checkout has fewer, and then only the versions differ."""


def git(folder, *words):
    done = subprocess.run(
        ["git", "-C", folder, *SETTINGS, *words], check=True, capture_output=True, text=True
    )
    return done.stdout


def release(template, commit, version):
    git(template, "checkout", "-q", "--detach", commit)
    project = template / "pyproject.toml"
    project.write_text(
        re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', project.read_text())
    )
    git(template, "commit", "-q", "-a", "-m", version)
    git(template, "tag", f"v{version}")


def files(folder, commit):
    listed = filter(None, git(folder, "ls-tree", "-r", "-z", commit).split("\0"))
    return {path: about for about, path in (line.split("\t", 1) for line in listed)}


@pytest.mark.slow
def test_a_copy_with_two_edits_goes_from_an_older_release_to_this_one(
    tmp_path, capsys, monkeypatch
):
    template, mine = tmp_path / "template", tmp_path / "mine"
    git(tmp_path, "clone", "-q", "--no-tags", str(ROOT), str(template))
    commits = git(template, "rev-list", "--first-parent", f"--max-count={BACK}", "HEAD").split()
    release(template, commits[-1], "7.0.0")
    shutil.copytree(template, mine, ignore=shutil.ignore_patterns(".git"))
    release(template, commits[0], "7.1.0")
    git(mine, "init", "-q", "-b", "main")
    git(mine, "add", "--all", "--force")
    git(mine, "commit", "-q", "-m", "Begin with the template")
    for path, line in EDITS.items():
        (mine / path).write_text((mine / path).read_text() + line)
    for path, text in OWN.items():
        (mine / path).parent.mkdir(exist_ok=True)
        (mine / path).write_text(text)
    git(mine, "add", "--all")
    git(mine, "commit", "-q", "-m", "Ours")
    monkeypatch.setattr(context, "PROJECT", mine)
    roost = RoostHere(mine / "environments", capsys, monkeypatch)

    done = roost("update", "--from", str(template))

    assert done.code == 0, done.out + done.err
    git(mine, "commit", "-q", "-m", "Take 7.1.0")
    assert json.loads((mine / RECORD).read_text())["version"] == "7.1.0"
    here, there = files(mine, "HEAD"), files(template, "v7.1.0")
    assert {path for path in there if is_ours(path) and here.get(path) != there[path]} == {*EDITS}
    extra = {path for path in here if path not in there and is_ours(path) and not is_kept(path)}
    assert extra == set()
    for path, line in EDITS.items():
        assert (mine / path).read_text().endswith(line)
    for path, text in OWN.items():
        assert (mine / path).read_text() == text
