"""GitHub's answers, typed and flat: what Roost reads of them, and nothing else.

Shapes: https://docs.github.com/rest. What GitHub leaves out or sends as null is empty here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

T = TypeVar("T")

ACTIONS_BOT = "github-actions[bot]"
"""Who writes with a workflow's own token. No person can have this name: it holds brackets."""
FILES_LIMIT = 300
"""A comparison lists no more files than these, however it is paged."""

Text = Annotated[str, BeforeValidator(lambda found: "" if found is None else found)]
Many = Annotated[tuple[T, ...], BeforeValidator(lambda found: () if found is None else found)]
# Numbers that go into addresses: positive, and as many digits as GitHub could ever give.
Number = Annotated[int, Field(ge=1, le=2**63)]


def _at(*path: str) -> Any:
    """Read a text from a place inside of the answer; by its own name where code makes one."""
    return Field(default="", validation_alias=AliasPath(path[0], *path[1:]))


class Answer(BaseModel):
    """Frozen; what is not read here is left out."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Named(Answer):
    """A thing of which only the name is read: an environment, or a secret of one."""

    name: str


class Pull(Answer):
    """A pull request; `head_repository` is empty when the fork is gone."""

    number: Number
    title: Text = ""
    state: Text = ""
    merged: Annotated[bool, BeforeValidator(bool)] = Field(
        default=False, validation_alias=AliasChoices("merged", "merged_at")
    )
    """Lists tell only when it was merged, or null."""
    merged_at: datetime | None = None
    """In whole seconds, as all of GitHub's times."""
    merge_commit_sha: Text = ""
    head_sha: Text = _at("head", "sha")
    head_ref: Text = _at("head", "ref")
    head_repository: Text = _at("head", "repo", "full_name")
    base_ref: Text = _at("base", "ref")
    base_sha: Text = _at("base", "sha")
    author: Text = _at("user", "login")
    url: Text = Field(default="", validation_alias="html_url")


class Comment(Answer):
    """A comment on an issue or a pull request; `author` stays the same when others edit it."""

    id: Number
    node_id: Text = ""
    """By which GraphQL knows it."""
    body: Text = ""
    author: Text = _at("user", "login")
    url: Text = Field(default="", validation_alias="html_url")
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Actor(Answer):
    """Who did something, as GraphQL tells: the name of a bot has no brackets there, so its kind counts."""

    kind: str = Field(validation_alias="__typename")
    login: str

    @property
    def is_actions_bot(self) -> bool:
        """Return whether it is who writes with a workflow's own token."""
        name = ACTIONS_BOT.removesuffix("[bot]")
        return self.kind == "Bot" and self.login.removesuffix("[bot]") == name


class Written(Answer):
    """A comment as it was at one moment, and who made it so; nothing of it may be left out."""

    body: str
    author: Actor | None
    editor: Actor | None
    created_at: datetime = Field(validation_alias="createdAt")
    edited_at: datetime | None = Field(validation_alias="lastEditedAt")

    @property
    def at(self) -> datetime:
        """Return when its text became what it is, in whole seconds."""
        return self.edited_at or self.created_at

    @property
    def stranger(self) -> str:
        """Name who wrote or edited it last, where that was not a workflow; empty where it was.

        An account that is gone is told as null.
        """
        was_edited = self.editor is not None or self.edited_at is not None
        last = self.editor if was_edited else self.author
        if last is not None and last.is_actions_bot:
            return ""
        return last.login if last is not None else "an account that is gone"


class Commit(Answer):
    """A commit: the first of its parents is where its branch stood before."""

    sha: str
    parents: tuple[str, ...] = ()
    committed_at: datetime | None = Field(
        default=None, validation_alias=AliasPath("commit", "committer", "date")
    )

    @field_validator("parents", mode="before")
    @classmethod
    def _read_parents(cls, found: Any) -> Any:
        return [parent["sha"] if isinstance(parent, dict) else parent for parent in found or ()]


class Label(Answer):
    """A label, of which only the name matters."""

    name: Text = ""


class Issue(Answer):
    """An issue; GitHub lists pull requests as issues too, which is how they are told apart."""

    number: Number
    title: Text = ""
    body: Text = ""
    state: Text = ""
    state_reason: Text = ""
    author: Text = _at("user", "login")
    labels: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda found: tuple(_label_name(label) for label in found or ())),
    ] = ()
    url: Text = Field(default="", validation_alias="html_url")
    updated_at: datetime | None = None
    is_pull: Annotated[bool, BeforeValidator(bool)] = Field(
        default=False, validation_alias="pull_request"
    )


def _label_name(label: Any) -> str:
    """Return a label's name: GitHub documents it as a text or as an object."""
    return label if isinstance(label, str) else Label.model_validate(label).name


class FileContent(Answer):
    """A file of a commit: its bytes, and git's hash of them."""

    path: str
    content: bytes
    sha: str


@dataclass(frozen=True)
class GitFile:
    """A file as a commit lists it: git's mode, and git's hash of its bytes."""

    mode: str
    sha: str


class WorkflowRun(Answer):
    """A run of a workflow."""

    id: Number
    event: Text = ""
    status: Text = ""
    conclusion: Text = ""
    head_sha: Text = ""
    head_branch: Text = ""
    created_at: datetime
    url: Text = Field(default="", validation_alias="html_url")


class Deployment(Answer):
    """A deployment as GitHub records it; what was sent with it as no object is left out."""

    id: Number
    sha: Text = ""
    environment: Text = ""
    payload: Annotated[
        dict[str, Any], BeforeValidator(lambda found: found if isinstance(found, dict) else {})
    ] = Field(default_factory=dict)


class DeploymentStatus(Answer):
    """How a deployment went, as somebody said."""

    state: Text = ""
    environment_url: Text = ""


class Workflow(Answer):
    """A workflow: `state` is `active`, or why it does not run."""

    state: Text = ""
    created_at: datetime | None = None


class Collaborator(Answer):
    """What an account may do in the repository, from all teams and organizations together."""

    permission: Text = ""
    """`admin`, `write`, `read` or `none`: `maintain` is told as `write`."""
    role: Text = Field(default="", validation_alias="role_name")
    """The role's own name, which an organization may have chosen itself."""
    is_admin: bool = Field(
        default=False, validation_alias=AliasPath("user", "permissions", "admin")
    )
    is_maintainer: bool = Field(
        default=False, validation_alias=AliasPath("user", "permissions", "maintain")
    )
    """The base of a role with a name of its own."""

    @property
    def maintains(self) -> bool:
        """Return whether the role is `maintain` or `admin`, or one that an organization based on those."""
        named = self.role in {"admin", "maintain"} or self.permission == "admin"
        return named or self.is_admin or self.is_maintainer


class DeploymentReview(Answer):
    """What a reviewer said about the deployments of a run."""

    state: Text = ""
    """`approved`, `rejected` or `pending`."""
    reviewer: Text = _at("user", "login")
    environments: Many[Named] = ()

    def approves(self, environment: str) -> bool:
        """Return whether it lets an environment be deployed to; GitHub ignores the case of its name."""
        names = {found.name.casefold() for found in self.environments}
        return self.state == "approved" and environment.casefold() in names


class Repository(Answer):
    """The repository itself."""

    full_name: str
    default_branch: str
    private: bool = True
    visibility: Text = ""
    archived: bool = False
    has_issues: bool = True
    owner: Text = _at("owner", "login")
    owner_type: Text = _at("owner", "type")
    url: Text = Field(default="", validation_alias="html_url")


class Reviewer(Answer):
    """A person or a team whose approval a deployment waits for."""

    type: Text = ""
    id: int = Field(default=0, validation_alias=AliasPath("reviewer", "id"))
    name: Text = Field(
        default="",
        validation_alias=AliasChoices(
            AliasPath("reviewer", "login"), AliasPath("reviewer", "slug")
        ),
    )


class ProtectionRule(Answer):
    """What a deployment to an environment waits for."""

    type: Text = ""
    wait_timer: int = 0
    prevent_self_review: bool = False
    reviewers: Many[Reviewer] = ()


class BranchLimit(Answer):
    """Which branches may deploy to an environment: protected ones, or those with a name on a list."""

    protected_branches: bool = False
    custom_branch_policies: bool = False


class GitHubEnvironment(Answer):
    """What GitHub calls an environment: where secrets and approvals live; `branches` None is any."""

    name: str
    protection_rules: Many[ProtectionRule] = ()
    branches: BranchLimit | None = Field(default=None, validation_alias="deployment_branch_policy")
    can_admins_bypass: bool = True

    @property
    def reviewers(self) -> tuple[Reviewer, ...]:
        """Return whose approval is needed."""
        return tuple(reviewer for rule in self.protection_rules for reviewer in rule.reviewers)


class BranchPolicy(Answer):
    """A name, or a pattern, of branches (or tags) that may deploy to an environment."""

    id: int = 0
    name: Text = ""
    type: Text = "branch"


class BranchRule(Answer):
    """A rule that holds for a branch, from whichever ruleset."""

    type: Text = ""
    parameters: Annotated[dict[str, Any], BeforeValidator(lambda found: found or {})] = Field(
        default_factory=dict
    )
    ruleset_id: int = 0
    ruleset_source: Text = ""
    ruleset_source_type: Text = ""


class BypassActor(Answer):
    """Who may bypass a ruleset, and when; `actor_id` is null for deploy keys."""

    actor_type: Text = ""
    actor_id: int | None = None
    bypass_mode: Text = "always"


class Ruleset(Answer):
    """A ruleset; `bypass_actors` None is not shown, as to all who may not change the ruleset."""

    id: int
    name: Text = ""
    target: Text = "branch"
    enforcement: Text = ""
    source_type: Text = ""
    bypass_actors: tuple[BypassActor, ...] | None = None


class _Reviews(Answer):
    """How reviews are asked for by the protection of a branch."""

    required_approving_review_count: int = 0
    require_code_owner_reviews: bool = False
    dismiss_stale_reviews: bool = False
    require_last_push_approval: bool = False
    bypass: Annotated[dict[str, Any], BeforeValidator(lambda found: found or {})] = Field(
        default_factory=dict, validation_alias="bypass_pull_request_allowances"
    )
    """Lists of `users`, `teams` and `apps`."""


class StatusCheck(Answer):
    """A check that a merge waits for; `app_id` null or -1 is anybody's."""

    context: Text = ""
    app_id: int | None = None


class Branch(Answer):
    """A branch in a list."""

    name: Text = ""
    protected: bool = False


class BranchProtection(Answer):
    """The older way to protect a branch, beside rulesets; `is_on` says whether it is used."""

    is_on: bool = True
    reviews: _Reviews | None = Field(default=None, validation_alias="required_pull_request_reviews")
    status_checks: Annotated[tuple[str, ...], BeforeValidator(lambda found: found or ())] = Field(
        default=(), validation_alias=AliasPath("required_status_checks", "contexts")
    )
    strict: bool = Field(
        default=False, validation_alias=AliasPath("required_status_checks", "strict")
    )
    checks: Annotated[tuple[StatusCheck, ...], BeforeValidator(lambda found: found or ())] = Field(
        default=(), validation_alias=AliasPath("required_status_checks", "checks")
    )
    deletions: bool = Field(default=False, validation_alias=AliasPath("allow_deletions", "enabled"))
    force_pushes: bool = Field(
        default=False, validation_alias=AliasPath("allow_force_pushes", "enabled")
    )
    for_admins: bool = Field(default=False, validation_alias=AliasPath("enforce_admins", "enabled"))


class ActionsPermissions(Answer):
    """Whether Actions may run, and which actions; `sha_pinning_required` None is not told."""

    enabled: bool = False
    allowed_actions: Text = ""
    sha_pinning_required: bool | None = None


class WorkflowPermissions(Answer):
    """What a workflow's token may do by default."""

    default_workflow_permissions: Text = ""
    can_approve_pull_request_reviews: bool = False
