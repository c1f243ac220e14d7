"""The secret values that plans and their gates need: whether each is here, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roost.apply.objects_step import objects_step
from roost.apply.secret_values import check_usable, missing_of, refuse_missing, require
from roost.apply.sops import Unread
from roost.environment.flow_units import login_name, split_name
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.planning import Planned
from roost.operations.secret_sources import complete_values, to_generate
from roost.plan.steps import SetSecrets
from roost.secret_text import SecretText


def secret_values(context: Context, target: Target, planned: Planned) -> Mapping[str, SecretText]:
    """Return the secret values that the plan and the gate need; generate a login for the local Fly.

    Raises:
        MissingSecretError: no source has a needed value.
        UnusableSecretError: a value has a wrong form.
    """
    check_usable(planned.values)
    refuse_missing(_missing(target, planned))
    needed = _needed(planned)
    made_up = needed & to_generate(target, planned.file, planned.values, planned.live)
    complete = complete_values(context, planned.file, planned.values, made_up)
    require(needed, complete)  # the login of a flow server is generated for its server alone
    return complete.found


def check_all_values(target: Target, plans: Iterable[Planned]) -> None:
    """Check that the values of all plans are here, before the first of them is applied.

    Args:
        target: the Fly, which says what may be generated.
        plans: the plans of an environment's server, and of what stands beside it.

    Raises:
        MissingSecretError: names each missing value of every plan, and whose it is.
        UnusableSecretError: a value has a wrong form.
    """
    changing = [planned for planned in plans if planned.plan.steps]
    for planned in changing:
        check_usable(planned.values)
        check_usable(planned.object_values)
    refuse_missing(
        {
            f"{name}{_owner(planned)}": why
            for planned in changing
            for name, why in _missing(target, planned).items()
        }
    )


def _owner(planned: Planned) -> str:
    """Return whose secret one is, where it is not the server's own."""
    return f" of {planned.file.name}" if split_name(planned.file.name)[1] else ""


def _needed(planned: Planned) -> frozenset[str]:
    """Return the names of the secrets that the plan sets, and of the login with which the gate logs in."""
    sets = {name for s in planned.plan.steps if isinstance(s, SetSecrets) for name in s.names}
    login = login_name(planned.file)
    return frozenset(sets | {login} if login else sets)


def _missing(target: Target, planned: Planned) -> dict[str, Unread]:
    """Return which values have no source and are not generated, and why."""
    needed = _needed(planned)
    made_up = needed & to_generate(target, planned.file, planned.values, planned.live)
    step = objects_step(planned.plan)
    of_objects = missing_of(step.sources, planned.object_values) if step else {}
    return {**missing_of(needed - made_up, planned.values), **of_objects}
