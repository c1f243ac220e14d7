"""Check the rules of main: what a writer could do alone, and who may bypass them.

Shapes: https://docs.github.com/rest/repos/rules and https://docs.github.com/rest/branches/branch-protection.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from roost.doctor.check import Check, missing, ok, unknown
from roost.errors import RoostError
from roost.errors.command import Command
from roost.github.api import GitHub
from roost.github.settings_models import BranchProtection, BranchRule, BypassActor, Ruleset
from roost.report.setup import RULESETS, create_ruleset, update_ruleset

MAIN = "main"
"""The branch whose pushes the workflows deploy."""
REQUIRED = ("Checks passed", "Plan passed")
"""The jobs of checks.yml and plan.yml that a merge must require."""
ACTIONS_APP = 15368
"""The id of the App GitHub Actions in rules about checks."""
ADMIN = 5
"""The id of the repository role `admin`; others are 2 (maintain), 4 (write) and custom ones."""
BASE, REVIEW = RULESETS
AS_ADMIN = (
    f'as an admin of the repository: GITHUB_TOKEN="$(gh auth token)" {Command("doctor").typed}'
)

# Keys of requirements for a merge; required checks have their names as keys.
PULL, FORCE, DELETE, STRICT = "pull", "force", "delete", "strict"
COUNT, OWNER, STALE, LAST = "count", "owner", "stale", "last"
# A bypass of the classic protection: actors that need no pull request, but whose push needs the checks.
_PAST_PULLS = "bypass_pull_request_allowances"
_ROLES = {2: "everybody with the role maintain", 4: "everybody with write access"}


@dataclass(frozen=True)
class Need:
    """One requirement for a merge."""

    key: str
    without: str
    """What is possible where nothing requires it."""
    ruleset: str


NEEDS = (
    Need(PULL, f"a writer can push to {MAIN}: no rule requires a pull request", BASE),
    Need(FORCE, f"a writer can force-push to {MAIN}: there is no rule non_fast_forward", BASE),
    Need(DELETE, f"a writer can delete {MAIN}: there is no rule deletion", BASE),
    *(
        need
        for name in REQUIRED
        for need in (
            Need(name, f"a writer can merge before `{name}`: it is no required check", BASE),
            Need(
                f"{name} by Actions",
                f"a writer can post success for `{name}` themselves: its integration_id is not "
                f"{ACTIONS_APP} (GitHub Actions)",
                BASE,
            ),
        )
    ),
    Need(
        STRICT,
        f"a writer can merge what was checked against an older {MAIN}: "
        "strict_required_status_checks_policy is off",
        BASE,
    ),
    Need(
        COUNT,
        "a writer can merge without an approval: required_approving_review_count is 0",
        REVIEW,
    ),
    Need(
        OWNER,
        "a writer can merge a change of workflows or protected environments that no code owner "
        "approved: require_code_owner_review is off",
        REVIEW,
    ),
    Need(
        STALE,
        "a writer can change a pull request after its approval: dismiss_stale_reviews_on_push is off",
        REVIEW,
    ),
    Need(
        LAST,
        "a writer can approve a pull request after pushing to it: require_last_push_approval is off",
        REVIEW,
    ),
)
CHECKED = frozenset({STRICT, *REQUIRED, *(f"{name} by Actions" for name in REQUIRED)})
REVIEWED = frozenset({COUNT, OWNER, STALE, LAST})


@dataclass(frozen=True)
class Source:
    """One ruleset, or the classic protection: its requirements and its bypass actors.

    Args:
        name: for people.
        met: the keys of its requirements.
        actors: who may bypass it; None where the token may not read that.
        mend: the command that corrects it.
    """

    name: str
    met: frozenset[str]
    actors: tuple[BypassActor, ...] | None
    mend: str


async def rule_checks(github: GitHub) -> tuple[Check, ...]:
    """Read the rules of main, and report each thing that one writer could do alone."""
    try:
        rules = await github.branch_rules(MAIN)
        protection = await github.branch_protection(MAIN)
        known = await github.rulesets()
        numbers = dict.fromkeys(rule.ruleset_id for rule in rules)
        whole = {number: await github.ruleset(number) for number in numbers if number}
    except RoostError as error:
        return (unknown(f"the rules of {MAIN} could not be read: {error}"),)
    sources = rulesets_of(rules, whole)
    if protection is None and not rules:
        return (unknown(f"the protection of {MAIN} cannot be read with this token", AS_ADMIN),)
    if protection and protection.is_on and missed(sources):
        sources = (*sources, protection_of(protection))
    return (*_idle(known, numbers), *judged(sources, known))


def judged(sources: tuple[Source, ...], known: Iterable[Ruleset]) -> Iterator[Check]:
    """Report missing requirements, and who may bypass the rules."""
    lacking = missed(sources)
    for need in lacking:
        yield missing(need.without, _mend(need.ruleset, known))
    if not lacking:
        yield ok(
            f"{MAIN} takes pull requests only, checked by Actions and approved by a code owner"
        )
    past = [*_bypasses(sources)]
    yield from past
    if sources and not past:
        admin = any(_is_admin(actor) for source in sources for actor in source.actors or ())
        but = ", but an admin may merge without an approval" if admin else ""
        yield ok(f"nobody bypasses the rules of {MAIN}{but}")


def missed(sources: Iterable[Source]) -> tuple[Need, ...]:
    """Return the requirements that no source has, without those that follow from a missing one."""
    met = {key for source in sources for key in source.met}
    left = [need for need in NEEDS if need.key not in met]
    absent = {need.key for need in left}
    return tuple(
        need
        for need in left
        if need.key.removesuffix(" by Actions") not in absent - {need.key}
        and not (need.key in REVIEWED - {COUNT} and COUNT in absent)
        and not (need.key == STRICT and absent >= {*REQUIRED})
    )


def rulesets_of(
    rules: Iterable[BranchRule], whole: Mapping[int, Ruleset | None]
) -> tuple[Source, ...]:
    """Return each ruleset of main, with the requirements of its rules."""
    met: dict[int, set[str]] = {}
    for rule in rules:
        met.setdefault(rule.ruleset_id, set()).update(_met_by(rule))
    return tuple(_ruleset(number, keys, whole.get(number)) for number, keys in met.items())


def _ruleset(number: int, met: Iterable[str], found: Ruleset | None) -> Source:
    name = found.name if found and found.name else str(number)
    ours = found is not None and found.source_type in {"", "Repository"} and name in RULESETS
    mend = shlex.join(
        update_ruleset(number, RULESETS[name])
        if ours
        else ("gh", "ruleset", "view", str(number), "--web")
    )
    actors = found.bypass_actors if found else None
    return Source(f"the ruleset `{name}`", frozenset(met), actors, mend)


def _met_by(rule: BranchRule) -> Iterator[str]:
    asked = rule.parameters
    if rule.type == "pull_request":
        yield PULL
        count = asked.get("required_approving_review_count")
        if isinstance(count, int) and count > 0:
            yield COUNT
            yield from _on(asked, _REVIEW_PARAMETERS)
    elif rule.type == "required_status_checks":
        yield from _checks(asked.get("required_status_checks"), "integration_id")
        yield from _on(asked, {"strict_required_status_checks_policy": STRICT})
    else:
        yield from {"non_fast_forward": (FORCE,), "deletion": (DELETE,)}.get(rule.type, ())


_REVIEW_PARAMETERS = {
    "require_code_owner_review": OWNER,
    "dismiss_stale_reviews_on_push": STALE,
    "require_last_push_approval": LAST,
}


def _on(asked: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    return (key for name, key in names.items() if asked.get(name) is True)


def _checks(found: Any, app: str) -> Iterator[str]:
    for check in found if isinstance(found, list) else []:
        if isinstance(check, dict) and check.get("context") in REQUIRED:
            yield check["context"]
            if check.get(app) == ACTIONS_APP:
                yield f"{check['context']} by Actions"


def protection_of(found: BranchProtection) -> Source:
    """Return the requirements of the classic protection of a branch."""
    met = {
        key
        for key, allowed in {FORCE: found.force_pushes, DELETE: found.deletions}.items()
        if not allowed
    }
    if reviews := found.reviews:
        met.add(PULL)
        asked = {
            OWNER: reviews.require_code_owner_reviews,
            STALE: reviews.dismiss_stale_reviews,
            LAST: reviews.require_last_push_approval,
        }
        if reviews.required_approving_review_count > 0:
            met |= {COUNT, *(key for key, is_on in asked.items() if is_on)}
    checks = [check.model_dump() for check in found.checks]
    met |= {*_checks(checks, "app_id"), *(name for name in found.status_checks if name in REQUIRED)}
    met |= {STRICT} if found.strict else set()
    actors = [BypassActor(actor_type="RepositoryRole", actor_id=ADMIN)] * (not found.for_admins)
    for kind, actor in (("users", "User"), ("teams", "Team"), ("apps", "Integration")):
        listed = reviews.bypass.get(kind) if reviews else None
        actors += [
            BypassActor(actor_type=actor, actor_id=one.get("id"), bypass_mode=_PAST_PULLS)
            for one in (listed if isinstance(listed, list) else [])
            if isinstance(one, dict)
        ]
    mend = (
        "gh browse --settings, then Branches: enforce it for administrators, let nobody bypass it"
    )
    return Source(f"the branch protection of {MAIN}", frozenset(met), tuple(actors), mend)


def _bypasses(sources: tuple[Source, ...]) -> Iterator[Check]:
    for source in sources:
        if source.actors is None and source.met:
            yield unknown(
                f"who bypasses {source.name} cannot be read with this token, only by an admin",
                AS_ADMIN,
            )
        for actor in source.actors or ():
            if escaped := _escaped(actor, source, sources):
                yield missing(
                    f"{_who(actor)} can {_deed(escaped)}: {source.name} lets them bypass it "
                    f"({actor.bypass_mode})",
                    source.mend,
                )


def _escaped(actor: BypassActor, source: Source, sources: Iterable[Source]) -> frozenset[str]:
    """Return the requirements that an actor bypasses, and that no other source makes."""
    others = (other for other in sources if not _lets(other, actor))
    kept = frozenset(key for other in others for key in other.met)
    if actor.bypass_mode == _PAST_PULLS:
        return (source.met & (REVIEWED | {PULL})) - kept
    if actor.bypass_mode != "pull_request":
        return source.met - kept
    # In this mode a pull request is still needed, and pushes stay forbidden.
    escaped = (source.met & (CHECKED | REVIEWED)) - kept
    return escaped - REVIEWED if _is_admin(actor) else escaped


def _lets(source: Source, actor: BypassActor) -> bool:
    known = [(one.actor_type, one.actor_id) for one in source.actors or ()]
    return source.actors is None or (actor.actor_type, actor.actor_id) in known


def _is_admin(actor: BypassActor) -> bool:
    is_role = (actor.actor_type, actor.actor_id) == ("RepositoryRole", ADMIN)
    return is_role or actor.actor_type == "OrganizationAdmin"


def _who(actor: BypassActor) -> str:
    number = actor.actor_id
    if _is_admin(actor):
        return "every admin"
    if actor.actor_type == "RepositoryRole":
        return _ROLES.get(number or 0, f"everybody with the role {number}")
    if actor.actor_type == "DeployKey":
        return "every deploy key"
    return {
        "Team": f"the team {number}",
        "Integration": f"the App {number}",
        "User": f"the person {number}",
    }.get(actor.actor_type, f"{actor.actor_type} {number}")


def _deed(escaped: frozenset[str]) -> str:
    if PULL in escaped:
        return f"push to {MAIN} without a pull request"
    if escaped & CHECKED:
        return "merge a pull request whose checks failed"
    if escaped & REVIEWED:
        return "merge a pull request that nobody approved"
    return f"delete {MAIN}, or force-push to it"


def _idle(known: Iterable[Ruleset], in_force: Iterable[int]) -> Iterator[Check]:
    """Report rulesets of the template that are disabled, or apply to another branch."""
    numbers = {*in_force}
    for found in known:
        if found.name not in RULESETS or found.id in numbers:
            continue
        mend = shlex.join(update_ruleset(found.id, RULESETS[found.name]))
        if found.enforcement == "active":
            what = f"the ruleset `{found.name}` does not apply to {MAIN}: it names other branches"
        else:
            what = f"the ruleset `{found.name}` is not enforced: its enforcement is {found.enforcement}"
        yield missing(what, mend)


def _mend(name: str, known: Iterable[Ruleset]) -> str:
    """Return the command that corrects or creates a ruleset of the template."""
    file = RULESETS[name]
    ids = [
        found.id for found in known if found.name == name and found.source_type != "Organization"
    ]
    return shlex.join(update_ruleset(ids[0], file) if ids else create_ruleset(file))
