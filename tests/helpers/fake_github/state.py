"""The state of one repository on GitHub, except for git's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from helpers.fake_github.git import Git

Json = dict[str, Any]
ACTIONS_BOT = "github-actions[bot]"
WORKFLOW_ALL = dict.fromkeys(
    ("actions", "checks", "contents", "deployments", "issues", "pull_requests", "statuses"), "write"
)
"""`permissions: write-all`. Settings, secrets and workflow files are nothing a workflow's token may touch."""


def now() -> datetime:
    """Return the time as GitHub writes it, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Account:
    """The account of a token; without listed permissions it is an administrator."""

    login: str
    permissions: Mapping[str, str] | None = None

    def may(self, name: str, level: str) -> bool:
        """Return whether it has a permission; write includes read."""
        if self.permissions is None or (name, level) == ("metadata", "read"):
            return True
        given = {key.replace("-", "_"): value for key, value in self.permissions.items()}.get(name)
        return given == "write" or (given == "read" and level == "read")


@dataclass(frozen=True)
class Call:
    """A request and its answer; status 0 is a lost answer."""

    method: str
    path: str
    query: Mapping[str, str]
    login: str
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Comment:
    """A comment on an issue or a pull request."""

    id: int
    number: int
    body: str
    author: str
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    editors: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    """All that it ever said, the last one last."""


@dataclass
class Issue:
    """An issue; every pull request has one too."""

    number: int
    title: str
    body: str
    author: str
    labels: list[str] = field(default_factory=list)
    state: str = "open"
    state_reason: str | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    closed_at: datetime | None = None


@dataclass
class Pull:
    """The fields of a pull request beside those of its issue."""

    issue: Issue
    head_ref: str
    head_sha: str
    head_repository: str | None
    base_ref: str
    base_sha: str
    merge_commit_sha: str | None = None
    merged_at: datetime | None = None
    merged_by: str | None = None
    commits: set[str] = field(default_factory=set)
    """Commits that belong to it though git does not say so: squashed, or named by a test."""

    @property
    def number(self) -> int:
        """Its number."""
        return self.issue.number

    @property
    def state(self) -> str:
        """Open or closed."""
        return self.issue.state

    @property
    def merged(self) -> bool:
        """Whether it was merged."""
        return self.merged_at is not None


@dataclass
class State:
    """One repository."""

    repository: str
    git: Git
    id: int = 1300192
    private: bool = True
    owner_type: str = "Organization"
    default_branch: str = "main"
    archived: bool = False
    has_issues: bool = True
    issues: dict[int, Issue] = field(default_factory=dict)
    pinned: list[int] = field(default_factory=list)
    pulls: dict[int, Pull] = field(default_factory=dict)
    all_comments: dict[int, Comment] = field(default_factory=dict)
    labels: dict[str, Json] = field(default_factory=dict)
    """By the name in small letters: GitHub takes `Drift` and `drift` for one."""
    runs: list[Json] = field(default_factory=list)
    reviews: dict[int, list[Json]] = field(default_factory=dict)
    """By run: what its reviewers said. A run that is not here is not known."""
    roles: dict[str, str] = field(default_factory=lambda: {"alice": "admin"})
    """By account: `admin`, ..., `none`, or an organization's own role as `NAME:BASE`."""
    environments: dict[str, Json] = field(default_factory=dict)
    deployments: dict[int, Json] = field(default_factory=dict)
    releases: dict[str, Json] = field(default_factory=dict)
    """By tag: the name and the text of each."""
    rules: dict[str, list[Json]] = field(default_factory=dict)
    """By branch; each `{"type": ..., "parameters": ...}`."""
    rulesets: dict[int, Json] = field(default_factory=dict)
    """By number; the rules of those in force are added to `rules`."""
    protection: dict[str, Json] = field(default_factory=dict)
    repository_secrets: list[str] = field(default_factory=list)
    organization_secrets: list[str] = field(default_factory=list)
    runners: list[str] = field(default_factory=list)
    """Names of the self-hosted runners of the repository itself."""
    variables: dict[str, str] = field(default_factory=dict)
    """Names of the organization's secrets that the repository may use."""
    actions_permissions: Json = field(
        default_factory=lambda: {
            "enabled": True,
            "allowed_actions": "all",
            "sha_pinning_required": False,
        }
    )
    workflow_permissions: Json = field(
        default_factory=lambda: {
            "default_workflow_permissions": "read",
            "can_approve_pull_request_reviews": False,
        }
    )
    tree_limit: int = 100_000
    ahead: timedelta = timedelta()
    """How much later it is here than elsewhere: what happens in one second in a test takes people minutes."""
    index_lag: int = 0
    """How many times more a commit's pull requests are not known yet."""
    _last: int = 0
    _last_id: int = 1000

    def now(self) -> datetime:
        """Return the time here, as GitHub writes it."""
        return now() + self.ahead

    def rules_of(self, branch: str) -> list[Json]:
        """Return the rules of a branch, each with its ruleset."""
        found = [
            {
                "ruleset_source_type": "Repository",
                "ruleset_source": self.repository,
                "ruleset_id": 7,
                **rule,
            }
            for rule in self.rules.get(branch, [])
        ]
        for number, ruleset in self.rulesets.items():
            named = ruleset.get("conditions", {}).get("ref_name", {}).get("include", [])
            names = {f"refs/heads/{branch}", "~ALL"}
            names |= {"~DEFAULT_BRANCH"} if branch == self.default_branch else set()
            if ruleset["enforcement"] == "active" and names & {*named}:
                source = {
                    "ruleset_source_type": ruleset["source_type"],
                    "ruleset_source": ruleset["source"],
                    "ruleset_id": number,
                }
                found += [{**rule, **source} for rule in ruleset["rules"]]
        return found

    def next_number(self) -> int:
        """Return the next number of an issue or pull request."""
        self._last += 1
        return self._last

    def next_id(self) -> int:
        """Return the next id of anything else."""
        self._last_id += 1
        return self._last_id

    def skip_to(self, number: int) -> None:
        """Set the number of the next issue or pull request."""
        assert number > self._last, f"number {number} is taken"
        self._last = number - 1

    @property
    def owner(self) -> str:
        """The owner of the repository."""
        return self.repository.partition("/")[0]

    def sync(self) -> None:
        """Update pull requests after a push: heads follow their branch, and merged ones are closed."""
        for pull in self.pulls.values():
            if pull.state != "open":
                continue
            if pull.head_repository == self.repository:
                pull.head_sha = self.git.head(pull.head_ref) or pull.head_sha
            if self.git.resolve(pull.head_sha) is None:
                continue
            if self.git.ref(f"refs/pull/{pull.number}/head") != pull.head_sha:
                self.git.move(f"refs/pull/{pull.number}/head", pull.head_sha)
            base = self.git.head(pull.base_ref)
            if base and self.git.is_ancestor(pull.head_sha, base):
                self.merged(pull, self.git.brought_by(pull.head_sha, base), "")

    def merged(self, pull: Pull, sha: str, login: str) -> None:
        """Mark a pull request as merged by a commit."""
        pull.merge_commit_sha, pull.merged_at, pull.merged_by = sha, self.now(), login or None
        self.close(pull.issue)

    def close(self, issue: Issue, reason: str | None = None) -> None:
        """Close an issue or pull request."""
        issue.state, issue.state_reason = "closed", reason
        issue.closed_at = issue.updated_at = self.now()

    def commits_of(self, pull: Pull) -> set[str]:
        """Return all commits that belong to a pull request."""
        known = {pull.head_sha, pull.merge_commit_sha or pull.head_sha} | pull.commits
        if self.git.resolve(pull.head_sha) and self.git.resolve(pull.base_sha):
            known |= set(self.git.between(pull.base_sha, pull.head_sha))
        return known
