"""The repository itself, its rules and environments, runs of workflows, and deployments."""

from __future__ import annotations

from helpers.fake_github import shapes
from helpers.fake_github.answers import Answer, Ask, RefusedError, check_length, not_found, paged
from helpers.fake_github.routes import route
from helpers.fake_github.state import Json, now

_STATUSES = {"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}


@route("GET", "", "metadata=read")
def get_repository(ask: Ask) -> Answer:
    """Give the repository."""
    return Answer(200, shapes.repository(ask))


# Branches


@route("GET", "branches/{branch*}/protection", "administration=read")
def get_protection(ask: Ask) -> Answer:
    """Give the older protection of a branch."""
    branch = _branch(ask)
    if branch not in ask.state.protection:
        raise not_found("Branch not protected")
    return Answer(200, ask.state.protection[branch])


@route("GET", "branches/{branch*}", "contents=read")
def get_branch(ask: Ask) -> Answer:
    """Give a branch."""
    branch = _branch(ask)
    sha = ask.state.git.head(branch) or ""
    is_protected = branch in ask.state.protection or bool(ask.state.rules.get(branch))
    return Answer(
        200, {"name": branch, "commit": shapes.commit(ask, sha), "protected": is_protected}
    )


def _branch(ask: Ask) -> str:
    if ask.state.git.head(ask.args["branch"]) is None:
        raise not_found("Branch not found")
    return ask.args["branch"]


@route("GET", "rules/branches/{branch*}", "metadata=read")
def list_rules(ask: Ask) -> Answer:
    """List the rules that hold for a branch, which need not be there."""
    branch = ask.args["branch"]
    source = {
        "ruleset_id": 7,
        "ruleset_source_type": "Repository",
        "ruleset_source": ask.state.repository,
    }
    found = [{**source, **rule} for rule in ask.state.rules.get(branch, [])]
    return paged(ask, f"rules/branches/{branch}", found, dict)


# Actions


@route("GET", "actions/workflows/{file}/runs", "actions=read")
def list_runs(ask: Ask) -> Answer:
    """List the runs of a workflow, the newest first."""
    file = ask.args["file"]
    path = f".github/workflows/{file}"
    head = ask.state.git.head(ask.state.default_branch)
    known = bool(head and ask.state.git.entries(head, path))
    mine = [run for run in ask.state.runs if run["path"] == path]
    if not known and not mine:
        raise not_found()

    def fits(run: Json) -> bool:
        branch, status = ask.query.get("branch"), ask.query.get("status")
        return (
            ask.query.get("event") in {None, "", run["event"]}
            and (not branch or branch == run["head_branch"])
            and (not status or status in {run["status"], run["conclusion"]})
        )

    shown = sorted(filter(fits, mine), key=lambda run: run["created_at"], reverse=True)
    where = f"actions/workflows/{file}/runs"
    return paged(ask, where, shown, dict, key="workflow_runs")


@route("GET", "actions/permissions", "administration=read")
def get_actions_permissions(ask: Ask) -> Answer:
    """Give which actions may run."""
    return Answer(200, ask.state.actions_permissions)


@route("GET", "actions/permissions/workflow", "administration=read")
def get_workflow_permissions(ask: Ask) -> Answer:
    """Give what a workflow's token may do by default."""
    return Answer(200, ask.state.workflow_permissions)


# Environments


@route("GET", "environments", "actions=read")
def list_environments(ask: Ask) -> Answer:
    """List environments."""
    names = list(ask.state.environments)
    return paged(ask, "environments", names, lambda n: shapes.environment(ask, n), "environments")


@route("GET", "environments/{name}", "actions=read")
def get_environment(ask: Ask) -> Answer:
    """Give an environment."""
    return Answer(200, shapes.environment(ask, _environment(ask)))


@route("GET", "environments/{name}/deployment-branch-policies", "actions=read")
def list_branch_policies(ask: Ask) -> Answer:
    """List the branches that may deploy to an environment."""
    name = _environment(ask)
    names = ask.state.environments[name]["branches"]
    path = f"environments/{name}/deployment-branch-policies"
    return paged(ask, path, names, lambda n: {"name": n, "type": "branch"}, "branch_policies")


@route("GET", "environments/{name}/secrets", "environments=read")
def list_secrets(ask: Ask) -> Answer:
    """List the names of an environment's secrets."""
    name = _environment(ask)
    names = sorted(ask.state.environments[name]["secrets"])
    stamp = shapes.stamp(now())
    told = {"created_at": stamp, "updated_at": stamp}
    return paged(
        ask, f"environments/{name}/secrets", names, lambda n: {"name": n, **told}, "secrets"
    )


def _environment(ask: Ask) -> str:
    if ask.args["name"] not in ask.state.environments:
        raise not_found()
    return ask.args["name"]


# Deployments


@route("GET", "deployments", "deployments=read")
def list_deployments(ask: Ask) -> Answer:
    """List deployments, the newest first."""
    wanted = {key: ask.query[key] for key in ("environment", "sha", "ref") if key in ask.query}
    shown = [
        found
        for found in reversed(ask.state.deployments.values())
        if all(found[key] == value for key, value in wanted.items())
    ]
    return paged(ask, "deployments", shown, _deployment)


@route("POST", "deployments", "deployments=write")
def create_deployment(ask: Ask) -> Answer:
    """Begin a deployment, where the commit's checks allow it."""
    ref = ask.text("ref", "Deployment")
    sha = ask.state.git.resolve(ref)
    if sha is None:
        raise RefusedError(422, f"No ref found for: {ref}")
    # Of a commit whose own run is still going on, not every check has passed.
    if ask.body.get("required_contexts") != []:
        raise RefusedError(409, f"Conflict: Commit status checks failed for {ref}.")
    environment = ask.body.get("environment", "production")
    made = {
        "id": ask.state.next_id(),
        "sha": sha,
        "ref": ref,
        "task": ask.body.get("task", "deploy"),
        "environment": environment,
        "original_environment": environment,
        "transient_environment": ask.body.get("transient_environment", False),
        "production_environment": ask.body.get(
            "production_environment", environment == "production"
        ),
        "description": ask.body.get("description"),
        "payload": ask.body.get("payload", {}),
        "creator": shapes.user(ask.account.login),
        "created_at": shapes.stamp(now()),
        "statuses": [],
    }
    ask.state.deployments[made["id"]] = made
    return Answer(201, _deployment(made))


@route("GET", "deployments/{id}/statuses", "deployments=read")
def list_statuses(ask: Ask) -> Answer:
    """List the statuses of a deployment, the newest first."""
    found = _find_deployment(ask)
    return paged(ask, f"deployments/{found['id']}/statuses", found["statuses"][::-1], dict)


@route("POST", "deployments/{id}/statuses", "deployments=write")
def create_status(ask: Ask) -> Answer:
    """Say how a deployment goes."""
    found, state = _find_deployment(ask), ask.text("state", "DeploymentStatus")
    if state not in _STATUSES:
        raise RefusedError(
            422, f"Invalid request.\n\n{state} is not a member of the list of states."
        )
    description = ask.body.get("description") or ""
    check_length("DeploymentStatus", "description", description, 140)
    made = {
        "id": ask.state.next_id(),
        "state": state,
        "description": description,
        "environment": found["environment"],
        "environment_url": ask.body.get("environment_url", ""),
        "log_url": ask.body.get("log_url", ""),
        "creator": shapes.user(ask.account.login),
        "created_at": shapes.stamp(now()),
    }
    if state == "success" and ask.body.get("auto_inactive", True):
        _end_others(ask, found)
    found["statuses"].append(made)
    return Answer(201, made)


def _end_others(ask: Ask, newer: Json) -> None:
    """End what succeeded before in the same environment, as GitHub documents `auto_inactive`."""
    for found in ask.state.deployments.values():
        lasting = found["transient_environment"] or found["production_environment"]
        same = found["environment"] == newer["environment"] and found is not newer
        if same and not lasting and found["statuses"][-1:] and _state(found) == "success":
            status = {**found["statuses"][-1], "id": ask.state.next_id(), "state": "inactive"}
            found["statuses"].append(status)


def _state(found: Json) -> str:
    return str(found["statuses"][-1]["state"])


def _find_deployment(ask: Ask) -> Json:
    found = ask.state.deployments.get(ask.number("id"))
    if found is None:
        raise not_found()
    return found


def _deployment(found: Json) -> Json:
    return {key: value for key, value in found.items() if key != "statuses"}
