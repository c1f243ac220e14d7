"""The files of a commit that GitHub has and this checkout has not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from roost.github.api import GitHub
from roost.github.contents import blob_sha
from roost.github.models import GitFile
from roost.operations.context import Context
from roost.workflows.base_checkout import at

MOST_FILES = 50
"""More than these are not asked for one by one: GitHub counts a repository's calls by the hour."""
_REGULAR = frozenset({"100644", "100755"})


class UntoldError(Exception):
    """What a commit holds cannot be told from here; says why."""


@asynccontextmanager
async def open_head(
    context: Context, github: GitHub, commit: str, wanted: Callable[[str], bool]
) -> AsyncIterator[Context]:
    """Return a context whose files are those of a commit on GitHub, as far as they are wanted.

    It is told by the API, because a job's checkout has one commit, and no token to fetch another.
    What the two have in common is taken from the checkout.

    Raises:
        UntoldError: they are too many, or not all of them plain files.
        GitHubError: GitHub refuses or fails.
    """
    files = {path: file for path, file in (await github.tree(commit)).items() if wanted(path)}
    odd = [path for path, file in files.items() if file.mode not in _REGULAR or _leads_out(path)]
    if odd:
        raise UntoldError(f"{odd[0]} is no plain file")
    found = {path: _here(context.project / path, file) for path, file in files.items()}
    others = [path for path, content in found.items() if content is None]
    if len(others) > MOST_FILES:
        raise UntoldError(f"{len(others)} of its files differ")
    for path in others:
        there = await github.file_at(path, commit)
        if there is None or there.sha != files[path].sha:
            raise UntoldError(f"{path} is not what GitHub listed")
        found[path] = there.content
    with TemporaryDirectory(prefix="roost-head-") as folder:
        for path, content in found.items():
            _write(Path(folder) / path, content or b"")
        yield at(context, Path(folder))


def _here(path: Path, file: GitFile) -> bytes | None:
    """Return the checkout's file where it is the same one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if blob_sha(content) == file.sha else None


def _leads_out(path: str) -> bool:
    """Git has no such paths; what GitHub answers is read from a disk, and written to one, all the same."""
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
