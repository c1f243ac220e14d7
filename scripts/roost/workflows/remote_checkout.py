"""Read the files of a commit that is on GitHub but not in this checkout."""

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
"""More files are not read one by one, because GitHub limits a repository's calls per hour."""
_REGULAR = frozenset({"100644", "100755"})


class UnreadableCommitError(Exception):
    """The files of a commit cannot be read from here; says why."""


@asynccontextmanager
async def open_head(
    context: Context, github: GitHub, commit: str, wanted: Callable[[str], bool]
) -> AsyncIterator[Context]:
    """Return a context with the wanted files of a commit on GitHub.

    They are read by the API, because a job's checkout has one commit and no token to fetch another.
    Files that are the same in the checkout are copied from it.

    Raises:
        UnreadableCommitError: too many files differ, or one is no plain file.
        GitHubError: GitHub refuses or fails.
    """
    files = {path: file for path, file in (await github.tree(commit)).items() if wanted(path)}
    odd = [path for path, file in files.items() if file.mode not in _REGULAR or _leads_out(path)]
    if odd:
        raise UnreadableCommitError(f"{odd[0]} is no plain file")
    found = {path: _here(context.project / path, file) for path, file in files.items()}
    others = [path for path, content in found.items() if content is None]
    if len(others) > MOST_FILES:
        raise UnreadableCommitError(f"{len(others)} of its files differ")
    for path in others:
        there = await github.file_at(path, commit)
        if there is None or there.sha != files[path].sha:
            raise UnreadableCommitError(f"{path} is not what GitHub listed")
        found[path] = there.content
    with TemporaryDirectory(prefix="roost-head-") as folder:
        for path, content in found.items():
            _write(Path(folder) / path, content or b"")
        yield at(context, Path(folder))


def _here(path: Path, file: GitFile) -> bytes | None:
    """Return the content of the checkout's file where it is the same, else None."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if blob_sha(content) == file.sha else None


def _leads_out(path: str) -> bool:
    """Return whether a path leaves its folder; git has none, but the answer becomes a path on disk."""
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
