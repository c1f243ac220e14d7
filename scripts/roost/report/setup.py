"""What sets a repository up beside its files: commands for `fly` and `gh` as data, and who reviews what.

No command holds the value of a token or a secret: a token goes from the program that makes it
straight to the one that keeps it, and `gh` itself asks for a secret.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from roost.environment import names
from roost.environment.load import SUFFIXES, EnvironmentFile
from roost.environment.starter import Starter

TOKEN = "FLY_API_TOKEN"  # noqa: S105 - the name, not the value
PLAN = names.PLAN
DAYS_30 = "720h"
HERE = "repos/{owner}/{repo}"
"""The repository that `gh` is run in; it fills that in itself."""
RULESET = ".github/rulesets/main.json"
CODEOWNERS = ".github/CODEOWNERS"
SOPS_FILES = "*.sops.*"
GUARDED = (
    *("/.github/", "/scripts/", "/deploy/", "/requirements/", "/run"),
    *(SOPS_FILES, "/.sops.yaml"),
)
"""What can change servers, reach the tokens, or give a server its secrets.

Anybody can encrypt to the public key of a file of SOPS: what reaches a server is whatever is merged.
"""
DEFAULTS = "/environments/_defaults.yaml"
# What an entry of CODEOWNERS cannot hold as it is; a star stands for it.
_UNPLAIN = re.compile(r"[^A-Za-z0-9._/-]")
PLACEHOLDER = re.compile(r"@your-[A-Za-z0-9-]+(?:/[\w.-]+)?", re.ASCII)
OWNER = re.compile(r"@[A-Za-z0-9][A-Za-z0-9-]{0,38}(/[A-Za-z0-9._-]{1,100})?", re.ASCII)
ONLY_MAIN = {"protected_branches": False, "custom_branch_policies": True}


@dataclass(frozen=True)
class Command:
    """One thing to do: a program, or two of which the second reads what the first prints."""

    what: str
    words: tuple[str, ...]
    into: tuple[str, ...] = ()
    given: str = ""
    """What the program reads."""
    optional: bool = False
    """Whether the rest is of use without it."""
    asks: bool = False
    """Whether it asks whoever runs it for a value."""

    @property
    def programs(self) -> frozenset[str]:
        """What has to be installed for it."""
        return frozenset({self.words[0], *self.into[:1]})

    def shell(self) -> str:
        """Give it as a person types it."""
        parts = [shlex.join(self.words), *([shlex.join(self.into)] if self.into else [])]
        if self.given:
            parts.insert(0, f"echo {shlex.quote(self.given)}")
        return " | ".join(parts)


def commands(starter: Starter, secrets: Iterable[str]) -> tuple[Command, ...]:
    """Give everything to do for one environment, and once for its repository, in order.

    Args:
        starter: the environment.
        secrets: names that its GitHub environment has to have a value for.
    """
    name, path = starter.name, f"{HERE}/environments/{starter.name}"
    found = [
        Command(
            "An empty app, which costs nothing: a token of one app needs it",
            ("fly", "apps", "create", starter.app, "--org", starter.organization),
            optional=True,
        ),
        Command(
            f"The GitHub environment {name}, which keeps its token and secrets",
            ("gh", "api", "-X", "PUT", path, "--input", "-"),
            given=json.dumps({"deployment_branch_policy": ONLY_MAIN}),
        ),
        Command(
            "Only main deploys to it, so that no other branch reaches its token",
            ("gh", "api", "-X", "POST", f"{path}/deployment-branch-policies", "-f", "name=main"),
            optional=True,
        ),
    ]
    if starter.protected:
        found.append(_reviewer(path))
    found.append(
        Command(
            "A token that deploys this app and no other, for 30 days",
            ("fly", "tokens", "create", "deploy", *_ending(starter.app, f"roost-{name}")),
            into=("gh", "secret", "set", TOKEN, "--env", name),
        )
    )
    found += [
        Command(
            f"{secret}: gh asks for its value",
            ("gh", "secret", "set", secret, "--env", name),
            asks=True,
        )
        for secret in secrets
    ]
    return (*found, *_once(starter))


def _ending(app: str, name: str) -> tuple[str, ...]:
    return ("-a", app, "-n", name, "-x", DAYS_30)


def _reviewer(path: str) -> Command:
    """Have each deployment wait for whoever runs this; GitHub allows it not on every plan."""
    wanted = f'{{deployment_branch_policy: {json.dumps(ONLY_MAIN)}, reviewers: [{{type: "User", id: .id}}]}}'
    return Command(
        "You approve each deployment to it (on public repositories, or GitHub Enterprise)",
        ("gh", "api", "user", "--jq", wanted),
        into=("gh", "api", "-X", "PUT", path, "--input", "-"),
        optional=True,
    )


def _once(starter: Starter) -> tuple[Command, ...]:
    """Give what a repository needs once, however many environments it has."""
    return (
        Command(
            f"Once: the GitHub environment {PLAN}, for pull requests and the drift check",
            ("gh", "api", "-X", "PUT", f"{HERE}/environments/{PLAN}"),
        ),
        Command(
            "Once: a token that only reads, for 30 days",
            (
                *("fly", "tokens", "create", "readonly", starter.organization),
                *("-n", f"roost-{PLAN}", "-x", DAYS_30),
            ),
            into=("gh", "secret", "set", TOKEN, "--env", PLAN),
        ),
        Command(
            "Once: workflows only read by default, and may open pull requests (scale, rollback)",
            (
                *("gh", "api", "-X", "PUT", f"{HERE}/actions/permissions/workflow"),
                *("-f", "default_workflow_permissions=read"),
                *("-F", "can_approve_pull_request_reviews=true"),
            ),
        ),
        Command(
            "Once: the rules of main (on public repositories, or a paid plan)",
            ("gh", "api", "-X", "POST", f"{HERE}/rulesets", "--input", RULESET),
            optional=True,
        ),
    )


def owned(files: Iterable[EnvironmentFile]) -> tuple[str, ...]:
    """Give the entries of CODEOWNERS that there have to be, as these environments are."""
    protected = [file for file in files if file.environment.protected]
    theirs = (entry for file in protected for entry in _entries(file))
    return tuple(dict.fromkeys((*GUARDED, DEFAULTS, *theirs)))


def _entries(file: EnvironmentFile) -> Iterator[str]:
    """Give the entries of what makes an environment what it is; it is the same with either suffix."""
    yield from (f"/environments/{file.name}{suffix}" for suffix in SUFFIXES)
    for secret in file.environment.secrets:
        path = PurePosixPath(secret.source.sops)
        if secret.source.sops and not path.match(SOPS_FILES):
            yield f"/{_UNPLAIN.sub('*', path.as_posix())}"


def with_owners(text: str, owner: str, wanted: Iterable[str]) -> str:
    """Give CODEOWNERS with an owner for all that needs one; what stands there stays.

    Args:
        text: as it is; empty where there is none.
        owner: takes the place of the template's, and gets what has no entry.
        wanted: the entries that there have to be.
    """
    text = PLACEHOLDER.sub(owner, text)
    have = {line.split()[0] for line in text.splitlines() if line.split()}
    missing = [path for path in wanted if path not in have]
    if not missing:
        return text
    text = text or (
        "# Whose review a change here needs, once a rule of main asks for one of code owners.\n"
    )
    for path in missing:
        text = _with_entry(text if text.endswith("\n") else f"{text}\n", path, owner)
    return text


def _with_entry(text: str, path: str, owner: str) -> str:
    """Add an entry; of several that fit a file the last one counts, so a wide one takes none away."""
    lines = text.splitlines(keepends=True)
    narrower = (i for i, line in enumerate(lines) if path == SOPS_FILES and _is_of_sops(line))
    place = next(narrower, len(lines))
    return "".join((*lines[:place], f"{path} {owner}\n", *lines[place:]))


def _is_of_sops(line: str) -> bool:
    return not line.startswith("#") and ".sops." in line


def unowned(text: str, wanted: Iterable[str]) -> tuple[str, ...]:
    """Name what CODEOWNERS has no entry for, or only the template's."""
    real = {
        line.split()[0]
        for line in text.splitlines()
        if len(line.split()) > 1 and not line.startswith("#") and not PLACEHOLDER.search(line)
    }
    return tuple(path for path in wanted if path not in real)


def known_owner(text: str) -> str:
    """Give an owner that CODEOWNERS names, other than the template's; empty for none."""
    for line in text.splitlines():
        for word in [] if line.startswith("#") else line.split()[1:]:
            if OWNER.fullmatch(word) and not PLACEHOLDER.fullmatch(word):
                return word
    return ""
