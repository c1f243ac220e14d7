"""GitHub's answers, typed and flat: only the fields that Roost reads.

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
"""The author of what a workflow writes. No person can have this name, because of its brackets."""
FILES_LIMIT = 300
"""A comparison lists at most this many files, on all its pages together."""

Text = Annotated[str, BeforeValidator(lambda found: "" if found is None else found)]
Many = Annotated[tuple[T, ...], BeforeValidator(lambda found: () if found is None else found)]
# Numbers become part of paths, so only those that GitHub could ever send are accepted.
Number = Annotated[int, Field(ge=1, le=2**63)]


def inner(*path: str) -> Any:
    """Read a text from a path inside the answer; code that creates the value uses its own name."""
    return Field(default="", validation_alias=AliasPath(path[0], *path[1:]))


class Answer(BaseModel):
    """An answer, or a part of one: frozen, without the fields that are not declared."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Named(Answer):
    """An environment, or a secret of one, of which only the name is read."""

    name: str


class Pull(Answer):
    """A pull request; `head_repository` is empty when the fork was deleted."""

    number: Number
    title: Text = ""
    state: Text = ""
    merged: Annotated[bool, BeforeValidator(bool)] = Field(
        default=False, validation_alias=AliasChoices("merged", "merged_at")
    )
    """Lists have no `merged`; they have the time of the merge, or null."""
    merged_at: datetime | None = None
    """In whole seconds, as all of GitHub's times."""
    merge_commit_sha: Text = ""
    head_sha: Text = inner("head", "sha")
    head_ref: Text = inner("head", "ref")
    head_repository: Text = inner("head", "repo", "full_name")
    base_ref: Text = inner("base", "ref")
    base_sha: Text = inner("base", "sha")
    author: Text = inner("user", "login")
    url: Text = Field(default="", validation_alias="html_url")


class Comment(Answer):
    """A comment on an issue or a pull request; an edit by others does not change `author`."""

    id: Number
    node_id: Text = ""
    """Its id in GraphQL."""
    body: Text = ""
    author: Text = inner("user", "login")
    url: Text = Field(default="", validation_alias="html_url")
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Actor(Answer):
    """The author of something in GraphQL, where only `kind` tells a bot: its name has no brackets."""

    kind: str = Field(validation_alias="__typename")
    login: str

    @property
    def is_actions_bot(self) -> bool:
        """Whether this is the account of workflows' own tokens."""
        name = ACTIONS_BOT.removesuffix("[bot]")
        return self.kind == "Bot" and self.login.removesuffix("[bot]") == name


class Written(Answer):
    """A comment at one moment, with its author and last editor; every field is required."""

    body: str
    author: Actor | None
    editor: Actor | None
    created_at: datetime = Field(validation_alias="createdAt")
    edited_at: datetime | None = Field(validation_alias="lastEditedAt")

    @property
    def at(self) -> datetime:
        """When its text was last changed, in whole seconds."""
        return self.edited_at or self.created_at

    @property
    def stranger(self) -> str:
        """Who wrote or edited it last, empty where that was a workflow.

        GitHub sends null for a deleted account.
        """
        was_edited = self.editor is not None or self.edited_at is not None
        last = self.editor if was_edited else self.author
        if last is not None and last.is_actions_bot:
            return ""
        return last.login if last is not None else "an account that is gone"


class Commit(Answer):
    """A commit; its first parent is the previous commit of its branch."""

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
    """A label, of which only the name is read."""

    name: Text = ""


class Issue(Answer):
    """An issue; GitHub lists pull requests as issues too, with `is_pull` set."""

    number: Number
    node_id: Text = ""
    title: Text = ""
    body: Text = ""
    state: Text = ""
    state_reason: Text = ""
    author: Text = inner("user", "login")
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
    """Return the name of a label, which GitHub documents as a text or as an object."""
    return label if isinstance(label, str) else Label.model_validate(label).name


class FileContent(Answer):
    """A file of a commit: its content, and git's hash of it."""

    path: str
    content: bytes
    sha: str


@dataclass(frozen=True)
class GitFile:
    """A file in the tree of a commit: git's mode, and git's hash of its content."""

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
    """A deployment as GitHub records it; a payload that is no object is read as an empty one."""

    id: Number
    sha: Text = ""
    environment: Text = ""
    payload: Annotated[
        dict[str, Any], BeforeValidator(lambda found: found if isinstance(found, dict) else {})
    ] = Field(default_factory=dict)


class DeploymentStatus(Answer):
    """A status that somebody recorded for a deployment."""

    state: Text = ""
    environment_url: Text = ""


class Workflow(Answer):
    """A workflow; `state` is `active`, or the reason why it does not run."""

    state: Text = ""
    created_at: datetime | None = None


class Collaborator(Answer):
    """An account's permissions in the repository, from all its teams and organizations together."""

    permission: Text = ""
    """`admin`, `write`, `read` or `none`; for the role `maintain` GitHub sends `write`."""
    role: Text = Field(default="", validation_alias="role_name")
    """The name of the role, which may be a custom one of the organization."""
    is_admin: bool = Field(
        default=False, validation_alias=AliasPath("user", "permissions", "admin")
    )
    is_maintainer: bool = Field(
        default=False, validation_alias=AliasPath("user", "permissions", "maintain")
    )
    """Also set where a custom role is based on `maintain`."""

    @property
    def maintains(self) -> bool:
        """Whether the role is `maintain` or `admin`, or a custom role based on one of them."""
        named = self.role in {"admin", "maintain"} or self.permission == "admin"
        return named or self.is_admin or self.is_maintainer


class DeploymentReview(Answer):
    """A review of the deployments of a run."""

    state: Text = ""
    """`approved`, `rejected` or `pending`."""
    reviewer: Text = inner("user", "login")
    environments: Many[Named] = ()

    def approves(self, environment: str) -> bool:
        """Return whether it approves an environment; GitHub ignores the case of its name."""
        names = {found.name.casefold() for found in self.environments}
        return self.state == "approved" and environment.casefold() in names
