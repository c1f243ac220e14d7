"""What a person sees of an error: its commands as they are typed, and never a mark around them."""

from __future__ import annotations

import pytest

from roost.cli.process import report
from roost.cli.run import note_command
from roost.errors import Fault, InternalError, InvalidFilesError
from roost.errors.command import MARKS, Command
from roost.report.reference_errors import error_classes

APPLY = Command("apply", "staging")


def error_of(kind):
    """One error of a class, with a command in every part that takes a text."""
    if kind is InvalidFilesError:
        return kind((Fault("environments/staging.yaml", 1, 1, f"is bad: {APPLY}"),))
    if kind is InternalError:
        return kind(f"{APPLY}", "x.py:1")
    return kind(f"It failed: {APPLY}.", where=f"{APPLY}", advice=f"Do `{APPLY}`.")


@pytest.fixture
def outside(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


@pytest.mark.parametrize("kind", error_classes())
@pytest.mark.parametrize("words", [["status", "x", "--local"], ["status", "x"]])
@pytest.mark.usefixtures("outside")
def test_no_mark_is_left_in_a_terminal(kind, words, capsys):
    note_command(words)

    report(error_of(kind))

    shown = capsys.readouterr().err
    assert "roost" in shown
    assert MARKS.isdisjoint(shown)
    if "It failed" in shown:
        option = " --local" if "--local" in words else ""
        assert f"It failed: ./run roost apply staging{option}." in shown
        assert f"Do `./run roost apply staging{option}`" in shown


@pytest.mark.parametrize("kind", error_classes())
def test_no_mark_is_left_in_a_workflow(kind, monkeypatch, tmp_path, capsys):
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    note_command(["status", "x", "--local"])

    report(error_of(kind))

    shown, log = capsys.readouterr()
    for text in (shown, log, page.read_text(encoding="utf-8")):
        assert text.strip()
        assert MARKS.isdisjoint(text)
        assert "--local" not in text
