"""The commands of `fly` and `gh` that set up a repository, as data, and its CODEOWNERS.

No command contains the value of a token or secret: a token is piped from the program that creates it
to the one that stores it, and `gh` itself asks for a secret.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from roost.environment import names
from roost.environment.starter import Starter

TOKEN = "FLY_API_TOKEN"  # noqa: S105 - the name, not the value
PLAN = names.PLAN
DAYS_30 = "720h"
HERE = "repos/{owner}/{repo}"
"""The repository that `gh` runs in; `gh` fills it in."""
PULL_REQUESTS = names.PULL_REQUESTS
APP_ID = "ROOST_APP_ID"
"""The variable that names the App; its value is the client id."""
APP_KEY = "ROOST_APP_PRIVATE_KEY"
"""The secret that holds the App's private key."""
RULESETS = {"main": ".github/rulesets/main.json", "review of main": ".github/rulesets/review.json"}
"""The rulesets of main, by name: one that nobody bypasses, and one that an admin can."""
CODEOWNERS = ".github/CODEOWNERS"
# GitHub's own limit.
_LONGEST_APP_NAME = 34
ONLY_MAIN = {"protected_branches": False, "custom_branch_policies": True}


@dataclass(frozen=True)
class SetupCommand:
    """A command: one program, or two of which the second reads the output of the first."""

    what: str
    words: tuple[str, ...]
    into: tuple[str, ...] = ()
    given: str = ""
    """The standard input of the program."""
    optional: bool = False
    """Whether the setup works without it."""
    asks: bool = False
    """Whether it asks the person who runs it for a value."""

    @property
    def programs(self) -> frozenset[str]:
        """The programs that must be installed for it."""
        return frozenset({self.words[0], *self.into[:1]})

    def shell(self) -> str:
        """Return the command as it is typed in a shell."""
        parts = [shlex.join(self.words), *([shlex.join(self.into)] if self.into else [])]
        if self.given:
            parts.insert(0, f"echo {shlex.quote(self.given)}")
        return " | ".join(parts)


def commands(starter: Starter, secrets: Iterable[str]) -> tuple[SetupCommand, ...]:
    """Return the commands for one environment, then those for its repository, in order.

    Args:
        starter: the environment.
        secrets: names of the secrets that its GitHub environment needs.
    """
    name, path = starter.name, f"{HERE}/environments/{starter.name}"
    found = [
        SetupCommand(
            "An empty app, which costs nothing: a token of one app needs it",
            ("fly", "apps", "create", starter.app, "--org", starter.organization),
            optional=True,
        ),
        *only_main_commands(
            name,
            f"The GitHub environment {name}, which keeps its token and secrets",
            "Only main deploys to it, so that no other branch reaches its token",
        ),
    ]
    if starter.protected:
        found.append(_reviewer(path))
    found.append(
        SetupCommand(
            "A token that deploys this app and no other, for 30 days",
            ("fly", "tokens", "create", "deploy", *_ending(starter.app, f"roost-{name}")),
            into=("gh", "secret", "set", TOKEN, "--env", name),
        )
    )
    found += [
        SetupCommand(
            f"{secret}: gh asks for its value",
            ("gh", "secret", "set", secret, "--env", name),
            asks=True,
        )
        for secret in secrets
    ]
    return (*found, *_once(starter))


def _ending(app: str, name: str) -> tuple[str, ...]:
    return ("-a", app, "-n", name, "-x", DAYS_30)


def _reviewer(path: str) -> SetupCommand:
    """Return the command that makes its runner approve each deployment; not every GitHub plan has it."""
    wanted = f'{{deployment_branch_policy: {json.dumps(ONLY_MAIN)}, reviewers: [{{type: "User", id: .id}}]}}'
    return SetupCommand(
        "You approve each deployment to it (on public repositories, or GitHub Enterprise)",
        ("gh", "api", "user", "--jq", wanted),
        into=("gh", "api", "-X", "PUT", path, "--input", "-"),
        optional=True,
    )


def _once(starter: Starter) -> tuple[SetupCommand, ...]:
    """Return the commands that a repository needs once, for any number of environments."""
    return (
        SetupCommand(
            f"Once: the GitHub environment {PLAN}, for pull requests and the drift check",
            ("gh", "api", "-X", "PUT", f"{HERE}/environments/{PLAN}"),
        ),
        SetupCommand(
            "Once: a token that only reads, for 30 days",
            (
                *("fly", "tokens", "create", "readonly", starter.organization),
                *("-n", f"roost-{PLAN}", "-x", DAYS_30),
            ),
            into=("gh", "secret", "set", TOKEN, "--env", PLAN),
        ),
        *only_main_commands(
            PULL_REQUESTS,
            f"Once: the GitHub environment {PULL_REQUESTS}, for the key of an App that opens them",
            "Once: only main uses it, so that no other branch reaches the key",
        ),
        SetupCommand(
            "Once: workflows only read by default, and approve no pull request",
            (
                *("gh", "api", "-X", "PUT", f"{HERE}/actions/permissions/workflow"),
                *("-f", "default_workflow_permissions=read"),
                *("-F", "can_approve_pull_request_reviews=false"),
            ),
        ),
        *(
            SetupCommand(
                f"Once: the ruleset `{name}` (on public repositories, or a paid plan)",
                create_ruleset(file),
                optional=True,
            )
            for name, file in RULESETS.items()
        ),
    )


def only_main_commands(name: str, what: str, which: str) -> tuple[SetupCommand, SetupCommand]:
    """Return the commands that create a GitHub environment and restrict it to main."""
    path = f"{HERE}/environments/{name}"
    return (
        SetupCommand(
            what,
            ("gh", "api", "-X", "PUT", path, "--input", "-"),
            given=json.dumps({"deployment_branch_policy": ONLY_MAIN}),
        ),
        SetupCommand(
            which,
            ("gh", "api", "-X", "POST", f"{path}/deployment-branch-policies", "-f", "name=main"),
            optional=True,
        ),
    )


def create_ruleset(file: str) -> tuple[str, ...]:
    """Return the command that creates a ruleset from its file."""
    return ("gh", "api", "-X", "POST", f"{HERE}/rulesets", "--input", file)


def update_ruleset(number: int, file: str) -> tuple[str, ...]:
    """Return the command that updates a ruleset from its file."""
    return ("gh", "api", "-X", "PUT", f"{HERE}/rulesets/{number}", "--input", file)


def app_steps(owner: str, server: str = "https://github.com") -> str:
    """Explain how to set up the App that opens pull requests.

    Parameters of the links:
    https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-using-url-parameters

    Args:
        owner: the owner of the repository, without @; empty if unknown.
        server: the address of GitHub.
    """
    query = urlencode(
        {
            "name": f"roost-{owner or 'pull-requests'}"[:_LONGEST_APP_NAME],
            "url": f"{server}/{owner}",
            "public": "false",
            "webhook_active": "false",
            "contents": "write",
            "pull_requests": "write",
        }
    )
    return f"""\
Optional, once: a GitHub App that opens the pull requests of Scale and Roll back.
Their checks then start by themselves. Without an App, a run shows a link, and you
open the pull request with one click.
1. Create the App. It needs two permissions, Contents and Pull requests, no webhook:
   {server}/settings/apps/new?{query}
   or, for an organization:
   {server}/organizations/{owner or "ORGANIZATION"}/settings/apps/new?{query}
   Generate a private key there, and install the App on this repository alone.
2. Name the App to the workflows, and delete the file of the key:
   gh variable set {APP_ID} --body CLIENT_ID
   gh secret set {APP_KEY} --env {PULL_REQUESTS} < KEY.pem
"""
