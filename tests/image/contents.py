"""Check what an image must and must not contain, without starting it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

# Modules that are compiled when Prefect runs them as scripts, or that a server never imports.
NOT_COMPILED = ("pip", "ensurepip", "idlelib", "test", "lib2to3")
# Files of the building machine or of the build.
STRANGERS = ("etc/pip.conf", "tmp/lock.txt", "opt/venv/bin/pip", "usr/bin/gcc")
# Programs that the server starts.
PROGRAMS = ("opt/venv/bin/litestream",)
LIBRARIES = ("usr/local/lib", "usr/lib")
ROOT = PurePosixPath("opt/roost")
USER = "prefect"
SHOWN = 3


def faults(tree: Path, parts: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Return the faults of an image's files as sentences.

    Args:
        tree: The image's root file system.
        parts: The name and content of the files that must be in the image's folder unchanged.
    """
    for name, content in parts:
        path = tree / ROOT / name
        if not path.is_file():
            yield f"/{ROOT / name} is missing."
        elif path.read_bytes() != content:
            yield f"/{ROOT / name} is not what is committed."
    yield from (f"/{name} must not be there." for name in STRANGERS if (tree / name).exists())
    yield from (f"/tmp/{path.name} was left behind." for path in (tree / "tmp").iterdir())
    closed = [path for path in installed(tree) if not path.stat().st_mode & 0o004]
    if closed:
        yield f"The server's user cannot read {examples(tree, closed)}."
    for name in PROGRAMS:
        if not (tree / name).is_file() or not (tree / name).stat().st_mode & 0o001:
            yield f"/{name} cannot be run by the server's user."
    bare = list(without_bytecode(tree))
    if bare:
        yield f"There is no bytecode for {examples(tree, bare)}."


def installed(tree: Path) -> Iterator[Path]:
    """Return the files that the image adds to its base."""
    return (path for path in sorted((tree / "opt").rglob("*")) if path.is_file())


def examples(tree: Path, paths: list[Path]) -> str:
    """Return the names of the first files, and their number."""
    some = ", ".join(f"/{path.relative_to(tree)}" for path in paths[:SHOWN])
    return some if len(paths) <= SHOWN else f"{some} and {len(paths) - SHOWN} more"


def without_bytecode(tree: Path) -> Iterator[Path]:
    """Return the modules that Python would compile at every start."""
    # Python's standard library, in a published base and in a stand-in.
    standard = (path for lib in LIBRARIES for path in (tree / lib).glob("python3.*"))
    sources = (file for folder in (tree / "opt", *standard) for file in folder.rglob("*.py"))
    for source in sorted(sources):
        compiled = source.parent / "__pycache__"
        inside = source.relative_to(tree)
        if set(inside.parts) & set(NOT_COMPILED):
            continue
        if not any(compiled.glob(f"{source.stem}.cpython-*.pyc")):
            yield source


def user_id(tree: Path) -> int | None:
    """Return the id of the server's user; None if it does not exist."""
    rows = (line.split(":") for line in (tree / "etc" / "passwd").read_text().splitlines())
    return next((int(row[2]) for row in rows if row[0] == USER), None)
