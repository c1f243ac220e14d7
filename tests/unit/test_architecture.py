"""The layout of the code: which room imports which, what pure rooms avoid, how long a module is."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
ROOST = SCRIPTS / "roost"
LOCALFLY = SCRIPTS / "localfly"
DEPLOY = ROOT / "deploy"
MACHINE = DEPLOY / "roost_machine"
FLOWS = DEPLOY / "flows"
WAKER = DEPLOY / "waker"
MANAGED_REDIS = DEPLOY / "managed_redis"

_DATA = {"errors", "secret_text", "http", "environment", "fly", "prefect"}
_BELOW_OPERATIONS = _DATA | {"github", "plan", "report", "apply"}
_BELOW_COMMANDS = _BELOW_OPERATIONS | {"operations"}

# The rooms that each room imports, beside itself. Every room has a line, and no arrow points upward.
ROOST_ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "secret_text": set(),
    "http": {"errors", "secret_text"},
    "environment": {"errors"},
    "fly": {"errors", "secret_text", "http"},
    "prefect": {"errors", "secret_text", "http"},
    "github": {"errors", "secret_text", "http"},
    "plan": {"errors", "secret_text", "http", "environment", "fly", "prefect"},
    "adoption": {"errors", "environment", "fly", "plan"},
    "report": {"errors", "environment", "fly", "prefect", "github", "plan"},
    "apply": {"errors", "secret_text", "environment", "fly", "prefect", "plan"},
    "operations": _BELOW_OPERATIONS,
    "rehearsal": _BELOW_COMMANDS,
    "doctor": _BELOW_COMMANDS,
    # `roost rehearse` and `roost doctor` are the front doors of these two rooms.
    "commands": _BELOW_COMMANDS | {"rehearsal", "doctor", "adoption"},
    # A workflow's drift, rollback, scale and secrets are the commands of the same name, with a
    # report for GitHub around them.
    "workflows": _BELOW_COMMANDS | {"commands"},
    # It parses the command line and calls a command or a workflow; of the rest it needs the words
    # of errors, the widths of reports, and the escapes of GitHub's log.
    "cli": {"errors", "github", "report", "operations", "commands", "workflows"},
    "__main__": {"cli"},
}
LOCALFLY_ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "api_errors": set(),
    "state": {"errors", "api_errors"},
    "config": {"errors", "api_errors"},
    "images": {"errors", "api_errors"},
    "runtime": {"errors", "api_errors", "state", "config", "images"},
    "proxy": {"errors", "api_errors", "state", "config", "images"},
    "machines": {"errors", "api_errors", "state", "config", "images", "runtime", "proxy"},
    "api": {"errors", "api_errors", "state", "config", "images", "runtime", "proxy", "machines"},
    "daemon": {"errors", "state", "images", "runtime", "proxy", "machines", "api"},
    "cli": {"errors", "state", "images", "daemon"},
    "__main__": {"cli"},
}
# Pure code reads no clock, no environment and no network; these are the modules with effects.
EFFECTS = {"httpx", "os", "time", "socket", "subprocess", "asyncio", "anyio", "random"}
PURE_ROOMS = ("environment", "plan", "adoption", "report")
EFFECTFUL = {"plan/live.py"}  # the only module of a pure room that reads Fly

# Of the launcher of flows; each runs in a process of its own, which ends.
WITH_PREFECT = {"canary.py"}

MOST_LINES = 400


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imported_modules(path: Path, source_root: Path = SCRIPTS) -> set[str]:
    """Return every module that a file imports, as an absolute name, wherever the import stands."""
    package = path.relative_to(source_root).with_suffix("").parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path, package: Path) -> set[str]:
    """Return the rooms of its own package that a module imports."""
    names = [module.split(".") for module in imported_modules(path)]
    return {name[1] for name in names if name[0] == package.name and len(name) > 1}


def room_of(path: Path, package: Path) -> str:
    return path.relative_to(package).with_suffix("").parts[0]


def modules_of(package: Path) -> list[Path]:
    """Return the modules of a package that stand in a room; its own `__init__` names nothing."""
    return [path for path in python_files(package) if path != package / "__init__.py"]


@pytest.mark.parametrize("path", modules_of(ROOST), ids=lambda p: str(p.relative_to(ROOST)))
def test_a_room_of_roost_imports_only_the_rooms_below_it(path):
    room = room_of(path, ROOST)

    assert rooms_imported(path, ROOST) - {room} <= ROOST_ROOMS[room]


@pytest.mark.parametrize("path", modules_of(LOCALFLY), ids=lambda p: str(p.relative_to(LOCALFLY)))
def test_a_room_of_the_local_fly_imports_only_the_rooms_below_it(path):
    room = room_of(path, LOCALFLY)

    assert rooms_imported(path, LOCALFLY) - {room} <= LOCALFLY_ROOMS[room]


@pytest.mark.parametrize("package", [ROOST, LOCALFLY], ids=["roost", "localfly"])
def test_the_init_of_a_package_imports_nothing(package):
    """It belongs to no room, so an import there would escape the rules."""
    assert not imported_modules(package / "__init__.py")


@pytest.mark.parametrize(
    ("package", "rules"),
    [(ROOST, ROOST_ROOMS), (LOCALFLY, LOCALFLY_ROOMS)],
    ids=["roost", "localfly"],
)
def test_the_rules_name_the_rooms_that_exist_and_have_no_circle(package, rules):
    assert set(rules) == {room_of(path, package) for path in modules_of(package)}
    settled: set[str] = set()
    while len(settled) < len(rules):
        free = {room for room in set(rules) - settled if rules[room] <= settled}
        assert free, f"a circle among {set(rules) - settled}"
        settled |= free


@pytest.mark.parametrize("path", modules_of(ROOST), ids=lambda p: str(p.relative_to(ROOST)))
def test_pure_rooms_have_no_effects(path):
    relative = path.relative_to(ROOST).as_posix()
    has_effects = {module.split(".")[0] for module in imported_modules(path)} & EFFECTS
    may_have = room_of(path, ROOST) not in PURE_ROOMS or relative in EFFECTFUL

    assert may_have or not has_effects


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


@pytest.mark.parametrize("path", python_files(DEPLOY), ids=lambda p: str(p.relative_to(DEPLOY)))
def test_what_runs_on_a_machine_imports_nothing_of_scripts(path):
    """Only deploy/ is copied into the image."""
    modules = {module.split(".")[0] for module in imported_modules(path, DEPLOY)}

    assert not modules & {"roost", "localfly", "scripts"}


@pytest.mark.parametrize("path", python_files(MACHINE), ids=lambda p: p.name)
def test_what_every_machine_needs_imports_nothing_but_the_standard_library(path):
    modules = {module.split(".")[0] for module in imported_modules(path, DEPLOY)}

    assert modules <= {"roost_machine", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", python_files(FLOWS), ids=lambda p: str(p.relative_to(FLOWS)))
def test_the_launcher_of_flows_knows_no_server_and_needs_no_package(path):
    """Its image has no server's code, and its memory is that of flows: Prefect stays out of it."""
    modules = {module.split(".")[0] for module in imported_modules(path, FLOWS)}
    may_import = {"roost_flows", "roost_machine", *sys.stdlib_module_names}

    assert modules - (may_import | ({"prefect"} if path.name in WITH_PREFECT else set())) == set()


@pytest.mark.parametrize("path", python_files(WAKER), ids=lambda p: str(p.relative_to(WAKER)))
def test_the_waker_knows_no_other_machine_and_needs_no_package(path):
    """Its image has Python alone, and its machine the least memory that Fly sells."""
    modules = {module.split(".")[0] for module in imported_modules(path, WAKER)}

    assert modules <= {"roost_waker", "roost_machine", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", python_files(MANAGED_REDIS), ids=lambda p: p.name)
def test_a_managed_redis_knows_no_other_machine_and_needs_no_package(path):
    modules = {module.split(".")[0] for module in imported_modules(path, MANAGED_REDIS)}

    assert modules <= {"roost_redis", "roost_machine", *sys.stdlib_module_names}


@pytest.mark.parametrize(
    "path", python_files(DEPLOY / "roost_server"), ids=lambda p: str(p.relative_to(DEPLOY))
)
def test_the_server_knows_nothing_of_what_runs_on_other_machines(path):
    modules = {module.split(".")[0] for module in imported_modules(path, DEPLOY)}

    assert not modules & {
        "roost_flows",
        "flow_server",
        "flows",
        "roost_waker",
        "waker",
        "roost_redis",
    }


def test_the_local_fly_does_not_know_roost():
    mentions = [
        str(path)
        for path in [*python_files(LOCALFLY), *LOCALFLY.rglob("*.md")]
        if "roost" in path.read_text(encoding="utf-8").lower()
    ]

    assert not mentions


def test_no_top_level_module_shadows_the_standard_library():
    names = {path.stem for path in SCRIPTS.iterdir()} | {path.stem for path in DEPLOY.glob("*.py")}

    assert not names & set(sys.stdlib_module_names)


def test_no_module_is_longer_than_a_reader_holds_in_mind():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*python_files(SCRIPTS), *python_files(DEPLOY)]
    }

    assert not {path: lines for path, lines in lengths.items() if lines > MOST_LINES}
