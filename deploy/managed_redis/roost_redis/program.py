"""Find `redis-server` and run it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from roost_machine.log import log
from roost_redis.errors import ProgramError

NAME = "redis-server"
OLDEST = (6, 2)
"""Prefect's consumers use XAUTOCLAIM, which is in Redis since 6.2."""
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)[.\d]*")
_QUOTED = re.compile(r"'.*'|\".*\"")
LOOK_LIMIT_S = 60
MOST_WORDS = 200


def find_program(environ: Mapping[str, str]) -> str:
    """Return the path of a Redis that can serve Prefect.

    Raises:
        ProgramError: it is not installed, or too old.
    """
    path = shutil.which(NAME, path=environ.get("PATH"))
    if path is None:
        raise ProgramError(
            f"the program {NAME} is not installed here; on Debian and Ubuntu: apt-get install {NAME}"
        )
    said = subprocess.run(  # noqa: S603 - a program of this image
        [path, "--version"], capture_output=True, text=True, check=False, timeout=LOOK_LIMIT_S
    )
    version = _VERSION.search(said.stdout)
    if version is None:
        raise ProgramError(f"{path} does not run: it says {said.stderr.strip()[:MOST_WORDS]!r}")
    if (int(version[1]), int(version[2])) < OLDEST:
        raise ProgramError(f"{path} is older than 6.2, which Prefect needs; install a newer Redis")
    return path


def start(program: str, configuration: Path, environ: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start Redis. Its arguments and its environment hold no secret."""
    return subprocess.Popen(  # noqa: S603 - a program of this image
        [program, str(configuration)],
        env={"PATH": environ.get("PATH", ""), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def pass_on(output: IO[str]) -> str:
    """Write Redis's log into the machine's until Redis ends; return its last warning, without quotes.

    What Redis quotes may be a piece of the data, and the warning goes into reports.
    """
    warning = ""
    for line in output:
        log(f"redis: {line.rstrip()}")
        _, mark, words = line.partition(" # ")
        warning = _QUOTED.sub("'...'", words.strip())[:MOST_WORDS] if mark else warning
    return warning
