"""A fault of Roost's own is told in a sentence, too, and shows nothing of what it was about."""

from __future__ import annotations

import pytest

SECRET = "postgresql://admin:hunter2@db/prefect"


@pytest.fixture
def broken(monkeypatch):
    """A Roost whose `validate` fails in a way that nobody foresaw."""

    def fail(*_):
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("roost.commands.files.load_files", fail)


@pytest.mark.usefixtures("broken")
def test_it_is_named_with_its_place_and_without_its_text(roost):
    said = roost("validate")

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("roost: error [internal]: Roost has a fault of its own: ")
    assert "ZeroDivisionError at commands/files.py:" in said.err
    assert "ROOST_TRACEBACK=1" in said.err
    assert SECRET not in said.err


@pytest.mark.usefixtures("broken")
def test_whoever_asks_for_all_of_it_gets_the_traceback(roost, monkeypatch):
    monkeypatch.setenv("ROOST_TRACEBACK", "1")

    with pytest.raises(ZeroDivisionError):
        roost("validate")
