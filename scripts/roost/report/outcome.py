"""What came of a deploy, as one job writes it and another one reads it. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roost.errors import BadDocumentError, ExitCode, RoostError

Text = Annotated[str, Field(max_length=20_000)]
Short = Annotated[str, Field(max_length=500)]


class Result(StrEnum):
    """What came of it, in a word."""

    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    """Nothing was changed: it was not approved, or cannot be applied."""
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    NOT_ROLLED_BACK = "not-rolled-back"
    MISSING = "missing"
    """No job told anything: it was rejected, skipped, cut short, or failed before it could."""

    @property
    def good(self) -> bool:
        """Whether nobody has to do anything."""
        return self in {Result.DEPLOYED, Result.UNCHANGED, Result.SUPERSEDED}


class DeployOutcome(BaseModel):
    """What came of one environment's deploy."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = Field(default=1, ge=1, le=1)
    environment: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    app: Short = ""
    outcome: Result
    word: Short = ""
    """The machine word of what went wrong."""
    message: Text = ""
    """What went wrong, and what to do; empty where nothing did."""
    url: Short = ""
    digest: Short = ""
    """Of the plan that was carried out, or that would have been."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    run_url: Short = ""
    at: Short = ""
    """When it ended, in UTC as RFC 3339 writes it."""
    unproved: bool = False
    """Whether it was deployed to a server that sleeps, and that no gate has seen since."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return self.model_dump(mode="json")

    def short_document(self) -> dict[str, Any]:
        """Return the same without what a reader knows: defaults, and which environment it is of."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"environment"})


_NO_WORD = (
    "It was rejected, skipped or cut short, or failed before it could tell. "
    "See why in the run, then run its failed jobs again."
)
_NO_JOB = "GitHub starts no more jobs from one list, so the run had none for it. Run the deploy workflow for it."


def missing(environment: str, run_url: str, *, had_job: bool = True) -> DeployOutcome:
    """Return what stands for the outcome of a job that left none, or that never was."""
    return DeployOutcome(
        environment=environment,
        outcome=Result.MISSING,
        message=_NO_WORD if had_job else _NO_JOB,
        run_url=run_url,
    )


def read_outcome(document: object, where: str) -> DeployOutcome:
    """Read what another job wrote.

    Raises:
        BadDocumentError: it is something else.
    """
    try:
        return DeployOutcome.model_validate(document)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise BadDocumentError(
            f"It is no outcome of a deploy: {place or 'all of it'} is not as it should be.",
            where=where,
        ) from error


_BY_CODE = {
    ExitCode.ROLLED_BACK: Result.ROLLED_BACK,
    ExitCode.NOT_ROLLED_BACK: Result.NOT_ROLLED_BACK,
    ExitCode.BAD_INPUT: Result.REFUSED,
}
_REFUSED = frozenset({"plan-changed", "not-planned", "not-proved", "changed-meanwhile"})


def result_of(error: RoostError) -> Result:
    """Say in a word what a failure of an apply left."""
    if error.word == "superseded":
        return Result.SUPERSEDED
    if error.word in _REFUSED:
        return Result.REFUSED
    return _BY_CODE.get(ExitCode(error.exit_code), Result.FAILED)
