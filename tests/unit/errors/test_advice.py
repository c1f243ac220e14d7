"""Texts for people: commands in them are values that name a real command, never words of a sentence."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.cli.app import command_line
from roost.errors.command import TYPED, Command, rendered

ROOST = Path(__file__).parents[3] / "scripts" / "roost"
COMMANDS: dict[str, Any] = command_line().commands
_BARE = re.compile(rf"(?<![\w./-])(?:\./run )?roost (?:{'|'.join(COMMANDS)}|--help)(?![\w-])")

# Text that is written as it stands: files that Roost writes, and records of who did something.
AS_IT_STANDS = {
    "cli/app.py": "Start here: roost up staging",  # the example below `--help`
    "report/owned_paths.py": "`./run roost init` writes these lines",  # a comment in CODEOWNERS
    "commands/backups.py": "roost backup",  # why a snapshot was taken, in its record
}


def modules() -> list[str]:
    return [path.relative_to(ROOST).as_posix() for path in sorted(ROOST.rglob("*.py"))]


def written(node: ast.AST) -> str:
    """Return the text of a literal; empty for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def parsed(module: str) -> ast.Module:
    return ast.parse((ROOST / module).read_text(encoding="utf-8"))


def helps(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield docstrings, and the examples and help of the command line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            yield node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from node.args if node.func.attr == "add" else ()
        if isinstance(node, ast.keyword) and node.arg in {"help", "epilog"}:
            yield node.value


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield every text of a module that a person may read, with `{}` for the parts of an f-string."""
    passed = {id(node) for found in helps(tree) for node in ast.walk(found)}
    for node in ast.walk(tree):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
            yield "".join(written(part) or "{}" for part in node.values)
        else:
            yield written(node)


def sentences(module: str) -> list[str]:
    """Return the texts of a module with a command as words."""
    known = AS_IT_STANDS.get(module, "")
    found = [text for text in texts(parsed(module)) if _BARE.search(text)]
    return [text for text in found if not (known and known in text)]


def commands(module: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each `Command(...)` of a module: its line, and its words; "" for one that is computed."""
    for node in ast.walk(parsed(module)):
        if not isinstance(node, ast.Call) or "errors/command" in module:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        if name == "Command" and not node.keywords:
            yield node.lineno, [written(arg) for arg in node.args]


@pytest.mark.parametrize("module", modules())
def test_a_text_holds_commands_as_values(module):
    """Otherwise nobody adds `./run` and `--local` to them, and no test knows that they exist."""
    assert not sentences(module), "write it as {Command('apply', name)}"


def test_the_list_of_exceptions_has_no_more_than_it_needs():
    for module, known in AS_IT_STANDS.items():
        assert any(known in text for text in texts(parsed(module)))


@pytest.mark.parametrize(
    "text",
    [
        "'Apply it: roost apply x'",
        "f'See `./run roost plan {name}`'",
        "'See: roost --help'",
        "'Stop it: ' 'roost local stop'",
    ],
)
def test_a_command_as_words_is_found(text):
    assert [found for found in texts(ast.parse(f"x = {text}")) if _BARE.search(found)]


def found_commands() -> list[tuple[str, int, list[str]]]:
    return [(module, line, words) for module in modules() for line, words in commands(module)]


def faults_of(words: list[str]) -> list[str]:
    """Return what is wrong with the words of a command."""
    if words[:1] == ["--help"]:
        return []
    command = COMMANDS.get(words[0]) if words else None
    if command is None:
        return ["no such command"]
    rest = words[1:]
    if hasattr(command, "commands") and rest != ["--help"]:
        command = command.commands.get(rest[0]) if rest else None
        if command is None:
            return ["no such command of the group"]
        rest = rest[1:]
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    wrong = [w for w in rest if w.startswith("-") and w not in options | {"--help"}]
    takes = any(param.param_type_name == "argument" for param in command.params)
    return wrong + (
        [f"it takes no {rest[0]!r}"]
        if rest[:1] and not rest[0].startswith("-") and not takes
        else []
    )


def test_each_command_in_a_text_is_one_of_the_command_line_with_its_options():
    found = found_commands()

    assert len(found) > 100
    assert not {(m, n, *words): faults_of(words) for m, n, words in found if faults_of(words)}


@pytest.mark.parametrize(
    "words",
    [
        ["plna", "x"],
        ["plan", "x", "--to", "3"],
        ["local", "plan"],
        ["local"],
        [""],
        ["schema", "x"],
    ],
)
def test_a_command_that_does_not_exist_is_found(words):
    assert faults_of(words)


def test_help_is_no_command_but_can_be_typed():
    assert rendered(f"See: {Command('--help')}", TYPED) == "See: ./run roost --help"
