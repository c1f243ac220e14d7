"""Rulesets, and the rules that hold for a branch.

Shapes: https://docs.github.com/rest/repos/rules.
"""

from __future__ import annotations

from helpers.fake_github.answers import Answer, Ask, RefusedError, not_found, paged
from helpers.fake_github.routes import route
from helpers.fake_github.state import Json


@route("GET", "rules/branches/{branch*}", "metadata=read")
def list_rules(ask: Ask) -> Answer:
    """List the rules of a branch, which may not exist."""
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
    """List rulesets, also disabled ones, without their rules and bypass actors."""
    hidden = {"rules", "bypass_actors", "conditions"}
    shown = [{k: v for k, v in found.items() if k not in hidden} for found in _rulesets(ask)]
    return paged(ask, "rulesets", shown, dict)


@route("GET", "rulesets/{id}", "metadata=read")
def get_ruleset(ask: Ask) -> Answer:
    """Return a ruleset; bypass actors are shown only to accounts that may change it."""
    found = _ruleset(ask)
    if not ask.account.may("administration", "write"):
        found = {key: value for key, value in found.items() if key != "bypass_actors"}
    return Answer(200, found)


@route("POST", "rulesets", "administration=write")
def create_ruleset(ask: Ask) -> Answer:
    """Create a ruleset with a unique name."""
    _check_ruleset(ask.body)
    if any(found["name"] == ask.body["name"] for found in _rulesets(ask)):
        raise RefusedError(422, "Validation Failed", ["Name must be unique"])
    number = ask.state.next_id()
    ask.state.rulesets[number] = _told(ask, number)
    return Answer(201, ask.state.rulesets[number])


@route("PUT", "rulesets/{id}", "administration=write")
def update_ruleset(ask: Ask) -> Answer:
    """Replace a ruleset."""
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
    """Refuse keys that are not in GitHub's schema: a misspelt one would be no rule at all."""
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
