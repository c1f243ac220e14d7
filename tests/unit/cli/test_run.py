"""The seam between the command line and a command: its arguments are typed, and each has its name."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

from roost.cli.run import run
from roost.commands import backups, status
from roost.errors import ExitCode

CLI = Path(inspect.getfile(run)).parent
LOCAL, AS_JSON = True, False


def refused_by_mypy() -> tuple[ExitCode, ...]:
    """Calls that `./run types` must find wrong: an ignore that hides nothing is an error there."""
    return (
        run(status.status, AS_JSON, local="staging", as_json=False),  # type: ignore[arg-type]
        run(status.status, "staging", LOCAL, AS_JSON),  # type: ignore[call-arg]
        run(status.status, "staging", local=True),  # type: ignore[call-arg]
        run(backups.confirm, "staging", volume=True, local="vol_1"),  # type: ignore[arg-type]
    )


def called_commands():
    """Every command and workflow that a module of the command line imports and runs."""
    found = set()
    for path in CLI.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            nodes = list(ast.walk(function))
            modules = {
                alias.asname or alias.name: f"{node.module}.{alias.name}"
                for node in nodes
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            found |= {
                f"{modules[node.value.id]}.{node.attr}"
                for node in nodes
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and modules.get(node.value.id, "").startswith(
                    ("roost.commands.", "roost.workflows.")
                )
                and node.attr.islower()
            }
    return sorted(found)


@pytest.mark.parametrize("name", called_commands())
def test_a_command_takes_one_argument_by_place_and_the_rest_by_name(name):
    """Two arguments of one type could be swapped, and no type checker would notice."""
    module, _, function = name.rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), function)).parameters
    by_place = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert by_place[:1] in (["context"], [])
    assert len(by_place) <= 2
