"""The house rules of the layout: who may import whom, and what the pure rooms never touch."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
ROOST = SCRIPTS / "roost"
LOCALFLY = SCRIPTS / "localfly"

# A room may import the rooms named beside it, and its own; nothing points upward.
MAY_IMPORT = {
    "errors": set(),
    "secret_text": set(),
    "http": {"errors", "secret_text"},
    "environment": {"errors"},
    "fly": {"errors", "secret_text", "http"},
    "prefect": {"errors", "secret_text", "http"},
    "github": {"errors", "secret_text", "http"},
    "plan": {"errors", "secret_text", "http", "environment", "fly", "prefect"},
    "report": {"errors", "environment", "fly", "prefect", "github", "plan"},
    "apply": {"errors", "secret_text", "environment", "fly", "prefect", "plan"},
}
# Pure code reads no clock, no environment and no network; these are the modules with effects.
EFFECTS = {"httpx", "os", "time", "socket", "subprocess", "asyncio", "anyio", "random"}
PURE_ROOMS = ("environment", "plan", "report")
EFFECTFUL = {"plan/live.py"}  # reads Fly, and nothing else does in a pure room


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    """Every module a file imports, absolute, wherever in the file the import stands."""
    package = path.relative_to(SCRIPTS).with_suffix("").parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(ROOST).with_suffix("").parts[0]


@pytest.mark.parametrize("path", python_files(ROOST), ids=lambda p: str(p.relative_to(ROOST)))
def test_a_room_imports_only_the_rooms_below_it(path):
    room = room_of(path)
    if room not in MAY_IMPORT:
        return  # the command line and what stands beside it may use every room
    rooms = {m.split(".")[1] for m in imported_modules(path) if m.startswith("roost.")}

    assert rooms - {room} <= MAY_IMPORT[room]


def test_rooms_named_in_the_rules_exist():
    assert {name for name in MAY_IMPORT if not (ROOST / name).exists()} <= {
        name for name in MAY_IMPORT if (ROOST / f"{name}.py").exists()
    }


@pytest.mark.parametrize("path", python_files(ROOST), ids=lambda p: str(p.relative_to(ROOST)))
def test_pure_rooms_have_no_effects(path):
    relative = path.relative_to(ROOST).as_posix()
    if room_of(path) not in PURE_ROOMS or relative in EFFECTFUL:
        return

    assert not {module.split(".")[0] for module in imported_modules(path)} & EFFECTS


@pytest.mark.parametrize(
    ("folder", "stranger"), [(ROOST, "localfly"), (LOCALFLY, "roost")], ids=["roost", "localfly"]
)
def test_the_two_packages_never_import_each_other(folder, stranger):
    importers = {
        str(path)
        for path in python_files(folder)
        if any(m.split(".")[0] == stranger for m in imported_modules(path))
    }

    assert not importers


def test_the_local_fly_does_not_know_roost():
    mentions = [
        str(path)
        for path in [*python_files(LOCALFLY), *LOCALFLY.rglob("*.md")]
        if "roost" in path.read_text(encoding="utf-8").lower()
    ]

    assert not mentions


def test_no_top_level_module_shadows_the_standard_library():
    names = {path.stem for path in SCRIPTS.iterdir()} | {
        path.stem for path in (SCRIPTS.parent / "deploy").glob("*.py")
    }

    assert not names & set(sys.stdlib_module_names)
