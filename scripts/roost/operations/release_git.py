"""Read releases by git, and merge one into a checkout: `base`, `ours` and `theirs`, as git merges branches.

Two commits are made for the merge, which no branch names: the checkout with Roost's files as the old
release has them, and as the new one has them. Git merges their difference into the checkout.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from roost.errors import UpdateError
from roost.operations.release_files import Entry, Files, Number, number_of, text_of

FETCH_LIMIT_S = 600.0
LIMIT_S = 120.0
RELEASES = "refs/roost/releases/"
"""Where fetched tags are kept, beside the repository's own: git never moves one of these."""
_TAG = re.compile(r"\bv\d+\.\d+\.\d+\b", re.ASCII)
_PASSED_ON = ("HOME", "PATH", "SSH_AUTH_SOCK", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
_WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "roost"), ("EMAIL", "roost@localhost"))
}
# No hook of the checkout runs; no program that a repository names is started for a fetch.
_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"),
    *("-c", "protocol.ext.allow=never", "--no-pager"),
)


@dataclass(frozen=True)
class Release:
    """A release: its version, and the commit that its tag names."""

    number: Number
    commit: str

    @property
    def version(self) -> str:
        """The version as people write it."""
        return text_of(self.number)


@dataclass(frozen=True)
class Checkout:
    """A checkout of a repository that began as a copy of the template.

    Args:
        folder: its top folder.
        environ: the process environment; only what git needs is passed on.
    """

    folder: Path
    environ: Mapping[str, str] = field(repr=False)

    def git(self, *words: str, given: bytes = b"", index: Path | None = None) -> str:
        """Run git and return what it prints.

        Raises:
            UpdateError: git refuses, or is missing; nothing of the checkout was changed.
        """
        done = self._run(words, given, index, LIMIT_S)
        if done.returncode != 0:
            raise self._failed(words[0], done)
        return done.stdout.decode(errors="surrogateescape")

    def is_top(self) -> bool:
        """Return whether the folder is the top of a git checkout with a commit."""
        done = self._run(("rev-parse", "--show-toplevel", "HEAD"), b"", None, LIMIT_S)
        lines = done.stdout.decode(errors="surrogateescape").splitlines()
        return done.returncode == 0 and Path(lines[0]).resolve() == self.folder.resolve()

    def is_clean(self) -> bool:
        """Return whether nothing is changed and no file is new."""
        return not self.git("status", "--porcelain").strip()

    def fetch(self, source: str) -> None:
        """Fetch the tags of a repository that name releases.

        Raises:
            UpdateError: it does not answer, or a tag names another commit than it did.
        """
        words = ("fetch", "--no-tags", "--no-write-fetch-head")
        wanted = ("--", source, f"refs/tags/v*:{RELEASES}v*")
        done = self._run((*words, *wanted), b"", None, FETCH_LIMIT_S)
        if done.returncode == 0:
            return
        text = done.stderr.decode(errors="replace")
        if "rejected" in text:
            lines = [line for line in text.splitlines() if "rejected" in line]
            moved = sorted({tag for line in lines for tag in _TAG.findall(line)})
            raise UpdateError(
                f"A tag names another commit than when it was fetched before: {', '.join(moved)}.",
                where=_shown(source),
                advice="A release never moves. Ask whoever published it before you take it.",
            )
        raise self._failed("fetch", done)

    def tags_of(self, source: str) -> tuple[str, ...]:
        """Return the names of the tags of a repository, without fetching anything.

        Raises:
            UpdateError: it does not answer.
        """
        done = self._run(("ls-remote", "--tags", "--refs", "--", source), b"", None, LIMIT_S)
        if done.returncode != 0:
            raise self._failed("ls-remote", done)
        lines = done.stdout.decode(errors="replace").splitlines()
        return tuple(line.rpartition("refs/tags/")[2] for line in lines)

    def releases(self) -> dict[Number, Release]:
        """Return the fetched releases by their version."""
        wanted = "--format=%(refname:lstrip=3) %(objectname) %(*objectname)"
        found = {}
        for line in self.git("for-each-ref", wanted, RELEASES).splitlines():
            tag, own, *commit = line.split(" ")
            if number := number_of(tag):
                found[number] = Release(number, (commit or [""])[0] or own)
        return found

    def files(self, commit: str) -> Files:
        """Return the files of a commit by their paths."""
        found = {}
        for line in self.git("ls-tree", "-r", "-z", "--full-tree", commit).split("\0"):
            if line:
                about, path = line.split("\t", 1)
                mode, _, sha = about.split(" ")
                found[path] = Entry(mode, sha)
        return found

    def contents(self, files: Files) -> dict[str, bytes]:
        """Return the contents of files."""
        names = [(path, entry.sha) for path, entry in files.items() if entry.mode != "160000"]
        given = "".join(f"{sha}\n" for _, sha in names).encode()
        done = self._run(("cat-file", "--batch"), given, None, LIMIT_S)
        if done.returncode != 0:
            raise self._failed("cat-file", done)
        rest, found = done.stdout, {}
        for path, _ in names:
            head, _, rest = rest.partition(b"\n")
            size = int(head.split()[2])
            found[path], rest = rest[:size], rest[size + 1 :]
        return found

    def blob(self, content: bytes) -> str:
        """Keep a content, and return its hash."""
        return self.git("hash-object", "-w", "--stdin", given=content).strip()

    def commit_of(self, files: Files, message: str, parents: Iterable[str] = ()) -> str:
        """Make a commit of files that no branch names, and return its hash."""
        lines = (f"{entry.mode} {entry.sha}\t{path}\0" for path, entry in files.items())
        given = "".join(lines).encode(errors="surrogateescape")
        with tempfile.TemporaryDirectory(prefix="roost-update-") as folder:
            index = Path(folder) / "index"
            self.git("update-index", "-z", "--index-info", given=given, index=index)
            tree = self.git("write-tree", index=index).strip()
        above = (word for parent in parents for word in ("-p", parent))
        return self.git("commit-tree", tree, *above, "-m", message).strip()

    def merge(self, base: str, theirs: str, label: str) -> tuple[str, ...]:
        """Merge a commit into the index and the files of the checkout; return git's lines about conflicts.

        The checkout has to be clean, so `git reset --hard` takes back a merge that is interrupted.

        Raises:
            UpdateError: git refuses to merge; the checkout was not changed.
        """
        head = self.git("rev-parse", "HEAD").strip()
        names = {f"GITHEAD_{theirs}": label, f"GITHEAD_{head}": "yours"}
        words = ("merge-recursive", base, "--", head, theirs)
        done = self._run(words, b"", None, LIMIT_S, names)
        if done.returncode not in {0, 1}:
            raise self._failed("merge", done)
        lines = done.stdout.decode(errors="replace").splitlines()
        return tuple(line for line in lines if line.startswith("CONFLICT"))

    def changed(self) -> tuple[str, ...]:
        """Return the files that differ from the last commit."""
        return tuple(filter(None, self.git("diff", "--name-only", "-z", "HEAD").split("\0")))

    def _run(
        self,
        words: Iterable[str],
        given: bytes,
        index: Path | None,
        limit_s: float,
        more: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        passed = {name: self.environ[name] for name in _PASSED_ON if name in self.environ}
        own = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **_WHO, **(more or {})}
        at = {"GIT_INDEX_FILE": str(index)} if index else {}
        try:
            return subprocess.run(  # noqa: S603 - git with our own words, paths and hashes
                ["git", "-C", str(self.folder), *_OPTIONS, *words],  # noqa: S607 - git is found on PATH
                env={**passed, **own, **at},
                input=given,
                capture_output=True,
                timeout=limit_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UpdateError(
                f"git could not be run ({type(error).__name__}).",
                where=os.fspath(self.folder),
                advice="Check that git is installed, and that the network is reached.",
            ) from None

    def _failed(self, doing: str, done: subprocess.CompletedProcess[bytes]) -> UpdateError:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it gives no reason"]
        return UpdateError(
            f"git {doing} failed: {lines[-1][:300]}.",
            where=os.fspath(self.folder),
            advice="Nothing was changed. Correct the cause, then run the same command again.",
        )


def _shown(source: str) -> str:
    """Return an address without a login in it."""
    scheme, mark, rest = source.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else source
