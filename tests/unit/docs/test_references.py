"""The generated reference pages are fresh, and complete."""

from __future__ import annotations

import ast

import pytest
import typer.main

from helpers.documents import DOCS, ROOT
from roost.cli.app import app
from roost.cli.references import pages, write
from roost.environment.schema import environment_schema
from roost.errors import ExitCode
from roost.report.reference_commands import leaves
from roost.report.reference_environment import environment_reference
from roost.report.reference_errors import EXIT_CODES, REMEDIES, error_classes

WHOLE = typer.main.get_command(app)


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_reference_page_is_what_the_code_says_now(name):
    written = (DOCS / "reference" / name).read_text("utf-8")

    assert written == pages()[name], "run `./run docs` and commit what it writes"


def test_every_page_in_the_folder_is_generated():
    assert {path.name for path in (DOCS / "reference").iterdir()} == set(pages())


def test_the_pages_are_written_into_a_folder_that_is_not_there_yet(tmp_path):
    write(tmp_path / "new")

    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == pages()


def test_every_error_has_a_remedy_and_every_exit_code_a_meaning():
    assert {kind.word for kind in error_classes()} == set(REMEDIES)
    assert set(EXIT_CODES) == set(ExitCode)


def test_every_error_class_of_the_tool_that_a_command_ends_with_is_in_the_reference():
    """A class with a `word` of its own outside of roost.errors would be missing there."""
    own = [
        (path.name, node.name)
        for path in (ROOT / "scripts" / "roost").rglob("*.py")
        if path.name != "errors.py" and "errors" not in path.parts
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "RoostError" for base in node.bases)
    ]

    assert not own


def test_the_command_reference_names_every_command_and_shows_its_example():
    page = pages()["commands.md"]

    for name, _ in leaves(WHOLE):
        assert f"\n## {name}\n" in page
    assert page.count("Example: ./run roost ") == len(list(leaves(WHOLE)))


def test_the_environment_reference_names_every_field_of_the_schema():
    page, schema = environment_reference(), environment_schema()

    def fields(part):
        if isinstance(part, dict):
            yield from part.get("properties", {})
            for inner in part.values():
                yield from fields(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from fields(inner)

    missing = {name for name in fields(schema) if f"| `{name}` |" not in page}
    assert not missing


@pytest.mark.parametrize(
    "row",
    [
        "| `idle_after` | text, such as `90s`, `5m`, `1h30m` | `5m` |",
        "| `events` | text, such as `7d`, `90d` | `7d` |",
        "| `memory_mb` | 256 to 131072, in steps of 256 | `512` |",
        "| `region` | `ams`, `arn`,",
        "| `app` | text, such as `acme-prefect` | required |",
    ],
)
def test_values_and_defaults_are_written_as_in_a_file(row):
    assert row in environment_reference()
