"""Standard error, withheld and released, in a separate program, because pytest replaces it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
PROGRAM = """
import logging, os, sys
from roost_server.settings_errors import withhold_stderr

sys.stderr.write("before ")
with withhold_stderr(ValueError):
    logger = logging.StreamHandler()
    sys.stderr.write("ours ")
    os.system("printf 'a child ' >&2")
    {last}
logger.emit(logging.makeLogRecord({{"msg": "after"}}))
"""


def told(last):
    """Return the output of a program whose withheld part ends like that."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(last=last)],
        env={"PYTHONPATH": str(DEPLOY)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def test_all_of_it_is_told_in_the_end_and_a_logger_made_meanwhile_goes_on():
    text = told("os.write(1, b'')")

    assert sorted(text.split()) == sorted(["before", "ours", "a", "child", "after"])
    assert text.startswith("before ")
    assert text.endswith("after\n")


@pytest.mark.parametrize(
    ("last", "kept"), [("raise ValueError", False), ("raise LookupError", True)]
)
def test_it_is_dropped_only_after_a_failure_that_is_told_elsewhere(last, kept):
    text = told(last)

    assert text.startswith("before ")
    assert ("ours" in text, "a child" in text) == (kept, kept)
    assert text.endswith(f"{last.removeprefix('raise ')}\n")


def test_it_is_held_back_until_the_end():
    """An exit before the end of the block drops the output."""
    assert told("os._exit(0)") == "before "
