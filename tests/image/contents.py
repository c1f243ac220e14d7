"""What an image must and must not hold, read from its files without starting it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

# Compiled when Prefect starts from them, or never imported by a server.
NOT_COMPILED = ("pip", "ensurepip", "idlelib", "test", "lib2to3")
# Of the machine that built it, or of the building.
STRANGERS = ("etc/pip.conf", "tmp/lock.txt", "opt/venv/bin/pip", "usr/bin/gcc")
LIBRARIES = ("usr/local/lib", "usr/lib")
ROOT = PurePosixPath("opt/roost")
USER = "prefect"


def faults(tree: Path, parts: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Say what is wrong with an image's files, in sentences.

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
        elif not path.stat().st_mode & 0o004:
            yield f"/{ROOT / name} cannot be read by the server's user."
    yield from (f"/{name} must not be there." for name in STRANGERS if (tree / name).exists())
    yield from (f"/tmp/{path.name} was left behind." for path in (tree / "tmp").iterdir())
    bare = list(without_bytecode(tree))
    if bare:
        some = ", ".join(f"/{path}" for path in bare[:3])
        yield f"{len(bare)} modules have no bytecode, such as {some}."


def without_bytecode(tree: Path) -> Iterator[PurePosixPath]:
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
            yield PurePosixPath(inside)


def user_id(tree: Path) -> int | None:
    """Give the number of the user the server is to become; None where there is none."""
    rows = (line.split(":") for line in (tree / "etc" / "passwd").read_text().splitlines())
    return next((int(row[2]) for row in rows if row[0] == USER), None)
