"""tests/README.md names each folder of the tests, and stand-ins and sessions that are there."""

from __future__ import annotations

import re

from helpers.documents import ROOT

TESTS = ROOT / "tests"
TEXT = (TESTS / "README.md").read_text("utf-8")
NAMES = set(re.findall(r"`([a-z_0-9]+/[a-z_0-9.]*)`", TEXT))


def test_each_file_and_folder_that_it_names_is_there():
    roots = {"scripts/", "deploy/"}  # what the tests are about

    assert {name for name in NAMES - roots if not (TESTS / name).exists()} == set()


def test_each_folder_of_the_tests_is_in_the_table():
    folders = {f"{path.parent.name}/" for path in TESTS.glob("*/*.py")}

    assert folders <= NAMES


def test_the_sessions_that_it_names_are_there():
    noxfile = (ROOT / "noxfile.py").read_text("utf-8")
    sessions = set(re.findall(r"@nox\.session[^\n]*\ndef (\w+)\(", noxfile))

    assert set(re.findall(r"\./run (\w+)", TEXT)) <= sessions
