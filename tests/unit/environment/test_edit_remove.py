"""A key is removed from a file, and no other byte: comments, order and line ends stay."""

from __future__ import annotations

import pytest

from roost.environment.edit import CannotEditError
from roost.environment.edit_remove import without

PATH = ("prefect", "settings", "B")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# top\nprefect:\n  settings:\n    A: 1\n    B: 2 # gone\n    C: 3\napp: x\n",
            "# top\nprefect:\n  settings:\n    A: 1\n    C: 3\napp: x\n",
        ),
        ("prefect:\n  settings:\n    A: 1\n    B: 2", "prefect:\n  settings:\n    A: 1\n"),
        ("prefect:\n  v: 1\n  settings:\n    B: 2\n", "prefect:\n  v: 1\n"),
        ("prefect:\n  v: 1\n  settings: {B: 2}\n", "prefect:\n  v: 1\n"),
        ("prefect: {settings: {A: 1, B: 2, C: 3}}\n", "prefect: {settings: {A: 1, C: 3}}\n"),
        ("prefect: {settings: {A: 1, B: 2}}\n", "prefect: {settings: {A: 1}}\n"),
        ("prefect: {v: 1, settings: {B: 2}}\n", "prefect: {v: 1}\n"),
        (
            "prefect:\r\n  settings:\r\n    B: 2\r\n    C: 3\r\n",
            "prefect:\r\n  settings:\r\n    C: 3\r\n",
        ),
        (
            "prefect:\n  settings:\n    B: |\n      two\n      lines\n    C: 3\n",
            "prefect:\n  settings:\n    C: 3\n",
        ),
        (
            "prefect:\n  v: 1\n  settings:\n    B: 2 # gone\n\n  # of w\n  w: 2\n",
            "prefect:\n  v: 1\n\n  # of w\n  w: 2\n",
        ),
        (
            "prefect:\n  v: 1\n  settings:\n    B: 2\n# of app\napp: x\n",
            "prefect:\n  v: 1\n# of app\napp: x\n",
        ),
        (
            "prefect:\n  settings:\n    A: 1\n    B:\n      - x: 1\n        y:\n          - 2\n    # of C\n    C: 3\n",
            "prefect:\n  settings:\n    A: 1\n    # of C\n    C: 3\n",
        ),
        (
            "prefect:\n  settings:\n    B: |\n      two\n\n    # of C\n    C: 3\n",
            "prefect:\n  settings:\n    # of C\n    C: 3\n",
        ),
        (
            "prefect:\n  settings:\n    B:\n    # of C\n    C: 3\n",
            "prefect:\n  settings:\n    # of C\n    C: 3\n",
        ),
        ("\ufeffprefect: {settings: {A: 1, B: 2}}\n", "\ufeffprefect: {settings: {A: 1}}\n"),
    ],
)
def test_only_the_key_goes(before, after):
    assert without(before.encode(), PATH).decode() == after


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prefect: {settings: {A: 1}}\n", "is not in this file"),
        ("prefect: 5\n", "is not in this file"),
        ("app: x\n", "is not in this file"),
        ("x-s: &s {A: 1, B: 2}\nprefect: {settings: *s}\n", "shared through an anchor"),
        ("x-s: &s {B: 2}\nprefect: {settings: {<<: *s, A: 1}}\n", "is not in this file"),
    ],
)
def test_what_cannot_be_removed_by_itself_is_refused(text, told):
    with pytest.raises(CannotEditError, match=told):
        without(text.encode(), PATH)
