"""The internals of Prefect that the server uses are in one list, and a moved one is named."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from roost_server.errors import MovedError
from roost_server.prefect_internals import INTERNALS, Internal

DEPLOY = Path(__file__).parents[3] / "deploy"
LIST = "prefect_internals.py"
OF_PREFECT = ("prefect", "pydocket", "docket", "prefect_redis")


def imports_of(path):
    """Every module that a file imports, also within functions, and by name as text."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (ast.literal_eval(each) for each in node.args[:1])


def files():
    """The server's modules; a flow server uses Prefect as its users do, by what is public."""
    of_server = (path for path in DEPLOY.rglob("*.py") if "flows" not in path.parts)
    return sorted(path for path in of_server if path.name != LIST)


@pytest.mark.parametrize("path", files(), ids=lambda p: p.relative_to(DEPLOY).as_posix())
def test_prefect_is_imported_through_the_list_alone(path):
    """An internal that is not listed would not be checked when the image is built."""
    found = {module for module in imports_of(path) if module.split(".")[0] in OF_PREFECT}

    assert found == set()


def test_an_import_of_prefect_beside_the_list_would_be_seen(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import prefect.plugins\ndef f():\n    from prefect.server import database\n"
        "    import_module('prefect.settings')\n"
    )

    assert set(imports_of(file)) == {"prefect.plugins", "prefect.server", "prefect.settings"}


def test_each_entry_says_why_it_is_needed_and_since_when_it_is_there():
    assert INTERNALS
    for name, each in INTERNALS.items():
        assert each.why, name
        assert each.since.count(".") == 2, name


def test_each_entry_of_the_list_is_used():
    text = "".join(path.read_text("utf-8") for path in files())

    assert [name for name in INTERNALS if f"{name}.load()" not in text] == []


def entry(module="json", name="dumps", **fields):
    return Internal(module, name, why="write", since="3.1.13", **fields)


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        (entry("json.gone"), "ModuleNotFoundError: No module named 'json.gone'"),
        (entry(name="gone"), "AttributeError: module 'json' has no attribute 'gone'"),
        (entry(parts=("__name__.gone",)), "'str' object has no attribute 'gone'"),
        (entry(takes={"": ("obj", "gone")}), "LookupError: dumps takes no gone"),
        (entry(name="JSONEncoder", takes={"encode": ("o", "gone")}), "takes no gone"),
        (entry(seen_as=lambda function: function()), "TypeError: dumps() missing 1 required"),
    ],
    ids=["module", "name", "part", "parameter", "method", "call"],
)
def test_a_part_that_moved_is_named_with_what_it_is_for(moved, told):
    with pytest.raises(MovedError) as found:
        moved.prove()

    said = str(found.value)
    assert told in said
    assert moved.place in said
    assert "Roost needs it to write" in said
    assert "since 3.1.13" in said


@pytest.mark.parametrize(
    "there",
    [
        entry(),
        entry(name="", parts=("decoder.JSONDecoder",)),
        entry(takes={"": ("obj", "indent")}),
        entry(name="JSONEncoder", takes={"encode": ("self", "o")}),
    ],
)
def test_a_part_that_is_there_is_proved(there):
    there.prove()


@pytest.mark.parametrize(
    ("version", "due"), [("3.4.8", False), ("3.4.9", True), ("3.10.0", True), ("3.9.1rc1", True)]
)
def test_a_release_from_before_a_part_is_not_asked_for_it(version, due):
    assert Internal("json", "", why="read", since="3.4.9").is_due(version) is due
