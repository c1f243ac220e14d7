"""What an image must and must not hold, read from its files without starting it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

# Compiled when Prefect starts from them, or never imported by a server.
NOT_COMPILED = ("pip", "ensurepip", "idlelib", "test", "lib2to3")
# Of the machine that built it, or of the building.
STRANGERS = ("etc/pip.conf", "tmp/lock.txt", "opt/venv/bin/pip", "usr/bin/gcc")
# What the server starts beside itself.
PROGRAMS = ("opt/venv/bin/litestream",)
LIBRARIES = ("usr/local/lib", "usr/lib")
ROOT = PurePosixPath("opt/roost")
USER = "prefect"
SHOWN = 3


def faults(tree: Path, parts: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Return what is wrong with an image's files, in sentences.

    Args:
        tree: The image's root file system.
        parts: Name and content of the files that must be in the image's own folder, as they are.
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
    """Find the files the image adds to its base."""
    return (path for path in sorted((tree / "opt").rglob("*")) if path.is_file())


def examples(tree: Path, paths: list[Path]) -> str:
    """Name the first of some files, and how many there are."""
    some = ", ".join(f"/{path.relative_to(tree)}" for path in paths[:SHOWN])
    return some if len(paths) <= SHOWN else f"{some} and {len(paths) - SHOWN} more"


def without_bytecode(tree: Path) -> Iterator[Path]:
    """Find the modules that Python would have to compile at every start."""
    # Python's own library, in a published base and in one of Debian's making.
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
    """Return the number of the user the server is to become; None where there is none."""
    rows = (line.split(":") for line in (tree / "etc" / "passwd").read_text().splitlines())
    return next((int(row[2]) for row in rows if row[0] == USER), None)
