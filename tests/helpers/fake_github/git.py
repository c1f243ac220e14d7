"""A bare git repository, through git's own plumbing."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

BOT_MAIL = "41898282+github-actions[bot]@users.noreply.github.com"
HASH = re.compile(r"[0-9a-f]{40}")
# Names that are a path below the repository, whatever git thinks of them otherwise.
PLAIN_REF = re.compile(r"refs(/[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)+")


@dataclass(frozen=True)
class Entry:
    """A file or folder of a commit."""

    mode: str
    kind: str
    sha: str
    size: int
    path: str


class Git:
    """Reads and writes one bare repository.

    An answer about full hashes never changes, so it is asked of git once. A run of git costs 2 ms
    of CPU, and the test of a deploy asks a hundred times.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[tuple[str, ...], str] = {}

    @classmethod
    def create(cls, path: Path, branch: str) -> Git:
        """Make a repository with one commit."""
        # Without a template: hooks and examples are of no use here.
        made = ["git", "init", "-q", "--bare", "--template=", "-b", branch, str(path)]
        subprocess.run(made, check=True)
        git = cls(path)
        tree = git.run("mktree", stdin=b"").strip()
        git.move(f"refs/heads/{branch}", git.commit(tree, [], "Begin", "alice"))
        return git

    def run(self, *args: str, stdin: bytes | None = None, author: str = "", index: str = "") -> str:
        """Run git and return what it prints."""
        return self._bytes(*args, stdin=stdin, author=author, index=index).decode(
            "utf-8", "surrogateescape"
        )

    def _bytes(
        self, *args: str, stdin: bytes | None = None, author: str = "", index: str = ""
    ) -> bytes:
        mail = BOT_MAIL if author.endswith("[bot]") else f"{author}@users.noreply.github.com"
        who = {
            "GIT_AUTHOR_NAME": author or "GitHub",
            "GIT_AUTHOR_EMAIL": mail if author else "noreply@github.com",
            "GIT_COMMITTER_NAME": "GitHub",
            "GIT_COMMITTER_EMAIL": "noreply@github.com",
        }
        env = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "LC_ALL": "C",
            **who,
            **({"GIT_INDEX_FILE": index} if index else {}),
        }
        command = ["git", f"--git-dir={self.path}", *args]
        done = subprocess.run(command, input=stdin, env=env, check=True, capture_output=True)
        return bytes(done.stdout)

    def _try(self, *args: str) -> str | None:
        try:
            return self.run(*args).strip()
        except (subprocess.CalledProcessError, ValueError):  # ValueError: a NUL in an argument
            return None

    def _once(self, *args: str) -> str | None:
        """Run git, or return what it printed before; a failure is tried again the next time.

        `args` name objects by their full hash, so that the answer depends on nothing else.
        """
        if args not in self._known:
            found = self._try(*args)
            if found is None:
                return None
            self._known[args] = found
        return self._known[args]

    # Refs

    def ref(self, name: str) -> str | None:
        """Return what a full ref points at."""
        if PLAIN_REF.fullmatch(name) and not (self.path / "packed-refs").exists():
            try:
                found = (self.path / name).read_text(encoding="ascii").strip()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None
            if HASH.fullmatch(found):
                return found
        return self._try("rev-parse", "-q", "--verify", "--end-of-options", name)

    def head(self, branch: str) -> str | None:
        """Return a branch's commit."""
        return self.ref(f"refs/heads/{branch}")

    def branches(self) -> list[str]:
        """Return the names of all branches."""
        return self.run("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").splitlines()

    def resolve(self, name: str) -> str | None:
        """Return the commit of a branch, a tag, a full ref or a whole hash."""
        for known in (f"refs/heads/{name}", f"refs/tags/{name}"):
            if (sha := self.ref(known)) and (found := self._commit_of(sha)):
                return found
        if name.startswith("refs/"):
            name = self.ref(name) or name
        return self._commit_of(name) if name.startswith("refs/") or len(name) == 40 else None

    def _commit_of(self, name: str) -> str | None:
        """Return the commit that a tag or commit is, or a ref points at."""
        ask = self._once if HASH.fullmatch(name) else self._try
        return ask("rev-parse", "-q", "--verify", "--end-of-options", f"{name}^{{commit}}")

    def is_valid(self, ref: str) -> bool:
        """Return whether git allows a ref of this name."""
        return self._once("check-ref-format", ref) is not None

    def move(self, ref: str, sha: str, old: str | None = None) -> None:
        """Point a ref at a commit."""
        self.run("update-ref", ref, sha, *([old] if old is not None else []))

    def delete(self, ref: str) -> None:
        """Delete a ref."""
        self.run("update-ref", "-d", ref)

    # Commits

    def commit(self, tree: str, parents: list[str], message: str, author: str) -> str:
        """Make a commit that no branch points at yet."""
        above = [word for parent in parents for word in ("-p", parent)]
        made = self.run("commit-tree", tree, *above, stdin=message.encode(), author=author)
        return made.strip()

    def write(self, parent: str, files: dict[str, bytes | None], message: str, author: str) -> str:
        """Make a commit on another that writes files, or removes those that are None."""
        with tempfile.TemporaryDirectory() as folder:
            index = str(Path(folder) / "index")
            self.run("read-tree", parent, index=index)
            lines = [
                f"{'100644' if sha else '0'} {sha or '0' * 40}\t{path}\0"
                for path, sha in zip(files, self._blobs(Path(folder), files), strict=True)
            ]
            self.run(
                "update-index", "-z", "--index-info", stdin="".join(lines).encode(), index=index
            )
            tree = self.run("write-tree", index=index).strip()
        return self.commit(tree, [parent], message, author)

    def _blobs(self, folder: Path, files: dict[str, bytes | None]) -> list[str]:
        """Store contents; return their hashes, and nothing for None."""
        written = {}
        for number, (path, content) in enumerate(files.items()):
            if content is not None:
                written[path] = folder / str(number)
                written[path].write_bytes(content)
        names = "".join(f"{name}\n" for name in written.values()).encode()
        made = self.run("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=names).split()
        hashes = dict(zip(written, made, strict=True))
        return [hashes.get(path, "") for path in files]

    def message(self, sha: str) -> str:
        """Return a commit's message."""
        return self._shown("%B", sha)

    def parents(self, sha: str) -> list[str]:
        """Return a commit's parents, the first first."""
        return self._shown("%P", sha).split()

    def committed_at(self, sha: str) -> str:
        """Return when a commit was made."""
        return self._shown("%cI", sha)

    def _shown(self, wanted: str, sha: str) -> str:
        command = ("show", "-s", f"--format={wanted}", sha)
        known = self._once(*command) if HASH.fullmatch(sha) else None
        return self.run(*command).strip() if known is None else known

    def log(self, head: str, path: str) -> list[str]:
        """Return the commits that changed a file or folder, the newest first; all, where it is empty."""
        return self.run("log", "--format=%H", head, *(["--", path] if path else [])).split()

    def is_ancestor(self, old: str, new: str) -> bool:
        """Return whether a commit is part of another's history."""
        return self.merge_base(old, new) == old

    def merge_base(self, one: str, other: str) -> str | None:
        """Return where two histories parted."""
        return self._about("merge-base", one, other)

    def between(self, base: str, head: str) -> list[str]:
        """Return the commits of head that base does not have, the oldest first."""
        return (self._about("rev-list", "--reverse", head, f"^{base}") or "").split()

    def brought_by(self, head: str, base: str) -> str:
        """Return the commit of the base's own line that brought `head` into it."""
        if head in self.run("rev-list", "--first-parent", base).split():
            return head
        later = self.run("rev-list", "--first-parent", "--reverse", base, f"^{head}").split()
        return next(sha for sha in later if self.is_ancestor(head, sha))

    def merged_tree(self, one: str, other: str) -> str | None:
        """Return the tree of a merge, or None when it conflicts."""
        return self._about("merge-tree", "--write-tree", one, other)

    def _about(self, command: str, *args: str) -> str | None:
        """Run a command about commits; once, where each is named by its full hash."""
        hashes = [word.removeprefix("^") for word in args if not word.startswith("--")]
        ask = self._once if all(map(HASH.fullmatch, hashes)) else self._try
        return ask(command, *args)

    # Files

    def tree(self, commit: str) -> list[Entry]:
        """Return all files and folders of a commit."""
        return self._listed("ls-tree", "-rtlz", commit)

    def entries(self, commit: str, path: str) -> list[Entry]:
        """Return the file at a path, or what is in the folder there."""
        named = self._listed("ls-tree", "-lz", commit, "--", path.rstrip("/")) if path else []
        if path and not (named and named[0].kind == "tree"):
            return named
        return self._listed(
            "ls-tree", "-lz", commit, *(["--", f"{path.rstrip('/')}/"] if path else [])
        )

    def _listed(self, *command: str) -> list[Entry]:
        found = []
        ask = self._once if HASH.fullmatch(command[2]) else self._try
        for line in (ask(*command) or "").split("\0"):
            if line:
                head, _, path = line.partition("\t")
                mode, kind, sha, size = head.split()
                found.append(Entry(mode, kind, sha, int(size) if size.isdigit() else 0, path))
        return found

    def blob(self, sha: str) -> bytes:
        """Return a file's content by its hash."""
        return self._bytes("cat-file", "blob", sha)

    def changed(self, before: str, after: str) -> list[tuple[str, str, str]]:
        """Return what differs: status, path and, of a moved file, the path before."""
        words = self.run("diff-tree", "-r", "-z", "-M", "--name-status", before, after).split("\0")
        names = {"A": "added", "M": "modified", "D": "removed", "R": "renamed", "T": "changed"}
        found, at = [], 0
        while words[at]:
            status = names[words[at][0]]
            moved = status == "renamed"
            path, before_path = words[at + 2 if moved else at + 1], words[at + 1] if moved else ""
            found.append((status, path, before_path))
            at += 3 if moved else 2
        return found
