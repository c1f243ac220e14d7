"""What a job needs before it can begin: a runner, and where it only reads, the token for that."""

from __future__ import annotations

from roost.errors import MissingTokenError, UsageError
from roost.errors.command import Command
from roost.github.actions import Runner, runner_of
from roost.operations.context import Context


def need_runner(context: Context) -> Runner:
    """Return the runner of this step.

    Raises:
        UsageError: this is no run of a workflow.
    """
    runner = runner_of(context.environ)
    if runner is None:
        raise UsageError(
            "This command runs only in a workflow of GitHub.",
            advice=f"See what it does: {Command('github', '--help')}",
        )
    return runner


def need_read_token(context: Context) -> None:
    """Check that a job has the read-only token, which the GitHub environment `plan` holds.

    Outside of a job nothing is checked: there each command checks for the token it uses.

    Raises:
        MissingTokenError: this is a job, and it has no token.
    """
    if runner_of(context.environ) and not context.environ.get("FLY_API_TOKEN"):
        raise MissingTokenError(
            "The GitHub environment `plan` has no secret FLY_API_TOKEN, so this job cannot read from Fly.",
            where="FLY_API_TOKEN",
            advice=(
                "Create a read-only token: `fly tokens create readonly ORGANIZATION -n roost-plan -x 720h "
                "| gh secret set FLY_API_TOKEN --env plan`"
            ),
        )
