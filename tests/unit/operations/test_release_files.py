"""Which files are Roost's, and what a release must be like before anything is taken from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from roost.operations.release_files import (
    Entry,
    broken,
    changes_between,
    is_kept,
    is_ours,
    likeness,
    missing_files,
    number_of,
)

ROOT = Path(__file__).parents[3]
USERS = {
    ".github/CODEOWNERS",
    "README.md",
    "environments/_defaults.yaml",
    "environments/production.yaml",
    "environments/staging.yaml",
}
"""Of the template's own files those that belong to whoever starts from it."""


def test_every_file_of_this_repository_is_roost_s_but_those_that_people_write():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    paths = set(filter(None, listed.stdout.split("\0")))

    assert {path for path in paths if not is_ours(path)} == USERS & paths


@pytest.mark.parametrize(
    "path",
    [
        "environments/demo.yml",
        "environments/locks/demo.txt",
        "flows/nightly/serve_flows.py",
        "prefect/production.yaml",
        "secrets/production.sops.yaml",
        "production.sops.env",
        ".sops.yaml",
        ".roost-release",
    ],
)
def test_what_people_write_is_left_alone(path):
    assert not is_ours(path)


def test_a_lock_that_a_server_may_still_need_is_never_removed():
    assert is_kept("deploy/locks/prefect-3.8.8.txt")
    assert is_kept("deploy/settings/prefect-3.8.8.txt")
    assert not is_kept("deploy/server.py")


@pytest.mark.parametrize(
    ("tag", "number"),
    [("v1.2.3", (1, 2, 3)), ("1.2.3", (1, 2, 3)), ("v1.2", None), ("v1.2.3-rc1", None), ("", None)],
)
def test_a_tag_names_a_version(tag, number):
    assert number_of(tag) == number


def test_a_repository_is_like_the_release_whose_files_it_has():
    one, other = Entry("100644", "a" * 40), Entry("100644", "b" * 40)
    release = {"run": one, "noxfile.py": one, "README.md": one, "flows/x.py": one}

    assert likeness(release, release) == 1
    assert likeness(release, {**release, "README.md": other}) == 1  # it is nobody's business
    assert likeness(release, {**release, "run": other}) == 0.5
    assert likeness({}, release) == 0


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        ("scripts/a.py", b"def", "SyntaxError"),
        ("deploy/x.yaml", b"a: [", "does not parse"),
        ("environments/environment.schema.json", b"{", "does not parse"),
        ("pyproject.toml", b"a = ", "does not parse"),
        ("run", b"<<<<<<< ours\n", "merge conflict"),
        ("scripts/a.py", b"\xff", "UnicodeDecodeError"),
        ("scripts/a.py", b"a = 1\n", ""),
        ("tests/cases/bad.yaml", b"a: [", ""),  # a test's bad input
        ("image.png", b"\x89PNG\xff", ""),
    ],
)
def test_a_file_that_does_not_parse_is_found_before_it_is_taken(path, content, why):
    assert why in broken(path, content)
    assert bool(broken(path, content)) == bool(why)


def test_a_changelog_without_versions_shows_nothing():
    assert list(changes_between("# Changelog\n", None, (1, 0, 0))) == []


def test_a_release_without_its_program_is_none():
    assert "run" in missing_files({})


LOG = """# Changelog

## Unreleased
next
## 1.2.0 - 2027-01-01
two
## [1.1.0]
one
## 1.0.0
zero
"""


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ((1, 0, 0), (1, 2, 0), [("1.2.0", "two"), ("1.1.0", "one")]),
        ((1, 1, 0), (1, 2, 0), [("1.2.0", "two")]),
        (None, (1, 0, 0), [("1.0.0", "zero")]),
        ((1, 2, 0), (1, 2, 0), []),
    ],
)
def test_an_operator_is_shown_what_changed_in_between(before, after, found):
    assert list(changes_between(LOG, before, after)) == found
