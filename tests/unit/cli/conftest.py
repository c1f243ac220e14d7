"""The command line, called as a function."""

from __future__ import annotations

import pytest

from helpers.roost_here import RoostHere


@pytest.fixture
def roost(tmp_path, capsys, monkeypatch):
    """The command line; its environment files are those in `tmp_path`."""
    return RoostHere(tmp_path, capsys, monkeypatch)
