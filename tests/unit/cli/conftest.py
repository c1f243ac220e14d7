"""The command line in this process, in a folder of its own and without anything of the user's."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import pytest

from helpers.local_daemon import SCRIPTS
from roost.cli import main

FOREIGN = ("FLY_", "LOCALFLY_", "PREFECT_", "ROOST_")


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def signals_are_put_back():
    """`main` answers signals in its own way, and is not the last to run in this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def roost(capsys, monkeypatch, tmp_path):
    """Run a command line; its environment files are those in `tmp_path`."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ROOST_ENVIRONMENTS", str(tmp_path))
    monkeypatch.setenv("LOCALFLY_HOME", str(tmp_path / "localfly"))
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS))

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run
