"""`roost github rollback`: a rollback in a workflow, which hands on what is live to the job that writes to git.

What is handed on is an output of the job: numbers and hashes, and nothing that anybody wrote.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roost.commands.releases import put_release_back
from roost.errors import ExitCode, UsageError
from roost.operations.context import Context
from roost.plan.resume import Recovery
from roost.workflows.job import need_runner

OUTPUT = "release"
LONGEST = 500
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_Number = Annotated[int, Field(ge=1, le=10**9)]


class PutBack(BaseModel):
    """A release that was put back: numbers and hashes, as the other job reads them.

    Args:
        live: the number of the release that is live now.
        origin: the number of the release that it puts back.
        commit: of that one, empty where it is not known.
        setup: the hash of what runs, as releases have it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    live: _Number
    origin: _Number
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]
    setup: Annotated[str, Field(pattern=r"^[0-9a-f]{0,64}$")]


async def rollback(context: Context, name: str, to: int | None) -> ExitCode:
    """Roll back as `roost rollback` does, and put out which release is live."""
    runner = need_runner(context)
    recovery, url = await put_release_back(context, name, to)
    found = put_back_by(recovery)
    runner.output(OUTPUT, found.model_dump_json())
    runner.output("sha", found.commit)
    runner.output("url", url)
    return ExitCode.DONE


def put_back_by(recovery: Recovery) -> PutBack:
    """Return what a rollback that was carried out put back."""
    origin = next((r for r in recovery.releases if r.number == recovery.back_to), None)
    known = origin is not None and _COMMIT.fullmatch(origin.git)
    return PutBack(
        live=recovery.releases[-1].number + 1,
        origin=recovery.back_to,
        commit=origin.git if origin and known else "",
        setup=origin.setup if origin else "",
    )


def read_put_back(text: str) -> PutBack:
    """Read what the job that rolled back put out.

    Raises:
        UsageError: it is something else.
    """
    try:
        return PutBack.model_validate_json(text[:LONGEST])
    except ValidationError:
        raise UsageError(
            "This names no release that was put back.",
            where="--release",
            advice="It is the output `release` of `roost github rollback`; press Roll back again.",
        ) from None
