"""The repository itself, its rules, secrets and environments, runs of workflows, and deployments."""

from __future__ import annotations

from helpers.fake_github import shapes
from helpers.fake_github.answers import Answer, Ask, RefusedError, check_length, not_found, paged
from helpers.fake_github.routes import route
from helpers.fake_github.state import Json, now

_STATUSES = {"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}


@route("GET", "", "metadata=read")
def get_repository(ask: Ask) -> Answer:
    """Return the repository."""
    return Answer(200, shapes.repository(ask))


# Branches


@route("GET", "branches/{branch*}/protection", "administration=read")
def get_protection(ask: Ask) -> Answer:
    """Return the older protection of a branch."""
    branch = _branch(ask)
    if branch not in ask.state.protection:
        raise not_found("Branch not protected")
    return Answer(200, ask.state.protection[branch])


@route("GET", "branches/{branch*}", "contents=read")
def get_branch(ask: Ask) -> Answer:
    """Return a branch."""
    branch = _branch(ask)
    sha = ask.state.git.head(branch) or ""
    told = {"commit": shapes.commit(ask, sha), "protected": _is_protected(ask, branch)}
    return Answer(200, {"name": branch, **told})


@route("GET", "branches", "contents=read")
def list_branches(ask: Ask) -> Answer:
    """List branches; all, or those that are protected or not."""
    wanted = ask.query.get("protected")
    names = [
        name
        for name in ask.state.git.branches()
        if wanted in {None, "true" if _is_protected(ask, name) else "false"}
    ]
    told = {"protected": wanted == "true"}
    return paged(ask, "branches", names, lambda name: {"name": name, **told})


def _is_protected(ask: Ask, branch: str) -> bool:
    return branch in ask.state.protection or bool(ask.state.rules_of(branch))


def _branch(ask: Ask) -> str:
    if ask.state.git.head(ask.args["branch"]) is None:
        raise not_found("Branch not found")
    return ask.args["branch"]


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


@route("GET", "actions/workflows/{file}", "actions=read")
def get_workflow(ask: Ask) -> Answer:
    """Return a workflow, which exists once the default branch has its file."""
    file = ask.args["file"]
    path = f".github/workflows/{file}"
    head = ask.state.git.head(ask.state.default_branch)
    if not head or not ask.state.git.entries(head, path):
        raise not_found()
    return Answer(200, {"id": 1, "name": file, "path": path, "state": "active"})


@route("GET", "actions/permissions", "administration=read")
def get_actions_permissions(ask: Ask) -> Answer:
    """Return which actions may run."""
    return Answer(200, ask.state.actions_permissions)


@route("GET", "actions/permissions/workflow", "administration=read")
def get_workflow_permissions(ask: Ask) -> Answer:
    """Return what a workflow's token may do by default."""
    return Answer(200, ask.state.workflow_permissions)


@route("PUT", "actions/permissions/workflow", "administration=write")
def set_workflow_permissions(ask: Ask) -> Answer:
    """Return what a workflow's token may do by default."""
    known = {"default_workflow_permissions": str, "can_approve_pull_request_reviews": bool}
    for key, value in ask.body.items():
        if not isinstance(value, known.get(key, ())):
            raise RefusedError(422, f"Invalid request.\n\nFor 'properties/{key}', {value}.")
    ask.state.workflow_permissions |= ask.body
    return Answer(204)


@route("GET", "actions/secrets", "secrets=read")
def list_repository_secrets(ask: Ask) -> Answer:
    """List the names of the secrets that every workflow of the repository may use."""
    return _secrets(ask, "actions/secrets", ask.state.repository_secrets)


@route("GET", "actions/organization-secrets", "secrets=read")
def list_organization_secrets(ask: Ask) -> Answer:
    """List the names of the organization's secrets that the repository may use."""
    return _secrets(ask, "actions/organization-secrets", ask.state.organization_secrets)


@route("GET", "actions/runners", "administration=read")
def list_runners(ask: Ask) -> Answer:
    """List the self-hosted runners of the repository itself."""
    told = {"os": "linux", "status": "online", "busy": False, "labels": []}
    found = list(enumerate(ask.state.runners, 1))
    return paged(
        ask, "actions/runners", found, lambda one: {"id": one[0], "name": one[1], **told}, "runners"
    )


@route("GET", "actions/variables/{name}", "actions_variables=read")
def get_variable(ask: Ask) -> Answer:
    """Return one of the repository's variables, which everybody with write access can set."""
    name = ask.args["name"].upper()
    if name not in ask.state.variables:
        raise not_found()
    at = shapes.stamp(now())
    value = ask.state.variables[name]
    return Answer(200, {"name": name, "value": value, "created_at": at, "updated_at": at})


@route("GET", "actions/runs/{id}/approvals", "actions=read")
def list_reviews(ask: Ask) -> Answer:
    """List the reviews of a run, on one page."""
    if ask.number("id") not in ask.state.reviews:
        raise not_found()
    return Answer(200, ask.state.reviews[ask.number("id")])


# People


@route("GET", "collaborators/{login}/permission", "metadata=read")
def get_permission(ask: Ask) -> Answer:
    """Return the permission of an account: none for a bot, 404 for an unknown name."""
    login = ask.args["login"].casefold()
    bot = "none" if login.endswith("[bot]") else ""
    known = {name.casefold(): (name, role) for name, role in ask.state.roles.items()}
    if login not in known and not bot:
        raise not_found()
    return Answer(200, shapes.collaborator(ask, *known.get(login, (login, bot))))


# Environments


@route("GET", "environments", "actions=read")
def list_environments(ask: Ask) -> Answer:
    """List environments."""
    names = list(ask.state.environments)
    return paged(ask, "environments", names, lambda n: shapes.environment(ask, n), "environments")


@route("GET", "environments/{name}", "actions=read")
def get_environment(ask: Ask) -> Answer:
    """Return an environment."""
    return Answer(200, shapes.environment(ask, _environment(ask)))


@route("GET", "environments/{name}/deployment-branch-policies", "actions=read")
def list_branch_policies(ask: Ask) -> Answer:
    """List the branches that may deploy to an environment."""
    name = _environment(ask)
    policies = ask.state.environments[name]["branches"]
    path = f"environments/{name}/deployment-branch-policies"
    return paged(ask, path, list(enumerate(policies, 1)), _policy, "branch_policies")


def _policy(found: tuple[int, str]) -> Json:
    """Return a policy in GitHub's form; names of tags begin with refs/tags/ here."""
    number, name = found
    is_tag = name.startswith("refs/tags/")
    told = {"name": name.removeprefix("refs/tags/"), "type": "tag" if is_tag else "branch"}
    return {"id": number, "node_id": f"GP_{number}", **told}


@route("POST", "environments/{name}/deployment-branch-policies", "administration=write")
def create_branch_policy(ask: Ask) -> Answer:
    """Let a branch deploy to an environment that is restricted to named branches."""
    known = ask.state.environments[_environment(ask)]
    policy = known["deployment_branch_policy"]
    if not policy or not policy["custom_branch_policies"]:
        raise not_found()
    if ask.body["name"] in known["branches"]:
        return Answer(303)
    known["branches"].append(ask.body["name"])
    return Answer(200, _policy((len(known["branches"]), ask.body["name"])))


@route("PUT", "environments/{name}", "administration=write")
def put_environment(ask: Ask) -> Answer:
    """Create an environment, or change its protection; fields that are left out are reset."""
    name, policy = ask.args["name"], ask.body.get("deployment_branch_policy")
    if policy and policy["protected_branches"] == policy["custom_branch_policies"]:
        raise RefusedError(422, "Invalid request.\n\nOne of the two policies has to be chosen.")
    before = ask.state.environments.get(name, {"secrets": [], "branches": []})
    people = [
        {"type": one["type"], "reviewer": {"login": "alice", "id": one["id"]}}
        for one in ask.body.get("reviewers") or ()
    ]
    rules: list[Json] = [{"id": 1, "type": "branch_policy"}] if policy else []
    if people:
        is_other = bool(ask.body.get("prevent_self_review"))
        reviewed = {"prevent_self_review": is_other, "reviewers": people}
        rules.append({"id": 2, "type": "required_reviewers", **reviewed})
    made = {"protection_rules": rules, "deployment_branch_policy": policy}
    ask.state.environments[name] = {**before, **made}
    return Answer(200, shapes.environment(ask, name))


@route("GET", "environments/{name}/secrets", "environments=read")
def list_secrets(ask: Ask) -> Answer:
    """List the names of an environment's secrets."""
    name = _environment(ask)
    names = ask.state.environments[name]["secrets"]
    return _secrets(ask, f"environments/{name}/secrets", names)


@route("PUT", "environments/{name}/secrets/{secret}", "environments=write")
def put_secret(ask: Ask) -> Answer:
    """Store the name of a secret; its encrypted value is not kept."""
    names = ask.state.environments[_environment(ask)]["secrets"]
    if ask.args["secret"] in names:
        return Answer(204)
    names.append(ask.args["secret"])
    return Answer(201, {})


@route("DELETE", "environments/{name}/secrets/{secret}", "environments=write")
def delete_secret(ask: Ask) -> Answer:
    """Remove a secret of an environment."""
    return _without(ask, ask.state.environments[_environment(ask)]["secrets"])


@route("DELETE", "actions/secrets/{secret}", "secrets=write")
def delete_repository_secret(ask: Ask) -> Answer:
    """Remove a secret of the repository."""
    return _without(ask, ask.state.repository_secrets)


@route("DELETE", "environments/{name}/deployment-branch-policies/{id}", "administration=write")
def delete_branch_policy(ask: Ask) -> Answer:
    """Remove a branch policy of an environment."""
    policies = ask.state.environments[_environment(ask)]["branches"]
    if not 1 <= ask.number("id") <= len(policies):
        raise not_found()
    del policies[ask.number("id") - 1]
    return Answer(204)


def _without(ask: Ask, names: list[str]) -> Answer:
    if ask.args["secret"] not in names:
        raise not_found()
    names.remove(ask.args["secret"])
    return Answer(204)


def _secrets(ask: Ask, path: str, names: list[str]) -> Answer:
    stamp = shapes.stamp(now())
    told = {"created_at": stamp, "updated_at": stamp}
    return paged(ask, path, sorted(names), lambda n: {"name": n, **told}, "secrets")


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
    """Create a deployment, if the commit's checks allow it."""
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
    """Add a status to a deployment."""
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
    """Mark earlier deployments of the environment as inactive, as GitHub documents `auto_inactive`."""
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
