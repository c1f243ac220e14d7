"""GitHub's answers about a repository's settings: environments, rulesets, branches and Actions.

Shapes: https://docs.github.com/rest. What GitHub leaves out or sends as null is empty here.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, AliasPath, BeforeValidator, Field

from roost.github.models import Answer, Many, Text, inner


class Repository(Answer):
    """The repository."""

    full_name: str
    default_branch: str
    private: bool = True
    visibility: Text = ""
    archived: bool = False
    has_issues: bool = True
    owner: Text = inner("owner", "login")
    owner_type: Text = inner("owner", "type")
    url: Text = Field(default="", validation_alias="html_url")


class Reviewer(Answer):
    """A person or a team that must approve deployments."""

    type: Text = ""
    id: int = Field(default=0, validation_alias=AliasPath("reviewer", "id"))
    name: Text = Field(
        default="",
        validation_alias=AliasChoices(
            AliasPath("reviewer", "login"), AliasPath("reviewer", "slug")
        ),
    )


class ProtectionRule(Answer):
    """A condition for deployments to an environment."""

    type: Text = ""
    wait_timer: int = 0
    prevent_self_review: bool = False
    reviewers: Many[Reviewer] = ()


class BranchLimit(Answer):
    """Which branches may deploy to an environment: protected ones, or those of a list."""

    protected_branches: bool = False
    custom_branch_policies: bool = False


class GitHubEnvironment(Answer):
    """An environment in GitHub's sense: its secrets and approvals; `branches` None is any."""

    name: str
    protection_rules: Many[ProtectionRule] = ()
    branches: BranchLimit | None = Field(default=None, validation_alias="deployment_branch_policy")
    can_admins_bypass: bool = True

    @property
    def reviewers(self) -> tuple[Reviewer, ...]:
        """The reviewers of all protection rules."""
        return tuple(reviewer for rule in self.protection_rules for reviewer in rule.reviewers)


class BranchPolicy(Answer):
    """A name or pattern of branches (or tags) that may deploy to an environment."""

    id: int = 0
    name: Text = ""
    type: Text = "branch"


class BranchRule(Answer):
    """A rule for a branch, from any ruleset."""

    type: Text = ""
    parameters: Annotated[dict[str, Any], BeforeValidator(lambda found: found or {})] = Field(
        default_factory=dict
    )
    ruleset_id: int = 0
    ruleset_source: Text = ""
    ruleset_source_type: Text = ""


class BypassActor(Answer):
    """An actor that may bypass a ruleset; `actor_id` is null for deploy keys."""

    actor_type: Text = ""
    actor_id: int | None = None
    bypass_mode: Text = "always"


class Ruleset(Answer):
    """A ruleset; `bypass_actors` is None for a token that may not change the ruleset."""

    id: int
    name: Text = ""
    target: Text = "branch"
    enforcement: Text = ""
    source_type: Text = ""
    bypass_actors: tuple[BypassActor, ...] | None = None


class _Reviews(Answer):
    """The reviews that the protection of a branch requires."""

    required_approving_review_count: int = 0
    require_code_owner_reviews: bool = False
    dismiss_stale_reviews: bool = False
    require_last_push_approval: bool = False
    bypass: Annotated[dict[str, Any], BeforeValidator(lambda found: found or {})] = Field(
        default_factory=dict, validation_alias="bypass_pull_request_allowances"
    )
    """Lists of `users`, `teams` and `apps`."""


class StatusCheck(Answer):
    """A check that a merge requires; with `app_id` null or -1 any app may report it."""

    context: Text = ""
    app_id: int | None = None


class Branch(Answer):
    """A branch of the repository."""

    name: Text = ""
    protected: bool = False


class BranchProtection(Answer):
    """The classic protection of a branch, beside rulesets; `is_on` is False where there is none."""

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
    """Whether Actions may run, and which; `sha_pinning_required` is None where GitHub sends none."""

    enabled: bool = False
    allowed_actions: Text = ""
    sha_pinning_required: bool | None = None


class WorkflowPermissions(Answer):
    """The default permissions of a workflow's token."""

    default_workflow_permissions: Text = ""
    can_approve_pull_request_reviews: bool = False
