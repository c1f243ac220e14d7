"""Whether somebody may have seen the values of secrets that a push is about to set.

Everybody with write access can overwrite the secrets of GitHub's environments by its API, and no
comment shows a value. So a push gives a protected environment no other value than it has, but for
values of a SOPS file, which came by a pull request.
"""

from __future__ import annotations

from roost.errors import UnapprovedError
from roost.github.actions import Runner
from roost.operations.planning import Planned
from roost.plan.document import plan_digest
from roost.plan.secrets import unreviewed_values
from roost.plan.steps import SetSecrets
from roost.workflows.merges import PUSH


def check_values(runner: Runner, planned: Planned) -> None:
    """Hold a protected environment to the values that the last apply set, where a push started the run.

    Raises:
        UnapprovedError: a value that is to be set is another one, and comes from a variable.
    """
    if runner.event_name != PUSH:  # whoever started it was asked for the role, or for an approval
        return
    to_set = [n for step in planned.plan.steps if isinstance(step, SetSecrets) for n in step.names]
    found = unreviewed_values(planned.desired, planned.live, planned.values.found, to_set)
    if not found:
        return
    name = planned.file.name
    raise UnapprovedError(
        " ".join(
            f"secret/{secret}: its value in GitHub is another one than the last apply set, and "
            "nobody's review saw that."
            for secret in found
        ),
        where=name,
        advice=(
            "Nothing was changed. If the value is right, somebody with the role maintain or admin "
            f"runs the workflow Secrets for {name}, or, where more is to change, the deploy workflow "
            f"with the digest {plan_digest(planned.plan)}. Then run the failed job again."
        ),
    )
