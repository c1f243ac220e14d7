"""Which files need an owner's review, and the lines of CODEOWNERS for them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from roost.environment.flow_folder import LOCK
from roost.environment.load import SUFFIXES, EnvironmentFile
from roost.environment.server_lock import FOLDER as LOCKS
from roost.report.codeowners import CodeOwners, Rule

PLACEHOLDER = re.compile(r"@your-[A-Za-z0-9-]+(?:/[\w.-]+)?", re.ASCII)
OWNER = re.compile(r"@[A-Za-z0-9][A-Za-z0-9-]{0,38}(/[A-Za-z0-9._-]{1,100})?", re.ASCII)
_ENVIRONMENT = re.compile(r"/environments/([a-z0-9][a-z0-9-]*)[.]ya?ml", re.ASCII)
GUARDED = (
    *(".github/CODEOWNERS", ".github/workflows/new.yml", ".github/actions/setup/action.yml"),
    *(
        "run",
        "noxfile.py",
        "pyproject.toml",
        "uv.toml",
        ".gitattributes",
        ".gitmodules",
        "conftest.py",
    ),
    *(
        "scripts/new.py",
        "scripts/roost/__main__.py",
        "deploy/Dockerfile",
        "deploy/roost_server/new.py",
    ),
    *("requirements/roost.txt", ".run/roost/bin/python", ".nox/tests/bin/python", ".ci/run"),
    *("environments/_defaults.yaml", "environments/a-new-one.yaml", "environments/locks/new.txt"),
    *("environments/config", ".sops.yaml", "new.sops.yaml", "secrets/new.sops.json"),
)
"""Sample paths that could change servers, reach tokens, or set secrets; they need not exist."""
_EVERYTHING = ("*", "**")
_HEAD = """\
# Whose review a change here needs, once the branch rule of main asks for one of code owners.
"""
_PUT = "# Put the name of your team or yourself in the place of "
_ALL = """\
# Everything has an owner, so also what somebody adds. Of the lines about a file the last one counts.
"""
_WITHIN = "/environments/*/"
"""Folders below environments/ have an owner: only files of unprotected environments have none."""
_FREE = """\
# The one exception: environments that are not protected. A line without an owner means that a change of this file needs
# no owner's review. A new environment has no line yet, so an owner sees it once. `./run roost init` writes these lines,
# and the one after them, for a folder of such a name.
"""
# The lines that earlier versions wrote, before everything had an owner.
_FORMERLY = frozenset(
    {
        *(
            "/.github/",
            "/scripts/",
            "/deploy/",
            "/requirements/",
            "/run",
            "*.sops.*",
            "/.sops.yaml",
        ),
        "/environments/_defaults.yaml",
        "# Whose review a change here needs, once a rule of main asks for one of code owners.",
        "# What can change servers or reach their tokens.",
        "# What secrets a server is given: anybody can encrypt to a public key.",
        "# Two lines for each environment that says `protected: true`: its file may have either suffix.",
    }
)


def must_be_owned(files: Iterable[EnvironmentFile]) -> tuple[str, ...]:
    """Return the paths whose changes an owner has to review, for these environments."""
    theirs = (path for file in files for path in _entries(file))
    return tuple(dict.fromkeys((*GUARDED, *theirs)))


def _entries(file: EnvironmentFile) -> Iterator[str]:
    """Yield a protected environment's file, with either suffix, and the files of any that add to it."""
    if file.environment.protected:
        yield from (f"environments/{file.name}{suffix}" for suffix in SUFFIXES)
        for entry in file.environment.flows:
            yield from (
                f"{entry.path}/{name}" for name in (LOCK, "a_new_one.py", "lib/a_new_one.py")
            )
        if file.environment.prefect.objects:
            yield file.environment.prefect.objects
    yield from (PurePosixPath(name).as_posix() for name in file.environment.sops_files)
    if file.environment.prefect.extras:
        yield f"environments/{LOCKS}/{file.name}.txt"


def with_owners(text: str, owner: str, files: Iterable[EnvironmentFile]) -> str:
    """Return CODEOWNERS in which everything but the files of unprotected environments has an owner.

    Lines of other authors stay, before the added ones. If Roost wrote every line, in this version or an
    earlier one, the file is written again.

    Args:
        text: the present content; empty if there is no file.
        owner: replaces the template's placeholder, and owns everything without an owner.
        files: all environment files.
    """
    text = PLACEHOLDER.sub(owner, text)
    free = sorted(file.name for file in files if not file.environment.protected)
    owners = {word for line in text.splitlines() for word in _owners_in(line)}
    if len(owners) <= 1 and all(_is_ours(line, free) for line in text.splitlines()):
        return _written(next(iter(owners), owner), free)
    return _amended(text, owner, free)


def _written(owner: str, free: Iterable[str]) -> str:
    lines = "".join(f"{entry}\n" for entry in _exceptions(free))
    put = f"{_PUT}{owner}; GitHub ignores a name it does not know.\n"
    head = _HEAD + (put if PLACEHOLDER.fullmatch(owner) else "")
    return f"{head}\n{_ALL}* {owner}\n\n{_FREE}{lines}{_WITHIN} {owner}\n"


def _exceptions(free: Iterable[str]) -> Iterator[str]:
    return (f"/environments/{name}{suffix}" for name in free for suffix in SUFFIXES)


def _owners_in(line: str) -> list[str]:
    return [] if line.lstrip().startswith("#") else line.split()[1:]


def _is_ours(line: str, free: Iterable[str]) -> bool:
    """Return whether Roost wrote a line; one about an environment may be out of date."""
    if not line.strip() or line.startswith(_PUT):
        return True
    if line.startswith("#"):
        return line in {*_FORMERLY, *f"{_HEAD}{_ALL}{_FREE}".splitlines()}
    pattern, *owners = line.split()
    if found := _ENVIRONMENT.fullmatch(
        pattern
    ):  # an owner for an unprotected environment is a person's choice
        return not owners or found[1] not in free
    return pattern in {*_FORMERLY, "*", _WITHIN} and bool(owners)


def _amended(text: str, owner: str, free: list[str]) -> str:
    """Change as little as possible in a file that a person edited."""
    lines = [line for line in text.splitlines() if not _is_stale(line, free)]
    at = [i for i, line in enumerate(lines) if line.split()[:1] and line.split()[0] in _EVERYTHING]
    if not at or not _owners_in(lines[at[-1]]):
        place = at[-1] + 1 if at else 0
        lines[place:place] = [*_ALL.splitlines(), f"* {owner}", ""]
        at = [place + len(_ALL.splitlines())]
    named = (_ENVIRONMENT.fullmatch(line.split()[0]) for line in lines if line.split())
    have = {found[1] for found in named if found}
    missing = list(_exceptions(name for name in free if name not in have))
    if missing:
        head = [] if set(_FREE.splitlines()) <= set(lines) else ["", *_FREE.splitlines()]
        whose = _owners_in(lines[at[-1]])[0]
        after = [] if _WITHIN in text.split() else [f"{_WITHIN} {whose}"]
        lines[at[-1] + 1 : at[-1] + 1] = [*head, *missing, *after]
    return "".join(f"{line}\n" for line in lines)


def _is_stale(line: str, free: Iterable[str]) -> bool:
    """Return whether a line exempts an environment that is protected or does not exist."""
    found = _ENVIRONMENT.fullmatch(line.strip())
    return found is not None and found[1] not in free


def unowned(found: CodeOwners, paths: Iterable[str]) -> dict[str, Rule | None]:
    """Return the paths without an owner, each with its rule; the template's placeholder is no owner."""
    lacking = {}
    for path in paths:
        rule = found.rule_of(path)
        if not rule or all(PLACEHOLDER.fullmatch(owner) for owner in rule.owners):
            lacking[path] = rule
    return lacking


def freed(found: CodeOwners) -> dict[str, Rule]:
    """Return the environments whose file a rule exempts from owners, with the rule."""
    named = ((_ENVIRONMENT.fullmatch(rule.pattern), rule) for rule in found.rules)
    return {match[1]: rule for match, rule in named if match and not rule.owners}


def known_owner(text: str) -> str:
    """Return an owner in CODEOWNERS other than the template's placeholder; empty for none."""
    for word in (word for line in text.splitlines() for word in _owners_in(line)):
        if OWNER.fullmatch(word) and not PLACEHOLDER.fullmatch(word):
            return word
    return ""
