"""Branches, commits and files (https://docs.github.com/rest/git, /rest/repos/contents, /rest/commits)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from pydantic import BaseModel

from roost.errors import (
    GitHubConflictError,
    GitHubNotFoundError,
    GitHubRejectedError,
    GitHubUnavailableError,
)
from roost.github.calls import RepositoryCalls, may_be_there
from roost.github.models import FILES_LIMIT, Commit, FileContent, GitFile
from roost.github.transport import PER_PAGE, GitHubReply
from roost.http.connection import present

MOST_COMMIT_PAGES = 5
_NO_COMMIT = "No commit found"
_NO_REFERENCE = "Reference does not exist"
_ONE = {"per_page": "1"}


class ContentCalls(RepositoryCalls):
    """Read and write branches and files."""

    async def branch_head(self, branch: str) -> str:
        """Return the commit at the head of a branch."""
        reply = await self._send("GET", "git", "ref", "heads", *branch.split("/"))
        return reply.part("object").part("sha").read(str)

    async def create_branch(self, name: str, sha: str) -> None:
        """Create a branch at a commit; a branch that already is at that commit is fine.

        Raises:
            GitHubConflictError: the branch exists, at another commit.
        """
        try:
            await self._send("POST", "git", "refs", body={"ref": f"refs/heads/{name}", "sha": sha})
        except (GitHubConflictError, GitHubUnavailableError) as error:
            if not may_be_there(error) or await self._head(name) != sha:
                raise

    async def delete_branch(self, name: str) -> None:
        """Delete a branch; one that is gone is fine."""
        try:
            await self._send("DELETE", "git", "refs", "heads", *name.split("/"))
        except GitHubNotFoundError:
            return
        except GitHubRejectedError as error:
            if _NO_REFERENCE not in error.body:
                raise

    async def file_at(self, path: str, ref: str) -> FileContent | None:
        """Return a file of a branch or commit, or None when it has no such file.

        Raises:
            GitHubNotFoundError: there is no such branch or commit.
            GitHubAnswerError: it is a folder, or larger than the 1 MB that this call returns.
        """
        try:
            reply = await self._send("GET", "contents", *path.split("/"), params={"ref": ref})
        except GitHubNotFoundError as error:
            if _NO_COMMIT in error.body:
                raise
            return None
        return _read_file(reply, path)

    async def put_file(
        self, path: str, content: bytes, message: str, branch: str, sha: str | None = None
    ) -> None:
        """Write a file in a commit of its own; `sha` is that of the file it replaces, None for none.

        A repeat has no further effect: a file that already has this content is fine.

        Raises:
            GitHubConflictError: the file is no longer the one with `sha`.
        """
        wanted = {
            "message": message,
            "content": base64.b64encode(content).decode(),
            "branch": branch,
            "sha": sha,
        }
        try:
            await self._send("PUT", "contents", *path.split("/"), body=present(wanted))
        except GitHubConflictError:
            found = await self.file_at(path, branch)
            if found is None or found.sha != blob_sha(content):
                raise

    async def changed_files(self, base: str, head: str) -> tuple[str, ...]:
        """Return the files that `head` changed since it left `base`, sorted; a moved file by both names.

        A comparison lists at most 300 files. Where it may have left some out, both trees are read
        and compared here.

        Raises:
            GitHubAnswerError: the trees have more files than GitHub lists.
        """
        reply = await self._get(self._comparison(base, head), _ONE)
        files = reply.part("files").read_all(_ChangedFile)
        if len(files) < FILES_LIMIT:
            names = {name for file in files for name in (file.filename, file.previous_filename)}
            return tuple(sorted(names - {""}))
        fork = reply.part("merge_base_commit").part("sha").read(str)
        before, after = await self.tree(fork), await self.tree(head)
        return tuple(sorted({name for name, _ in before.items() ^ after.items()}))

    async def line(self, base: str, head: str) -> tuple[str, ...]:
        """Return the first-parent commits of a branch from `base` to `head`, the newest first.

        Commits that a merge brought along are not among them. The result is empty where a
        comparison has more commits than MOST_COMMIT_PAGES pages list.
        """
        found: dict[str, Commit] = {}
        for page in range(1, MOST_COMMIT_PAGES + 1):
            params = {"per_page": str(PER_PAGE), "page": str(page)}
            reply = await self._get(self._comparison(base, head), params)
            commits = reply.part("commits").read_all(Commit)
            found |= {commit.sha: commit for commit in commits}
            if len(commits) < PER_PAGE:
                break
        return tuple(_first_parents(found, head))

    async def last_change(self, path: str, ref: str) -> Commit | None:
        """Return the last commit before a branch or commit that changed a file or folder."""
        reply = await self._send("GET", "commits", params={"path": path, "sha": ref, **_ONE})
        return next(iter(reply.read_all(Commit)), None)

    async def tree(self, commit: str) -> dict[str, GitFile]:
        """Return every file of a commit by its path.

        Raises:
            GitHubAnswerError: there are more than GitHub lists.
        """
        reply = await self._send("GET", "git", "trees", commit, params={"recursive": "1"})
        if reply.part("truncated").read(bool):
            raise reply.wrong("more files than it lists")
        entries = reply.part("tree").read_all(_TreeEntry)
        return {e.path: GitFile(e.mode, e.sha) for e in entries if e.type != "tree"}

    def _comparison(self, base: str, head: str) -> str:
        return f"{self._root}/compare/{quote(base, safe='')}...{quote(head, safe='')}"

    async def _head(self, branch: str) -> str:
        try:
            return await self.branch_head(branch)
        except GitHubNotFoundError:
            return ""


class _ChangedFile(BaseModel):
    """A file of a comparison."""

    filename: str
    previous_filename: str = ""


class _TreeEntry(BaseModel):
    """A file or folder of a commit."""

    path: str
    mode: str
    type: str
    sha: str = ""


class _Content(BaseModel):
    """A file as the API returns it."""

    type: str
    encoding: str = ""
    content: str = ""
    sha: str


def _first_parents(commits: Mapping[str, Commit], head: str) -> Iterator[str]:
    sha = head
    while commit := commits.get(sha):
        yield sha
        sha = commit.parents[0] if commit.parents else ""


def blob_sha(content: bytes) -> str:
    """Return git's hash of a file's content, which GitHub calls its `sha`."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _read_file(reply: GitHubReply, path: str) -> FileContent:
    if isinstance(reply.body, list):
        raise reply.wrong("a folder, where a file belongs")
    found = reply.read(_Content)
    if found.type != "file" or found.encoding != "base64":
        raise reply.wrong("no file of at most 1 MB")
    try:
        content = base64.b64decode("".join(found.content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise reply.wrong("content that is not base64") from None
    if blob_sha(content) != found.sha:
        raise reply.wrong("content that is not what its hash says")
    return FileContent(path=path, content=content, sha=found.sha)
