"""Read the files of another commit of the checkout's repository."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from roost.errors import UsageError
from roost.operations.context import Context
from roost.operations.git import ask_git, repository_top, run_git

LIMIT_S = 120
NOTHING = "0" * 40
"""The commit that GitHub names as the one before the first."""


_WHOLE = re.compile(r"[0-9a-f]{40}")


def is_lost(context: Context, base: str) -> bool:
    """Return whether the checkout lacks the base commit, as after a forced push.

    GitHub names the former head of the branch, which is then in no checkout of the branch.
    """
    if base == NOTHING or not _WHOLE.fullmatch(base) or Path(base).is_dir():
        return False
    asked = partial(ask_git, context.environ, context.project)
    return asked("rev-parse", "HEAD") is not None and asked("cat-file", "-e", base) is None


@contextmanager
def open_base(context: Context, base: str) -> Iterator[Context | None]:
    """Return a context with the files of a folder or a commit; None for an empty base.

    Raises:
        UsageError: the base is neither a folder nor a commit of this repository.
    """
    if not base or base == NOTHING:
        yield None
    elif Path(base).is_dir():
        yield at(context, Path(base).absolute())
    else:
        with TemporaryDirectory(prefix="roost-base-") as folder:
            _extract(context, base, Path(folder))
            yield at(context, Path(folder) / _within_repository(context.project))


def at(context: Context, project: Path) -> Context:
    """Return a context with the files of another folder."""
    elsewhere = ("ROOST_ENVIRONMENTS", "ROOST_DEPLOY")
    environ = {name: value for name, value in context.environ.items() if name not in elsewhere}
    return replace(context, project=project, environ=environ)


def _within_repository(project: Path) -> Path:
    """Return the path of the project in its repository."""
    top = repository_top(project)
    return project.absolute().relative_to(top) if top else Path()


def _extract(context: Context, commit: str, folder: Path) -> None:
    """Write a commit's files into a folder, and none outside of it.

    Raises:
        UsageError: the commit is not here, or git fails.
    """
    words = ("archive", "--format=tar", "--end-of-options", commit)
    done = run_git(context.environ, context.project, *words, limit_s=LIMIT_S)
    if done is None or done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() if done else []
        raise UsageError(
            f"{commit} is neither a folder nor a commit here ({lines[-1] if lines else 'git failed'}).",
            advice="Check out the whole history (`fetch-depth: 0`), or name a folder.",
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
