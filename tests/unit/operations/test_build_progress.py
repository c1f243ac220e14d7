"""What people see of an image that is built: little while it goes well, everything when it does not."""

from __future__ import annotations

import io
from contextlib import nullcontext

import pytest
from rich.console import Console

from roost.errors import LocalFlyError
from roost.operations.build_progress import build_progress

LINES = [
    "installing locks/prefect-3.8.8.txt",
    "Prepared 90 packages in 2.1s",
    "Installed 90 packages in 1.20s",
    *(f" + package-{number}==1.0" for number in range(90)),
    "baking: python server.py bake",
    "a word of \x1b[2J the bake",
]


def build(*, terminal, fails=False):
    """Return what a console showed of a build with these lines."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=120, highlight=False)
    failing = pytest.raises(LocalFlyError) if fails else nullcontext()
    with failing, build_progress(console) as tell:
        for line in LINES:
            tell(line)
        if fails:
            raise LocalFlyError("The image could not be built.")
    return shown.getvalue()


def test_elsewhere_than_on_a_terminal_its_stages_are_told():
    assert build(terminal=False).splitlines() == [
        "  installing locks/prefect-3.8.8.txt",
        "  Prepared 90 packages in 2.1s",
        "  Installed 90 packages in 1.20s",
        "  baking: python server.py bake",
    ]


def test_on_a_terminal_one_line_changes_and_nothing_is_left():
    shown = build(terminal=True)

    assert "\n  installing" not in shown
    assert shown.count("\n") <= 2


@pytest.mark.parametrize("terminal", [False, True])
def test_of_a_build_that_fails_every_line_is_told(terminal):
    shown = build(terminal=terminal, fails=True)

    assert all(f"+ package-{number}==1.0" in shown for number in range(90))
    assert r"a word of \x1b[2J the bake" in shown
