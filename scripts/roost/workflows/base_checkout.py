"""The files of another commit, beside those that are checked out."""

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
"""What GitHub gives as the commit before the first one."""


_WHOLE = re.compile(r"[0-9a-f]{40}")


def is_lost(context: Context, base: str) -> bool:
    """Return whether a base is a commit that was here and is not: a forced push leaves it behind.

    GitHub names the commit that the branch stood at, and no checkout of the branch has it then.
    """
    if base == NOTHING or not _WHOLE.fullmatch(base) or Path(base).is_dir():
        return False
    asked = partial(ask_git, context.environ, context.project)
    return asked("rev-parse", "HEAD") is not None and asked("cat-file", "-e", base) is None


@contextmanager
def open_base(context: Context, base: str) -> Iterator[Context | None]:
    """Return a context whose files are those of a folder or a commit; None where there is none.

    Raises:
        UsageError: it is neither a folder nor a commit of this repository.
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
    """Return a context whose files are those of another folder."""
    elsewhere = ("ROOST_ENVIRONMENTS", "ROOST_DEPLOY")
    environ = {name: value for name, value in context.environ.items() if name not in elsewhere}
    return replace(context, project=project, environ=environ)


def _within_repository(project: Path) -> Path:
    """Return where in its repository the project is."""
    top = repository_top(project)
    return project.absolute().relative_to(top) if top else Path()


def _extract(context: Context, commit: str, folder: Path) -> None:
    """Write a commit's files into a folder; nothing of it lands elsewhere.

    Raises:
        UsageError: there is no such commit here, or git does not give it.
    """
    words = ("archive", "--format=tar", "--end-of-options", commit)
    done = run_git(context.environ, context.project, *words, limit_s=LIMIT_S)
    if done is None or done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() if done else []
        raise UsageError(
            f"{commit} is neither a folder nor a commit here ({said[-1] if said else 'git failed'}).",
            advice="Check out the whole history (`fetch-depth: 0`), or name a folder.",
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
