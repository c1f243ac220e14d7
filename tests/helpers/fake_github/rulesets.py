"""Rulesets, and the rules that hold for a branch.

Shapes: https://docs.github.com/rest/repos/rules.
"""

from __future__ import annotations

from helpers.fake_github.answers import Answer, Ask, RefusedError, not_found, paged
from helpers.fake_github.routes import route
from helpers.fake_github.state import Json


@route("GET", "rules/branches/{branch*}", "metadata=read")
def list_rules(ask: Ask) -> Answer:
    """List the rules that hold for a branch, which need not be there."""
    branch = ask.args["branch"]
    return paged(ask, f"rules/branches/{branch}", ask.state.rules_of(branch), dict)


_PULL_REQUEST = {
    "dismiss_stale_reviews_on_push": bool,
    "require_code_owner_review": bool,
    "require_last_push_approval": bool,
    "required_approving_review_count": int,
    "required_review_thread_resolution": bool,
}
_MODES = {"always", "pull_request", "exempt"}
_ACTORS = {"Integration", "OrganizationAdmin", "RepositoryRole", "Team", "DeployKey", "User"}


@route("GET", "rulesets", "metadata=read")
def list_rulesets(ask: Ask) -> Answer:
    """List rulesets, also those that are off; without rules and without who may bypass them."""
    hidden = {"rules", "bypass_actors", "conditions"}
    shown = [{k: v for k, v in found.items() if k not in hidden} for found in _rulesets(ask)]
    return paged(ask, "rulesets", shown, dict)


@route("GET", "rulesets/{id}", "metadata=read")
def get_ruleset(ask: Ask) -> Answer:
    """Return a ruleset; who may bypass it is shown only to who may change it."""
    found = _ruleset(ask)
    if not ask.account.may("administration", "write"):
        found = {key: value for key, value in found.items() if key != "bypass_actors"}
    return Answer(200, found)


@route("POST", "rulesets", "administration=write")
def create_ruleset(ask: Ask) -> Answer:
    """Make a ruleset; its name is its own in the repository."""
    _check_ruleset(ask.body)
    if any(found["name"] == ask.body["name"] for found in _rulesets(ask)):
        raise RefusedError(422, "Validation Failed", ["Name must be unique"])
    number = ask.state.next_id()
    ask.state.rulesets[number] = _told(ask, number)
    return Answer(201, ask.state.rulesets[number])


@route("PUT", "rulesets/{id}", "administration=write")
def update_ruleset(ask: Ask) -> Answer:
    """Put another ruleset in the place of one."""
    number = _ruleset(ask)["id"]
    _check_ruleset(ask.body)
    ask.state.rulesets[number] = _told(ask, number)
    return Answer(200, ask.state.rulesets[number])


def _rulesets(ask: Ask) -> list[Json]:
    return list(ask.state.rulesets.values())


def _ruleset(ask: Ask) -> Json:
    found = ask.state.rulesets.get(ask.number("id"))
    if found is None:
        raise not_found()
    return found


def _told(ask: Ask, number: int) -> Json:
    source = {"source_type": "Repository", "source": ask.state.repository}
    return {"id": number, "target": "branch", "bypass_actors": [], **ask.body, **source}


def _check_ruleset(body: Json) -> None:
    """Refuse what GitHub's schema does not have: a wrong key would else be a rule that is not there."""
    known = {"name", "target", "enforcement", "bypass_actors", "conditions", "rules"}
    wrong = {*body} - known
    wrong |= {"name", "enforcement"} - {*body}
    if body.get("enforcement") not in {"active", "evaluate", "disabled"}:
        wrong.add("enforcement")
    for actor in body.get("bypass_actors", []):
        if actor["actor_type"] not in _ACTORS or actor["bypass_mode"] not in _MODES:
            wrong.add("bypass_actors")
    for rule in body.get("rules", []):
        given = rule.get("parameters", {})
        if rule["type"] == "pull_request":
            fits = {key: type(value) for key, value in given.items()} == _PULL_REQUEST
        elif rule["type"] == "required_status_checks":
            checks = given.get("required_status_checks", [])
            fits = type(given.get("strict_required_status_checks_policy")) is bool and all(
                {"context"} <= {*check} <= {"context", "integration_id"} for check in checks
            )
        else:
            fits = rule["type"] in {"deletion", "non_fast_forward", "creation", "update"}
        if not fits:
            wrong.add(rule["type"])
    if wrong:
        raise RefusedError(422, "Validation Failed", sorted(wrong))
