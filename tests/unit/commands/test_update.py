"""A repository that began as the template takes a newer release, and keeps what is its own."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from helpers.roost_here import RoostHere
from roost.operations import context
from roost.operations.release_files import RECORD

WHO = {
    f"GIT_{who}_{what}": f"ada{mail}"
    for who in ("AUTHOR", "COMMITTER")
    for what, mail in (("NAME", ""), ("EMAIL", "@example.com"))
}
NEEDED = {
    "run": "#!/bin/sh\necho one\n",
    "noxfile.py": "a = 1\n",
    "pyproject.toml": '[project]\nversion = "1.0.0"\n',
    "CHANGELOG.md": "# Changelog\n\n## 1.0.0\nfirst\n",
    "scripts/roost/__main__.py": "print('hello')\n",
    "scripts/roost/gone.py": "b = 1\n",
    "scripts/roost/long.py": "".join(f"line_{n} = {n}\n" for n in range(30)),
    "tests/test_it.py": "assert True\n",
    "deploy/locks/prefect-3.8.8.txt": "prefect==3.8.8\n",
    ".github/workflows/plan.yml": "on: push\n",
    "README.md": "# Roost\n",
    "environments/staging.yaml": "app: acme\n",
}
SECOND = {
    "pyproject.toml": '[project]\nversion = "1.1.0"\n',
    "CHANGELOG.md": "# Changelog\n\n## 1.1.0\nsecond, read this\n## 1.0.0\nfirst\n",
    "scripts/roost/new.py": "c = 1\n",
    "scripts/roost/gone.py": None,
    "scripts/roost/long.py": NEEDED["scripts/roost/long.py"].replace("line_25 = 25", "line_25 = 2"),
    "deploy/locks/prefect-3.8.8.txt": None,
    ".github/workflows/plan.yml": "on: pull_request\n",
    "README.md": "# Roost, rewritten\n",
    "environments/staging.yaml": "app: other\n",
    "tests/test_it.py": "assert 1\n",
}


class Repository:
    """A folder with git in it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words):
        """Run git, and return what it prints."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder.parent), **WHO}
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.strip()

    def commit(self, files, message="change"):
        """Write files, None for one to remove, and commit them."""
        for path, text in files.items():
            at = self.folder / path
            if text is None:
                at.unlink()
                continue
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_text(text)
            at.chmod(0o755 if path == "run" else 0o644)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def release(self, version, files):
        """Commit files, and tag them as a release."""
        self.commit({"pyproject.toml": f'[project]\nversion = "{version}"\n', **files})
        self.git("tag", f"v{version}")

    def read(self, path):
        """Return a file's content; None if it is not there."""
        at = self.folder / path
        return at.read_text() if at.exists() else None


@pytest.fixture
def template(tmp_path):
    """The template, with two releases."""
    made = Repository(tmp_path / "template")
    made.commit(NEEDED)
    made.git("tag", "-a", "v1.0.0", "-m", "1.0.0")
    made.commit(SECOND)
    made.git("tag", "v1.1.0")
    return made


@pytest.fixture
def mine(tmp_path):
    """A repository that began as release 1.0.0, without its history, and has files of its own."""
    made = Repository(tmp_path / "mine")
    made.commit(NEEDED)
    made.commit(
        {
            "README.md": "# Our servers\n",
            "environments/staging.yaml": "app: ours\n",
            "flows/nightly/serve_flows.py": "print('ours')\n",
            "notes.txt": "ours\n",
        }
    )
    return made


@pytest.fixture
def update(mine, template, capsys, monkeypatch):
    """Run the command in that repository; the first time it names where releases come from."""
    command = RoostHere(mine.folder / "environments", capsys, monkeypatch)
    monkeypatch.setattr(context, "PROJECT", mine.folder)

    def run(*words, source=True):
        return command("update", *words, *(("--from", str(template.folder)) if source else ()))

    return run


def test_a_release_is_taken_and_everything_of_ones_own_stays(mine, update, template):
    done = update()

    assert done.code == 0, done.err
    assert mine.read("scripts/roost/new.py") == "c = 1\n"
    assert mine.read("scripts/roost/gone.py") is None
    assert "line_25 = 2\n" in mine.read("scripts/roost/long.py")
    assert mine.read("README.md") == "# Our servers\n"
    assert mine.read("environments/staging.yaml") == "app: ours\n"
    assert mine.read("flows/nightly/serve_flows.py") == "print('ours')\n"
    assert mine.read("notes.txt") == "ours\n"
    assert mine.read("deploy/locks/prefect-3.8.8.txt")  # a server may still run it
    assert os.access(mine.folder / "run", os.X_OK)
    record = json.loads(mine.read(RECORD))
    assert record["version"] == "1.1.0"
    assert record["commit"] == template.git("rev-parse", "v1.1.0")
    assert "second, read this" in done.out
    assert ".github/workflows/plan.yml" in done.out
    assert "no workflow's token" in done.out
    assert mine.git("log", "--format=%s", "-1") == "change"  # nothing is committed


def test_what_both_have_changed_is_merged(mine, update):
    changed = NEEDED["scripts/roost/long.py"].replace("line_2 = 2", "line_2 = 200")
    mine.commit({"scripts/roost/long.py": changed})

    assert update().code == 0
    text = mine.read("scripts/roost/long.py")
    assert "line_2 = 200\n" in text
    assert "line_25 = 2\n" in text


def test_a_conflict_is_marked_and_can_be_taken_back(mine, update):
    changed = NEEDED["scripts/roost/long.py"].replace("line_25 = 25", "line_25 = 'ours'")
    mine.commit({"scripts/roost/long.py": changed, "scripts/roost/gone.py": "b = 'ours'\n"})

    done = update()

    assert done.code == 2
    assert "2 files need you" in done.out
    assert "scripts/roost/gone.py" in done.out
    text = mine.read("scripts/roost/long.py")
    assert "<<<<<<< yours" in text
    assert ">>>>>>> Roost 1.1.0" in text
    mine.git("reset", "--hard", "-q")
    assert mine.read("scripts/roost/long.py") == changed
    assert mine.read(RECORD) is None


def test_a_file_that_somebody_removed_on_purpose_stays_away(mine, update):
    mine.commit({"scripts/roost/gone.py": None, "noxfile.py": None})

    assert update().code == 0
    assert mine.read("noxfile.py") is None


def test_the_second_update_knows_its_source_and_what_is_the_newest(mine, update, template):
    update("1.0.0")
    mine.commit({}, "take 1.0.0")

    assert update(source=False).code == 0
    mine.commit({}, "take 1.1.0")
    again = update(source=False)

    assert (again.code, again.out) == (0, "Release 1.1.0 is the newest.\n")
    template.release("1.2.0", {"noxfile.py": "a = 3\n"})
    assert update(source=False).code == 0
    assert mine.read("noxfile.py") == "a = 3\n"


def test_slim_leaves_out_the_tests_and_remembers_that(mine, update, template):
    assert update("--slim").code == 0
    assert mine.read("tests/test_it.py") is None
    mine.commit({}, "take 1.1.0")
    assert update(source=False).out == "Release 1.1.0 is the newest.\n"
    template.release("1.2.0", {"tests/test_it.py": "assert 2\n", "noxfile.py": "a = 2\n"})

    done = update(source=False)

    assert done.code == 0, done.out
    assert mine.read("tests/test_it.py") is None
    assert mine.read("noxfile.py") == "a = 2\n"


# What is refused


def refused(done, code, words):
    assert done.code == code, done.out
    assert words in done.err


def test_a_tree_with_changes_is_left_alone(mine, update):
    (mine.folder / "notes.txt").write_text("not committed\n")

    refused(update(), 3, "changes that are not committed")


def test_a_folder_inside_of_another_repository_is_no_checkout(mine, update, monkeypatch):
    monkeypatch.setattr(context, "PROJECT", mine.folder / "scripts")

    refused(update(), 3, "not the top of a git checkout")


def test_an_older_release_is_refused(mine, update):
    update()
    mine.commit({}, "take 1.1.0")

    refused(update("1.0.0"), 3, "older than 1.1.0")


def test_a_release_that_is_not_there_is_named_with_those_that_are(update):
    refused(update("9.9.9"), 3, "The newest are: 1.0.0, 1.1.0")


def test_a_tag_that_moved_is_refused(mine, update, template):
    update()
    mine.commit({}, "take 1.1.0")
    template.commit({"noxfile.py": "evil = 1\n"})
    template.git("tag", "-f", "v1.1.0")

    refused(update(source=False), 1, "another commit than the one this repository took")
    assert mine.git("status", "--porcelain") == ""


def test_a_tag_that_was_rewritten_after_it_was_fetched_is_refused(mine, update, template):
    update()
    mine.commit({}, "take 1.1.0")
    template.git("checkout", "-q", "--orphan", "other")
    template.commit({"noxfile.py": "evil = 1\n"})
    template.git("tag", "-f", "v1.1.0")

    refused(
        update(source=False),
        1,
        "A tag names another commit than when it was fetched before: v1.1.0",
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"run": None}, "run is missing"),
        ({"scripts/roost/new.py": "def"}, "scripts/roost/new.py does not parse"),
        ({"pyproject.toml": '[project]\nversion = "1.9.0"\n'}, "its pyproject.toml says 1.9.0"),
        ({"noxfile.py": "<<<<<<< x\n"}, "noxfile.py has the marks of a merge conflict"),
    ],
)
def test_a_broken_release_changes_nothing(mine, update, template, files, words):
    template.release("2.0.0", files)

    refused(update(), 1, words)
    assert mine.git("status", "--porcelain") == ""


def test_a_repository_that_began_elsewhere_is_left_alone(mine, update):
    mine.commit(dict.fromkeys(NEEDED, "other\n"))

    refused(update(), 1, "Did this repository begin as this template?")


def test_where_nobody_said_where_releases_come_from_it_asks(update):
    refused(update(source=False), 3, "--from https://github.com/OWNER/roost")


@pytest.mark.parametrize(
    "address",
    ["http://reader:hunter2-secret@127.0.0.1:9/roost", "https://hunter2-secret@127.0.0.1:9/roost"],
)
def test_an_address_with_a_login_is_refused_as_it_would_stand_in_git(update, address):
    done = update("--from", address, source=False)

    refused(done, 3, "The address has a login in it")
    assert "hunter2-secret" not in done.err + done.out


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/roost", "ext::sh -c evil", "--upload-pack=x"]
)
def test_a_source_that_does_not_answer_changes_nothing(mine, update, address):
    refused(update("--from", address, source=False), 1, "git fetch failed")
    assert mine.git("status", "--porcelain") == ""
