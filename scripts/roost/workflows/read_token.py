"""The Fly token that only reads, which the GitHub environment `plan` holds for plans and for drift."""

from __future__ import annotations

from roost.errors import MissingTokenError
from roost.github.actions import runner_of
from roost.operations.context import Context


def need_read_token(context: Context) -> None:
    """See that a workflow has its token; elsewhere, whoever needs one says so.

    Raises:
        MissingTokenError: the job was given none.
    """
    if runner_of(context.environ) and not context.environ.get("FLY_API_TOKEN"):
        raise MissingTokenError(
            "The GitHub environment `plan` has no secret FLY_API_TOKEN, so nobody can look at Fly.",
            where="FLY_API_TOKEN",
            advice=(
                "Make one that only reads: `fly tokens create readonly ORGANIZATION -n roost-plan -x 720h "
                "| gh secret set FLY_API_TOKEN --env plan`"
            ),
        )
