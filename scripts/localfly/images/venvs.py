"""Create virtual environments with uv from a lock with hashes, with compiled bytecode."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from typing import TYPE_CHECKING

from localfly.errors import UvMissingError
from localfly.images.commands import run_command
from localfly.images.spec import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def find_uv(environ: Mapping[str, str] = os.environ) -> str:
    """Return the path of uv: from $UV, PATH, or the Python package.

    Raises:
        UvMissingError: It is in none of them.
    """
    named = environ.get("UV") or shutil.which("uv", path=environ.get("PATH"))
    if named:
        return named
    if importlib.util.find_spec("uv"):
        import uv  # noqa: PLC0415 - optional: usually not installed

        return str(uv.find_uv_bin())
    raise UvMissingError(
        "uv is not installed, and images are built with it.",
        advice="Install it (`pip install uv`), or name it in the variable UV.",
    )


def venv_key(lock: bytes | None) -> str:
    """Return a key for an environment: a hash of its lock and the Python installation."""
    python = (platform.python_version(), sysconfig.get_platform(), sys.base_prefix)
    return digest([*(part.encode() for part in python), lock or b""])[:24]


async def make_venv(folder: Path, lock: Path | None, progress: Callable[[str], None]) -> None:
    """Install exactly the packages of the lock, and check each file against its hash.

    Only wheels are installed, and no uv.toml applies: building a package runs its code, and the
    lock's hashes do not cover the packages that a build needs.
    """
    uv = find_uv()
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}

    async def run(*arguments: str) -> None:
        await run_command(
            [uv, "--no-config", *arguments], cwd=folder.parent, env=env, progress=progress
        )

    await run("venv", "--quiet", "--no-project", "--python", sys.executable, str(folder))
    if lock is not None:
        await run(
            *("pip", "sync", "--no-build", "--require-hashes", "--compile-bytecode"),
            *("--python", str(folder / "bin" / "python"), str(lock)),
        )
