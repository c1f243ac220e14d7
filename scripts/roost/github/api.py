"""GitHub's API: one method for each thing asked of one repository, typed answers.

Paths and bodies: https://docs.github.com/rest; what only GraphQL tells is asked there. How calls
are sent, repeated, paged and refused is in transport.py and refusals.py. A create whose answer was
lost may have happened: where GitHub itself allows only one of a kind (a label, a branch, an open
pull request of a branch) the method looks and gives what is there; elsewhere (a comment, an issue)
the error says `ambiguous`, and the caller looks for its own marker.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from roost.errors import (
    GitHubConflictError,
    GitHubForbiddenError,
    GitHubNotFoundError,
    GitHubRejectedError,
    GitHubUnavailableError,
    MissingTokenError,
    UsageError,
)
from roost.github.models import (
    FILES_LIMIT,
    ActionsPermissions,
    Branch,
    BranchPolicy,
    BranchProtection,
    BranchRule,
    Collaborator,
    Comment,
    Commit,
    Deployment,
    DeploymentReview,
    DeploymentStatus,
    FileContent,
    GitFile,
    GitHubEnvironment,
    Issue,
    Label,
    Named,
    Pull,
    Repository,
    Ruleset,
    Workflow,
    WorkflowPermissions,
    WorkflowRun,
    Written,
)
from roost.github.transport import DEADLINE_S, PER_PAGE, Call, Json, Reply, Transport, each
from roost.http.connection import Connection
from roost.secret_text import SecretText

M = TypeVar("M", bound=BaseModel)
State = Literal["open", "closed", "all"]
Reason = Literal["completed", "not_planned", "reopened"]
DeploymentState = Literal["success", "inactive"]

API_URL = "https://api.github.com"
MOST_COMMIT_PAGES = 5
_ONE = {"per_page": "1"}
_WRITTEN = """query($id: ID!) {
  node(id: $id) {
    ... on IssueComment {
      body createdAt lastEditedAt author { __typename login } editor { __typename login }
    }
  }
}"""
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_NO_COMMIT = "No commit found"
_NO_REFERENCE = "Reference does not exist"
_NOT_PROTECTED = "Branch not protected"


def github_of(
    environ: Mapping[str, str], *, transport: httpx.AsyncBaseTransport | None = None
) -> GitHub:
    """Give the connection that a step of a workflow, or a person with the same variables, has.

    Raises:
        MissingTokenError: GITHUB_TOKEN is not set.
        UsageError: the address, the repository or the token is none.
    """
    token = environ.get("GITHUB_TOKEN", "")
    if not token:
        raise MissingTokenError(
            "No GitHub token is set.",
            where="GITHUB_TOKEN",
            advice="In a workflow give the step `GITHUB_TOKEN: ${{ github.token }}`; elsewhere use `gh auth token`.",
        )
    return GitHub(
        environ.get("GITHUB_API_URL") or API_URL,
        environ.get("GITHUB_REPOSITORY", ""),
        SecretText(token),
        transport=transport,
    )


class GitHub(Connection):
    """A connection to one repository; use as an asynchronous context manager.

    Args:
        base_url: such as https://api.github.com.
        repository: `owner/name`.
        token: sent with every call and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call is repeated past this many seconds.
        now: the clock that the ends of limits are read against.

    Raises:
        UsageError: the address, the repository or the token is none.
    """

    def __init__(  # noqa: PLR0913 - what is outside of it is passed in
        self,
        base_url: str,
        repository: str,
        token: SecretText,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline_s: float = DEADLINE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        owner, _, name = repository.partition("/")
        if not _REPOSITORY.fullmatch(repository) or {owner, name} & {".", ".."}:
            raise UsageError(
                "This names no repository of GitHub.",
                where="GITHUB_REPOSITORY",
                advice="Give it as OWNER/NAME, such as acme/infra.",
            )
        self.repository = repository
        self._root = f"/repos/{owner}/{name}"
        # https://api.github.com/graphql, and https://HOST/api/graphql beside https://HOST/api/v3.
        self._graphql = f"{base_url.rstrip('/').removesuffix('/v3')}/graphql"
        self._transport = Transport(
            base_url, token, transport=transport, deadline_s=deadline_s, now=now
        )
        super().__init__(self._transport.http)

    @property
    def calls(self) -> int:
        """Requests sent so far, repeats included."""
        return self._transport.calls

    def __repr__(self) -> str:
        return f"GitHub({self.http.base_url!r}, {self.repository!r})"

    # Pull requests

    async def pulls_of_commit(self, sha: str) -> tuple[Pull, ...]:
        """Give the pull requests that brought a commit, or hold it while they are open."""
        return await self._list(Pull, "commits", sha, "pulls")

    async def pull(self, number: int) -> Pull:
        """Give one pull request."""
        return (await self._send("GET", "pulls", str(number))).read(Pull)

    async def pulls(
        self, head: str = "", state: State = "open", *, base: str = ""
    ) -> tuple[Pull, ...]:
        """Give pull requests, all or those from a branch of this repository (or `OWNER:BRANCH`)."""
        owner = self.repository.partition("/")[0]
        named = head if not head or ":" in head else f"{owner}:{head}"
        params = {"state": state, "head": named, "base": base}
        return await self._list(Pull, "pulls", params=params)

    async def create_pull(self, title: str, body: str, head: str, base: str) -> Pull:
        """Open a pull request; where this branch has an open one already, give that."""
        wanted = {"title": title, "body": body, "head": head, "base": base}
        try:
            return (await self._send("POST", "pulls", body=wanted)).read(Pull)
        except (GitHubConflictError, GitHubUnavailableError) as error:
            if not _may_be_there(error):
                raise
            for found in await self.pulls(head, base=base):
                return found
            raise

    # Comments

    async def comments(self, number: int) -> tuple[Comment, ...]:
        """Give all comments of an issue or a pull request, the oldest first."""
        return await self._list(Comment, "issues", str(number), "comments")

    async def create_comment(self, number: int, body: str) -> Comment:
        """Write a comment.

        Raises:
            GitHubUnavailableError: `ambiguous` when it may have been written all the same.
        """
        reply = await self._send("POST", "issues", str(number), "comments", body={"body": body})
        return reply.read(Comment)

    async def update_comment(self, comment: int, body: str) -> Comment:
        """Replace a comment's text."""
        reply = await self._send("PATCH", "issues", "comments", str(comment), body={"body": body})
        return reply.read(Comment)

    async def written(self, comment: Comment) -> Written:
        """Give a comment's text as it is now, and who wrote or edited that; REST tells only the author.

        Raises:
            GitHubAnswerError: GitHub does not say so.
        """
        reply = await self._query(_WRITTEN, {"id": comment.node_id})
        return reply.part("node").read(Written)

    # Issues

    async def issues(self, label: str, state: State = "all") -> tuple[Issue, ...]:
        """Give the issues with a label, the newest first; pull requests are not among them."""
        params = {"labels": label, "state": state}
        found = await self._list(Issue, "issues", params=params)
        return tuple(issue for issue in found if not issue.is_pull)

    async def create_issue(self, title: str, body: str, labels: Sequence[str] = ()) -> Issue:
        """Open an issue.

        Raises:
            GitHubUnavailableError: `ambiguous` when it may have been opened all the same.
        """
        wanted = {"title": title, "body": body, "labels": list(labels)}
        return (await self._send("POST", "issues", body=wanted)).read(Issue)

    async def update_issue(
        self,
        number: int,
        *,
        title: str | None = None,
        body: str | None = None,
        state: Literal["open", "closed"] | None = None,
        state_reason: Reason | None = None,
    ) -> Issue:
        """Change what is given of an issue, and leave the rest."""
        wanted = {"title": title, "body": body, "state": state, "state_reason": state_reason}
        reply = await self._send("PATCH", "issues", str(number), body=_present(wanted))
        return reply.read(Issue)

    async def ensure_label(self, name: str, color: str, description: str) -> None:
        """Have a label; one that is there stays as people made it."""
        try:
            (await self._send("GET", "labels", name)).read(Label)
        except GitHubNotFoundError:
            wanted = {"name": name, "color": color, "description": description}
            try:
                await self._send("POST", "labels", body=wanted)
            except GitHubConflictError:
                return
            except GitHubUnavailableError as error:
                if not error.ambiguous:
                    raise
                await self._send("GET", "labels", name)

    # Branches and files

    async def branch_head(self, branch: str) -> str:
        """Give the commit that a branch stands at."""
        reply = await self._send("GET", "git", "ref", "heads", *branch.split("/"))
        return reply.part("object").part("sha").read(str)

    async def create_branch(self, name: str, sha: str) -> None:
        """Create a branch at a commit; one that stands there already is fine.

        Raises:
            GitHubConflictError: it is there, and stands elsewhere.
        """
        try:
            await self._send("POST", "git", "refs", body={"ref": f"refs/heads/{name}", "sha": sha})
        except (GitHubConflictError, GitHubUnavailableError) as error:
            if not _may_be_there(error) or await self._head(name) != sha:
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
        """Give a file as it is at a branch or commit, or None when there is none.

        Raises:
            GitHubNotFoundError: there is no such branch or commit.
            GitHubAnswerError: it is a folder, or larger than the 1 MB that come this way.
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
        """Write a file in a commit of its own; `sha` is the file's that is replaced, None for none.

        Twice is the same as once: what is there already with this content is not written again.

        Raises:
            GitHubConflictError: the file is another one than `sha` by now.
        """
        wanted = {
            "message": message,
            "content": base64.b64encode(content).decode(),
            "branch": branch,
            "sha": sha,
        }
        try:
            await self._send("PUT", "contents", *path.split("/"), body=_present(wanted))
        except GitHubConflictError:
            found = await self.file_at(path, branch)
            if found is None or found.sha != blob_sha(content):
                raise

    async def changed_files(self, base: str, head: str) -> tuple[str, ...]:
        """Give what differs between `head` and where it left `base`, sorted; both names of a moved file.

        A comparison lists at most 300 files. Where it may have left some out, the two trees are
        read whole and compared here.

        Raises:
            GitHubAnswerError: even the trees are too long to be told whole.
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
        """Give the commits by which a branch went from `base` to `head`, the newest first.

        What a merge brought along is none of them. Of a way that is longer than a comparison tells
        on MOST_COMMIT_PAGES pages nothing is given.
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
        """Give the last commit, as of a branch or commit, that changed a file or folder."""
        reply = await self._send("GET", "commits", params={"path": path, "sha": ref, **_ONE})
        return next(iter(reply.read_all(Commit)), None)

    async def tree(self, commit: str) -> dict[str, GitFile]:
        """Give every file of a commit by its path.

        Raises:
            GitHubAnswerError: there are more than GitHub lists.
        """
        reply = await self._send("GET", "git", "trees", commit, params={"recursive": "1"})
        if reply.part("truncated").read(bool):
            raise reply.wrong("more files than it lists")
        entries = reply.part("tree").read_all(_TreeEntry)
        return {e.path: GitFile(e.mode, e.sha) for e in entries if e.type != "tree"}

    # Workflows

    async def workflow(self, workflow_file: str) -> Workflow | None:
        """Give a workflow, or None where there is none of that name."""
        try:
            reply = await self._send("GET", "actions", "workflows", workflow_file)
        except GitHubNotFoundError:
            return None
        return reply.read(Workflow)

    async def workflow_runs(
        self, workflow_file: str, event: str = "schedule", per_page: int = 1
    ) -> tuple[WorkflowRun, ...]:
        """Give the newest runs of a workflow that an event started."""
        params = {"event": event, "per_page": str(per_page)}
        reply = await self._send(
            "GET", "actions", "workflows", workflow_file, "runs", params=params
        )
        return reply.part("workflow_runs").read_all(WorkflowRun)

    async def deployment_reviews(self, run_id: str) -> tuple[DeploymentReview, ...]:
        """Give what reviewers said about a run's deployments, of all its attempts; `actions: read`."""
        reply = await self._send("GET", "actions", "runs", run_id, "approvals")
        return reply.read_all(DeploymentReview)

    async def collaborator(self, login: str) -> Collaborator | None:
        """Give what an account may do in the repository, or None where GitHub knows no such account."""
        try:
            reply = await self._send("GET", "collaborators", login, "permission")
        except GitHubNotFoundError:
            return None
        return reply.read(Collaborator)

    async def environment(self, name: str) -> GitHubEnvironment:
        """Give one of the repository's environments, with what protects it; `actions: read`."""
        return (await self._send("GET", "environments", name)).read(GitHubEnvironment)

    # Deployments

    async def deployments(self, environment: str) -> tuple[Deployment, ...]:
        """Return the deployments of an environment, the newest first, at most PER_PAGE of them."""
        params = {"environment": environment, "per_page": str(PER_PAGE)}
        return (await self._send("GET", "deployments", params=params)).read_all(Deployment)

    async def create_deployment(
        self, sha: str, environment: str, description: str, payload: Json
    ) -> Deployment:
        """Record a deployment of exactly this commit; nothing is merged or awaited for it.

        No environment is marked as production: GitHub ends what was deployed before to the same
        environment only where it is not, and there is one server behind each of ours.

        Raises:
            GitHubUnavailableError: `ambiguous` when it may have been recorded all the same.
        """
        wanted = {
            "ref": sha,
            "environment": environment,
            "description": description,
            "payload": payload,
            "auto_merge": False,
            "required_contexts": [],
            "transient_environment": False,
            "production_environment": False,
        }
        return (await self._send("POST", "deployments", body=wanted)).read(Deployment)

    async def deployment_statuses(self, deployment: int) -> tuple[DeploymentStatus, ...]:
        """Return all that was said about how a deployment went."""
        return await self._list(DeploymentStatus, "deployments", str(deployment), "statuses")

    async def create_deployment_status(
        self, deployment: int, state: DeploymentState, *, url: str, log_url: str, description: str
    ) -> DeploymentStatus:
        """Say how a deployment went; a success ends the one before it in the same environment.

        Raises:
            GitHubUnavailableError: `ambiguous` when it may have been written all the same.
        """
        wanted = {
            "state": state,
            "description": description,
            "log_url": log_url,
            "environment_url": url or None,
        }
        path = ("deployments", str(deployment), "statuses")
        return (await self._send("POST", *path, body=_present(wanted))).read(DeploymentStatus)

    # What `roost doctor` looks at; None where the token may not see it.

    async def repository_info(self) -> Repository:
        """Give the repository itself."""
        return (await self._send("GET")).read(Repository)

    async def environments(self) -> tuple[GitHubEnvironment, ...]:
        """Give the repository's environments, with what protects them."""
        return await self._list(GitHubEnvironment, "environments", key="environments")

    async def environment_branches(self, name: str) -> tuple[BranchPolicy, ...]:
        """Give the names of branches that may deploy to an environment that has such a list."""
        path = ("environments", name, "deployment-branch-policies")
        return await self._list(BranchPolicy, *path, key="branch_policies")

    async def environment_secrets(self, name: str) -> tuple[str, ...] | None:
        """Give the names of an environment's secrets; their values never leave GitHub."""
        try:
            found = await self._list(Named, "environments", name, "secrets", key="secrets")
        except GitHubForbiddenError:
            return None
        return tuple(secret.name for secret in found)

    async def repository_secrets(self) -> tuple[str, ...] | None:
        """Return the names of the secrets that every workflow of the repository may use."""
        return await self._secret_names("actions", "secrets")

    async def organization_secrets(self) -> tuple[str, ...] | None:
        """Return the names of the organization's secrets that the repository may use."""
        return await self._secret_names("actions", "organization-secrets")

    async def _secret_names(self, *parts: str) -> tuple[str, ...] | None:
        try:
            found = await self._list(Named, *parts, key="secrets")
        except (GitHubForbiddenError, GitHubNotFoundError):
            return None
        return tuple(secret.name for secret in found)

    async def runners(self) -> tuple[str, ...] | None:
        """Return the names of the repository's self-hosted runners; None where a token sees none of it.

        Those of the organization's groups are not among them.
        """
        try:
            found = await self._list(Named, "actions", "runners", key="runners")
        except (GitHubForbiddenError, GitHubNotFoundError):
            return None
        return tuple(runner.name for runner in found)

    async def has_variable(self, name: str) -> bool | None:
        """Say whether the repository has a variable; None where the token may not see that."""
        try:
            await self._send("GET", "actions", "variables", name)
        except GitHubNotFoundError:
            return False
        except GitHubForbiddenError:
            return None
        return True

    async def protected_branches(self) -> tuple[Branch, ...]:
        """Return the branches that are protected in any way."""
        return await self._list(Branch, "branches", params={"protected": "true"})

    async def rulesets(self) -> tuple[Ruleset, ...]:
        """Return all rulesets that concern the repository, also those that are off; without bypasses."""
        return await self._list(Ruleset, "rulesets")

    async def ruleset(self, number: int) -> Ruleset | None:
        """Return one ruleset with who may bypass it, as far as the token may see that."""
        return await self._readable(Ruleset, "rulesets", str(number))

    async def branch_rules(self, branch: str) -> tuple[BranchRule, ...]:
        """Give the rules that rulesets hold a branch to."""
        return await self._list(BranchRule, "rules", "branches", branch)

    async def branch_protection(self, branch: str) -> BranchProtection | None:
        """Give the older protection of a branch, which may be off."""
        try:
            reply = await self._send("GET", "branches", branch, "protection")
        except GitHubForbiddenError:
            return None
        except GitHubNotFoundError as error:
            return BranchProtection(is_on=False) if _NOT_PROTECTED in error.body else None
        return reply.read(BranchProtection)

    async def actions_permissions(self) -> ActionsPermissions | None:
        """Give whether Actions may run, and which."""
        return await self._readable(ActionsPermissions, "actions", "permissions")

    async def workflow_permissions(self) -> WorkflowPermissions | None:
        """Give what a workflow's token may do by default."""
        return await self._readable(WorkflowPermissions, "actions", "permissions", "workflow")

    # Sending

    async def _send(
        self,
        verb: str,
        *parts: str,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Reply:
        path = "".join([self._root, *(f"/{_segment(part)}" for part in parts)])
        return await self._transport.send(Call(verb, path, body, params))

    async def _query(self, query: str, variables: Json) -> Reply:
        body = {"query": query, "variables": variables}
        call = Call("POST", self._graphql, body, is_query=True)
        return (await self._transport.send(call)).part("data")

    def _comparison(self, base: str, head: str) -> str:
        return f"{self._root}/compare/{quote(base, safe='')}...{quote(head, safe='')}"

    async def _get(self, path: str, params: Mapping[str, str]) -> Reply:
        return await self._transport.send(Call("GET", path, params=params))

    async def _list(
        self,
        kind: type[M],
        *parts: str,
        params: Mapping[str, str] | None = None,
        key: str = "",
    ) -> tuple[M, ...]:
        path = "".join([self._root, *(f"/{_segment(part)}" for part in parts)])
        given = {name: value for name, value in (params or {}).items() if value}
        return tuple(each(await self._transport.pages(path, given), kind, key))

    async def _readable(self, kind: type[M], *parts: str) -> M | None:
        """Give what only some tokens may see; GitHub says 403 or 404 to the others."""
        try:
            return (await self._send("GET", *parts)).read(kind)
        except (GitHubForbiddenError, GitHubNotFoundError):
            return None

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
    """A file as the API gives it."""

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
    """Give git's hash of a file, by which GitHub names it."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _read_file(reply: Reply, path: str) -> FileContent:
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


def _may_be_there(error: GitHubConflictError | GitHubUnavailableError) -> bool:
    """Say whether what could not be created may be there: it was taken, or the answer was lost."""
    return isinstance(error, GitHubConflictError) or error.ambiguous


def _segment(part: str) -> str:
    """Encode one part; `.` and `..` would be taken for steps in the tree."""
    return part.replace(".", "%2E") if part in {".", ".."} else quote(part, safe="")


def _present(fields: Mapping[str, Any]) -> Json:
    return {key: value for key, value in fields.items() if value is not None}
