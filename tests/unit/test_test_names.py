"""The names of tests are the same in each process, or the workers of a run do not agree on them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
RANDOM = {"uuid1", "uuid4", "token_hex", "token_urlsafe", "urandom", "random", "randint", "now"}


def random_constants(source: str) -> list[str]:
    """Return the constants and decorators of a module whose value is another one in each process."""
    parts = _evaluated(ast.parse(source))
    return [ast.unparse(part) for part in parts if _is_random(part) or _names_a_set(part)]


def _evaluated(module: ast.Module) -> Iterator[ast.expr]:
    """Yield the expressions that are evaluated when a module is imported."""
    for statement in module.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            yield statement.value
        yield from getattr(statement, "decorator_list", ())


def _is_random(expression: ast.expr) -> bool:
    """Return whether an expression calls for chance, but in a lambda, which is called later."""
    later = [part for part in ast.walk(expression) if isinstance(part, ast.Lambda)]
    inside = {id(part) for each in later for part in ast.walk(each)}
    return any(
        isinstance(part, ast.Call)
        and id(part) not in inside
        and getattr(part.func, "attr", getattr(part.func, "id", "")) in RANDOM
        for part in ast.walk(expression)
    )


def _names_a_set(expression: ast.expr) -> bool:
    """Return whether tests are named by the text of a set, whose order differs in each process."""
    parts = list(ast.walk(expression))
    is_named = any(
        isinstance(part, ast.keyword)
        and part.arg == "ids"
        and isinstance(part.value, ast.Name)
        and part.value.id in {"str", "repr"}
        for part in parts
    )
    return is_named and any(isinstance(part, ast.Set) and len(part.elts) > 1 for part in parts)


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
    assert random_constants("RUN = str(uuid4())") == ["str(uuid4())"]
    assert random_constants("RUN: str = str(uuid4())") == ["str(uuid4())"]
    assert random_constants("@mark([uuid4()])\ndef test(): ...") == ["mark([uuid4()])"]
    assert random_constants("make = lambda: uuid4()") == []
    assert random_constants("@mark([{1, 2}], ids=str)\ndef test(): ...")
    assert random_constants("@mark([{1, 2}])\ndef test(): ...") == []
