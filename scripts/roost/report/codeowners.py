"""Read CODEOWNERS as GitHub does: whose review a change of a file needs.

https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""The places where GitHub looks for it; only the first that exists counts."""
MAX_BYTES = 3 * 1024 * 1024
"""GitHub ignores a larger file, so that nothing has an owner."""
# A space in a pattern is escaped.
_WORD = re.compile(r"(?:\\.|[^\s\\])+")
_PERSON = re.compile(r"@[A-Za-z0-9][\w-]*(?:/[\w.-]+)?|[^\s@]+@[^\s@]+\.[^\s@]+", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """One line with a pattern and its owners; a line without owners removes them."""

    line: int
    pattern: str
    owners: tuple[str, ...]

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(_expression_of(self.pattern))

    def covers(self, path: str) -> bool:
        """Return whether the rule matches a file, by its path from the top of the repository."""
        return self._expression.fullmatch(path) is not None


@dataclass(frozen=True)
class CodeOwners:
    """The rules of a CODEOWNERS file."""

    rules: tuple[Rule, ...]
    skipped: tuple[int, ...] = ()
    """Numbers of the lines that GitHub cannot parse and skips."""

    def rule_of(self, path: str) -> Rule | None:
        """Return the rule that applies to a file: the last one that matches it."""
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
    """Yield the words of a line up to a comment."""
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
    """Translate a pattern, as in .gitignore, into a regular expression for paths.

    One difference: `docs/*` matches the files of docs, but not those of its subfolders.
    """
    name = pattern.rstrip("/")
    if not name:  # "/" matches nothing
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
    """Translate the part of a pattern between two slashes."""
    found = []
    for match in re.finditer(r"\\(.)|(.)", part):
        escaped, plain = match.groups()
        special = {"*": "[^/]*", "?": "[^/]"}.get(plain or "", "")
        found.append(special or re.escape(escaped or plain))
    return "[^/]+" if part == "*" else "".join(found)
