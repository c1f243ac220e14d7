"""A volume with real limits: a file system in memory of a few MB, mounted for a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = bytes(4096)


@contextmanager
def small_volume(folder: Path, mb: int) -> Iterator[Path]:
    """Mount a file system of `mb` MB on a new folder, as root or with sudo, and unmount it at the end."""
    folder.mkdir(parents=True)
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    owner = f"size={mb}m,uid={os.geteuid()},gid={os.getegid()}"
    mounted = subprocess.run(
        [*root, "mount", "-t", "tmpfs", "-o", owner, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([*root, "umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write a file until there is no room for another block; return it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(BLOCK)
        except OSError:
            return filler
