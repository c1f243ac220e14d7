"""CODEOWNERS as GitHub reads it: whose review a change of a file needs.

https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks for it: the first that is there counts, and no other."""
MAX_BYTES = 3 * 1024 * 1024
"""GitHub ignores a file that is larger: nothing has an owner then."""
# A space in a pattern is escaped.
_WORD = re.compile(r"(?:\\.|[^\s\\])+")
_PERSON = re.compile(r"@[A-Za-z0-9][\w-]*(?:/[\w.-]+)?|[^\s@]+@[^\s@]+\.[^\s@]+", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """One line that names files and their owners; without owners it takes them away."""

    line: int
    pattern: str
    owners: tuple[str, ...]

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(_expression_of(self.pattern))

    def covers(self, path: str) -> bool:
        """Return whether the rule is about a file, named from the top of the repository."""
        return self._expression.fullmatch(path) is not None


@dataclass(frozen=True)
class CodeOwners:
    """What a CODEOWNERS file says."""

    rules: tuple[Rule, ...]
    skipped: tuple[int, ...] = ()
    """Lines that GitHub does not understand, and skips."""

    def rule_of(self, path: str) -> Rule | None:
        """Return the rule that decides about a file: the last one that is about it."""
        return next((rule for rule in reversed(self.rules) if rule.covers(path)), None)

    def owners_of(self, path: str) -> tuple[str, ...]:
        """Return the owners of a file; empty for none."""
        rule = self.rule_of(path)
        return rule.owners if rule else ()


def read_codeowners(text: str) -> CodeOwners:
    """Read a CODEOWNERS file."""
    if len(text.encode()) >= MAX_BYTES:
        return CodeOwners(())
    rules: list[Rule] = []
    skipped: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        words = list(_words(line))
        if not words:
            continue
        rule = Rule(number, words[0], tuple(words[1:]))
        if _is_understood(rule):
            rules.append(rule)
        else:
            skipped.append(number)
    return CodeOwners(tuple(rules), tuple(skipped))


def _words(line: str) -> Iterator[str]:
    """Return the words of a line before a comment."""
    for word in _WORD.findall(line):
        if word.startswith("#"):
            return
        yield word


def _is_understood(rule: Rule) -> bool:
    pattern = rule.pattern
    if pattern.startswith(("!", r"\#")) or re.search(r"(?<!\\)[][]|\*\*\*", pattern):
        return False
    return all(_PERSON.fullmatch(owner) for owner in rule.owners)


def _expression_of(pattern: str) -> str:
    """Translate a pattern, as in .gitignore, into a regular expression of a file's path.

    One difference: `docs/*` is about the files of docs alone, not about those of its folders.
    """
    name = pattern.rstrip("/")
    if not name:  # "/" is about nothing
        return r"(?!)"
    anywhere = ["**"] if "/" not in name and name != "**" else []
    within = ["**"] if pattern.endswith("/") else []
    *folders, last = [*anywhere, *name.removeprefix("/").split("/"), *within]
    before = "".join(_folder(part) for part in folders)
    if last == "**":
        return f"{before}.+"
    return before + _name(last) + ("" if last == "*" else "(?:/.*)?")


def _folder(part: str) -> str:
    return "(?:.+/)?" if part == "**" else f"{_name(part)}/"


def _name(part: str) -> str:
    """Translate what stands between two slashes."""
    found = []
    for match in re.finditer(r"\\(.)|(.)", part):
        escaped, plain = match.groups()
        special = {"*": "[^/]*", "?": "[^/]"}.get(plain or "", "")
        found.append(special or re.escape(escaped or plain))
    return "[^/]+" if part == "*" else "".join(found)
