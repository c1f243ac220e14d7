"""The stand-in's interface for tests: set-up, faults, and results."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from helpers.fake_github import issues, pulls, shapes
from helpers.fake_github.answers import RefusedError
from helpers.fake_github.door import Door
from helpers.fake_github.git import Git
from helpers.fake_github.server import Server
from helpers.fake_github.state import (
    ACTIONS_BOT,
    WORKFLOW_ALL,
    Account,
    Call,
    Comment,
    Issue,
    Json,
    Pull,
    State,
    now,
)
from helpers.fake_github.trouble import LIMITED, Fault

TOKEN = "ghs_of-the-workflow"
PERSON_TOKEN = "ghp_of-alice"


class FakeGitHub:
    """GitHub with one repository; use as a context manager.

    Args:
        git: a bare repository to read and write; one of its own, with one commit, by default.
        repository: `owner/name`.
        tokens: the account of each token; by default `TOKEN` is the workflow's own, with
            all permissions that one can have, and `PERSON_TOKEN` an administrator's.
        private: whether reading needs permissions too.
    """

    token = TOKEN
    person_token = PERSON_TOKEN

    def __init__(
        self,
        git: Path | None = None,
        *,
        repository: str = "acme/infra",
        tokens: Mapping[str, Account] | None = None,
        private: bool = True,
    ) -> None:
        self._folder = None if git else tempfile.TemporaryDirectory()
        made = Git(Path(git)) if git else Git.create(Path(self._folder.name) / "git", "main")  # type: ignore[union-attr]
        self.state = State(repository, made, private=private)
        known = tokens or {
            TOKEN: Account(ACTIONS_BOT, WORKFLOW_ALL),
            PERSON_TOKEN: Account("alice"),
        }
        self._door = Door(self.state, known)
        self._server = Server(self._door)
        self.lock = self._door.lock
        self.url = self._door.url = self._server.url

    def __enter__(self) -> Self:
        self._server.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.end()
        if self._folder:
            self._folder.cleanup()

    @property
    def tokens(self) -> dict[str, Account]:
        """The account of each token."""
        return self._door.tokens

    @property
    def calls(self) -> list[Call]:
        """All requests and their answers."""
        return self._door.calls

    # What tests arrange

    def token_for(self, permissions: Mapping[str, str], login: str = ACTIONS_BOT) -> str:
        """Create a token of a job, with the permissions of its workflow."""
        token = f"ghs_{secrets.token_hex(8)}"
        self.tokens[token] = Account(login, dict(permissions))
        return token

    def add_pull(
        self,
        head: str = "feature",
        base: str = "main",
        *,
        title: str = "A change",
        body: str = "",
        author: str = "alice",
        number: int | None = None,
        head_sha: str = "",
        head_repository: str = "",
        commits: tuple[str, ...] = (),
    ) -> Pull:
        """Open a pull request from a branch; `head_sha` where git has no such branch, as of a fork."""
        with self.lock:
            if number is not None:
                self.state.skip_to(number)
            sha = head_sha or self.state.git.head(head) or secrets.token_hex(20)
            made = pulls.open_pull(
                self.state, author, title, body, head, base, sha, head_repository
            )
            made.commits |= set(commits)
            self.state.sync()
            return made

    def merge_pull(self, number: int, *, method: str = "merge", login: str = "alice") -> str:
        """Merge a pull request; return the new head of the base."""
        with self.lock:
            self.state.sync()
            return pulls.merge(self.state, self.state.pulls[number], login, method)

    def mark_merged(self, number: int, sha: str) -> None:
        """Mark a pull request as merged by a commit that git may not have."""
        with self.lock:
            self.state.merged(self.state.pulls[number], sha, "alice")

    def close(self, number: int) -> None:
        """Close an issue or pull request."""
        with self.lock:
            self.state.close(self.state.issues[number], "completed")

    def add_comment(self, number: int, body: str, author: str = "alice") -> Comment:
        """Write a comment."""
        with self.lock:
            return issues.add_comment(self.state, number, author, body)

    def edit_comment(self, comment: Comment, body: str, login: str = "alice") -> None:
        """Edit a comment, as anybody with write access may; its author stays."""
        with self.lock:
            issues.edit_comment(self.state, comment, login, body)

    def add_issue(
        self, title: str, body: str = "", labels: tuple[str, ...] = (), author: str = "alice"
    ) -> Issue:
        """Open an issue."""
        with self.lock:
            return issues.open_issue(self.state, author, title, body, list(labels))

    def add_environment(
        self,
        name: str,
        *,
        secrets: tuple[str, ...] = (),
        reviewers: tuple[str, ...] = (),
        branches: tuple[str, ...] | None = None,
        prevent_self_review: bool = False,
    ) -> None:
        """Make an environment; `branches` None lets any deploy to it."""
        people = [{"type": "User", "reviewer": shapes.user(login)} for login in reviewers]
        rules: list[Json] = [{"id": 1, "type": "branch_policy"}] if branches is not None else []
        if people:
            rules.append(
                {
                    "id": 2,
                    "type": "required_reviewers",
                    "prevent_self_review": prevent_self_review,
                    "reviewers": people,
                }
            )
        named = {"protected_branches": False, "custom_branch_policies": True}
        self.state.environments[name] = {
            "protection_rules": rules,
            "deployment_branch_policy": named if branches is not None else None,
            "branches": list(branches or ()),
            "secrets": list(secrets),
        }

    def add_review(self, run: int, environment: str, login: str, state: str = "approved") -> None:
        """Add a reviewer's decision about a run's deployment to an environment."""
        made = {
            "environments": [{"id": 1, "name": environment}],
            "state": state,
            "user": shapes.user(login) if login else None,
            "comment": "",
        }
        self.state.reviews.setdefault(run, []).append(made)

    def add_run(
        self,
        file: str,
        *,
        event: str = "schedule",
        conclusion: str | None = "success",
        created_at: datetime | None = None,
        branch: str = "main",
    ) -> Json:
        """Record a run of a workflow; without a conclusion it is still running."""
        made = {
            "id": self.state.next_id(),
            "path": f".github/workflows/{file}",
            "event": event,
            "status": "completed" if conclusion else "in_progress",
            "conclusion": conclusion,
            "head_branch": branch,
            "head_sha": self.state.git.head(branch) or "",
            "created_at": shapes.stamp(created_at or now()),
        }
        made["html_url"] = f"{shapes.WEB}/{self.state.repository}/actions/runs/{made['id']}"
        self.state.runs.append(made)
        return made

    def commit(
        self,
        branch: str,
        changes: Mapping[str, str | bytes | None],
        message: str = "A change",
        *,
        start: str = "main",
        author: str = "alice",
    ) -> str:
        """Commit to a branch, which begins at `start` where it is new; None removes a file."""
        with self.lock:
            git = self.state.git
            old = git.head(branch)
            parent = old or git.resolve(start)
            assert parent is not None, f"there is no {start}"
            encoded = {
                path: content.encode() if isinstance(content, str) else content
                for path, content in changes.items()
            }
            sha = git.write(parent, encoded, message, author)
            git.move(f"refs/heads/{branch}", sha, old)
            self.state.sync()
            return sha

    def pass_time(self, seconds: float = 60) -> None:
        """Move the clock: GitHub reports times in whole seconds, and a test takes less than one."""
        with self.lock:
            self.state.ahead += timedelta(seconds=seconds)

    # What goes wrong

    def fail(
        self,
        status: int,
        times: int = 1,
        *,
        only: str = "",
        message: str = "Server Error",
        **headers: str,
    ) -> None:
        """Refuse the next calls that fit (a pattern for `VERB /path`) before they do anything."""
        refusal = RefusedError(status, message, **headers)
        self._door.trouble.faults.append(Fault(times, only, refusal))

    def limit(self, times: int = 1, *, only: str = "", retry_after: int | None = 1) -> None:
        """Refuse the next calls because of the rate limit."""
        headers = {} if retry_after is None else {"retry_after": str(retry_after)}
        self.fail(403, times, only=only, message=LIMITED, **headers)

    def lose(self, times: int = 1, *, only: str = "") -> None:
        """Carry the next calls out, and cut the connection instead of answering."""
        self._door.trouble.faults.append(Fault(times, only, None))

    # What tests look at

    def comments(self, number: int) -> list[Comment]:
        """Return the comments of an issue or pull request, the oldest first."""
        with self.lock:
            return [c for c in self.state.all_comments.values() if c.number == number]

    def issues(self, label: str = "") -> list[Issue]:
        """Return the issues that are no pull requests, the oldest first."""
        with self.lock:
            return [
                found
                for number, found in self.state.issues.items()
                if number not in self.state.pulls and (not label or label in found.labels)
            ]

    def pull(self, number: int) -> Pull:
        """Return the present state of a pull request."""
        with self.lock:
            self.state.sync()
            return self.state.pulls[number]

    def deployed(self, environment: str) -> list[tuple[str, str, str]]:
        """Return commit, state and address of each deployment to an environment, the oldest first."""
        with self.lock:
            return [
                (found["sha"], last.get("state", "pending"), last.get("environment_url", ""))
                for found in self.state.deployments.values()
                if found["environment"] == environment
                for last in (found["statuses"] or [{}])[-1:]
            ]

    def ran_in(self, environment: str, sha: str) -> None:
        """Record a deployment of a commit, as a successful job with an `environment` does."""
        with self.lock:
            made = self.state.next_id()
            status = {"id": self.state.next_id(), "state": "success", "environment_url": ""}
            self.state.deployments[made] = {
                "id": made,
                "sha": sha,
                "ref": sha,
                "environment": environment,
                "transient_environment": False,
                "production_environment": False,
                "payload": "",
                "creator": shapes.user(ACTIONS_BOT),
                "statuses": [status],
            }

    def pulls(self) -> list[Pull]:
        """Return the present state of all pull requests, the oldest first."""
        with self.lock:
            self.state.sync()
            return list(self.state.pulls.values())

    def head(self, branch: str = "main") -> str:
        """Return the commit of a branch; None if there is no such branch."""
        return self.state.git.head(branch) or ""

    def file(self, path: str, ref: str = "main") -> bytes | None:
        """Return a file's content at a branch or commit."""
        git = self.state.git
        commit = git.resolve(ref)
        entries = git.entries(commit, path) if commit else []
        return git.blob(entries[0].sha) if entries and entries[0].path == path else None

    def changes(self) -> list[str]:
        """Return the calls that may have changed anything."""
        asked = ("GET", "/graphql")
        return [str(call) for call in self.calls if not {call.method, call.path} & {*asked}]
