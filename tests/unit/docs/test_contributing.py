"""CONTRIBUTING names files and sessions that are there, and what CI runs."""

from __future__ import annotations

import re

import pytest
import yaml

from helpers.documents import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
TOP = {path.name for path in ROOT.iterdir()} - {".run", ".nox", ".git"}
CODE = re.findall(r"`([^`\s]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
PATHS = sorted({code for code in CODE if "/" in code and code.split("/")[0] in TOP})
PLACEHOLDERS = ("VERSION", "NAME")


@pytest.mark.parametrize("name", PATHS)
def test_each_file_that_it_names_is_there(name):
    if any(word in name for word in PLACEHOLDERS):
        name = re.sub("|".join(PLACEHOLDERS), "*", name)

    assert list(ROOT.glob(name.rstrip("/"))), name


def test_each_room_of_the_tool_is_in_the_table():
    folders = {
        f"scripts/roost/{path.name}/"
        for path in (ROOT / "scripts" / "roost").iterdir()
        if (path / "__init__.py").exists()
    }

    assert folders - {"scripts/roost/errors/"} <= set(PATHS)


def test_a_newcomer_has_ten_questions_with_answers_in_files():
    section = TEXT.partition("### Ten questions")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "?" in line]

    assert len(rows) == 10
    assert all(re.search(r"`(scripts|deploy|\.github)/[^`]+`", row) for row in rows)


def test_github_runs_the_sessions_of_the_ci_script():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text())["jobs"]
    runs = [step.get("run", "") for name, job in jobs.items() for step in job["steps"]]

    def sessions(text):
        return set(re.findall(r"\./run (\w+)", text)) - {"roost"}

    assert sessions(script) == sessions("\n".join(runs))


def test_each_session_of_the_table_is_one_and_none_is_left_out():
    noxfile = (ROOT / "noxfile.py").read_text("utf-8")
    sessions = set(re.findall(r"@nox\.session[^\n]*\ndef (\w+)\(", noxfile))
    table = TEXT.partition("## Commands")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `\./run (\w+)", table, re.MULTILINE)) == sessions
