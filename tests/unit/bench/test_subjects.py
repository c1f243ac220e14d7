"""Every subject the command line names is there, and no other."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import typer

from bench import subjects
from bench.__main__ import SUBJECTS, check_subjects


def test_subjects_are_the_modules_that_measure():
    modules = {path.stem for path in Path(subjects.__file__).parent.glob("*.py")} - {"__init__"}

    assert set(SUBJECTS) == modules


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_can_be_measured_and_says_what_its_rows_mean(name):
    module = importlib.import_module(f"bench.subjects.{name}")

    assert callable(module.measure)
    assert len(module.ABOUT) > 100


def test_a_subject_named_twice_is_measured_once():
    assert check_subjects(["help", "start", "help"]) == ["help", "start"]


def test_an_unknown_subject_is_refused_with_those_there_are():
    with pytest.raises(typer.BadParameter, match="no speed; there are start, "):
        check_subjects(["start", "speed"])


def test_a_session_that_runs_no_pytest_imports_from_where_pytest_does():
    """`./run bench` did not find what a subject imports from deploy/flows."""
    noxfile = (Path(__file__).parents[3] / "noxfile.py").read_text("utf-8")
    _, _, body = noxfile.partition("def run_package(")

    assert '["pytest"]["ini_options"]["pythonpath"]' in body.partition("\n\n\n")[0]
