"""The names of tests are the same in each process, or the workers of a run do not agree on them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
RANDOM = {"uuid1", "uuid4", "token_hex", "token_urlsafe", "urandom", "random", "randint", "now"}


def random_constants(source: str) -> list[str]:
    """Return the constants of a module whose value is another one in each process."""
    return [
        ast.unparse(statement)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for call in ast.walk(statement.value)
        if isinstance(call, ast.Call)
        and getattr(call.func, "attr", getattr(call.func, "id", "")) in RANDOM
        # What is called later, as a lambda, is in no name.
        and not any(isinstance(part, ast.Lambda) for part in ast.walk(statement.value))
    ]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.relative_to(TESTS).as_posix())
        for path in sorted(TESTS.rglob("test_*.py"))
        if "parametrize" in path.read_text("utf-8")
    ],
)
def test_no_name_depends_on_chance(path):
    assert random_constants(path.read_text("utf-8")) == []


def test_a_random_constant_is_found():
    assert random_constants("RUN = str(uuid4())") == ["RUN = str(uuid4())"]
    assert random_constants("make = lambda: uuid4()") == []
