"""`roost github rollback`: roll back in a workflow, and pass on the live release to the next jobs.

It is passed on as an output of the job, which has only numbers and hashes, and no text from anybody.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roost.commands.releases import put_release_back
from roost.errors import ExitCode, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.plan.resume import Recovery
from roost.workflows.job import need_runner

OUTPUT = "release"
LONGEST = 500
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_Number = Annotated[int, Field(ge=1, le=10**9)]


class PutBack(BaseModel):
    """A release that was rolled back to: numbers and hashes, as the next job reads them.

    Args:
        live: the number of the release that is live now.
        origin: the number of the release that it repeats.
        commit: the commit of that one; empty where it is not known.
        setup: the hash of its setup, as release records have it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    live: _Number
    origin: _Number
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]
    setup: Annotated[str, Field(pattern=r"^[0-9a-f]{0,64}$")]


async def rollback(context: Context, name: str, *, to: int | None) -> ExitCode:
    """Roll back as `roost rollback` does, and set the outputs with the live release."""
    runner = need_runner(context)
    recovery, url = await put_release_back(context, name, to)
    found = put_back_by(recovery)
    runner.output(OUTPUT, found.model_dump_json())
    runner.output("sha", found.commit)
    runner.output("url", url)
    return ExitCode.DONE


def put_back_by(recovery: Recovery) -> PutBack:
    """Return the release that a finished rollback went back to."""
    origin = next((r for r in recovery.releases if r.number == recovery.back_to), None)
    known = origin is not None and _COMMIT.fullmatch(origin.git)
    return PutBack(
        live=recovery.releases[-1].number + 1,
        origin=recovery.back_to,
        commit=origin.git if origin and known else "",
        setup=origin.setup if origin else "",
    )


def read_put_back(text: str) -> PutBack:
    """Read the output of the job that rolled back.

    Raises:
        UsageError: the text is something else.
    """
    try:
        return PutBack.model_validate_json(text[:LONGEST])
    except ValidationError:
        raise UsageError(
            "This is no output of a rollback.",
            where="--release",
            advice=f"Give the output `release` of `{Command('github', 'rollback')}`; or run the workflow Roll back again.",
        ) from None
