"""The outcome of a deploy, which one job writes and another reads. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roost.errors import BadDocumentError, ExitCode, RoostError

Text = Annotated[str, Field(max_length=20_000)]
Short = Annotated[str, Field(max_length=500)]
_AWAITED = frozenset({"plan-changed", "not-planned"})


class Result(StrEnum):
    """The outcome of a deploy, in a word."""

    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    """Nothing was changed: the plan was not approved, or cannot be applied."""
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    NOT_ROLLED_BACK = "not-rolled-back"
    MISSING = "missing"
    """No job reported an outcome: it was rejected, skipped, interrupted, or failed before that."""

    @property
    def good(self) -> bool:
        """Whether nobody has to act."""
        return self in {Result.DEPLOYED, Result.UNCHANGED, Result.SUPERSEDED}


class DeployOutcome(BaseModel):
    """The outcome of one environment's deploy."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = Field(default=1, ge=1, le=1)
    environment: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    app: Short = ""
    outcome: Result
    word: Short = ""
    """The word of the error, for scripts."""
    message: Text = ""
    """What went wrong and what to do next; empty if nothing did."""
    url: Short = ""
    digest: Short = ""
    """The digest of the plan, carried out or not."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    run_url: Short = ""
    at: Short = ""
    """When it ended, as RFC 3339 in UTC."""
    unproved: bool = False
    """Whether it was deployed to a sleeping server, so that no gate has run yet."""
    left: Annotated[tuple[Short, ...], Field(max_length=50)] = ()
    """The server or flow servers that stay as they are, as somebody approved the plan of another."""

    @property
    def awaits_approval(self) -> bool:
        """Whether nothing failed: the plan waits for a person who approves it."""
        return self.word in _AWAITED

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return self.model_dump(mode="json")

    def short_document(self) -> dict[str, Any]:
        """Return the JSON form without defaults and the environment's name."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"environment"})


_NO_WORD = (
    "It was rejected, skipped or interrupted, or failed before it could report. "
    "See the reason in the run, then run its failed jobs again."
)
_NO_JOB = "GitHub limits the jobs of a matrix, so the run had none for it. Run the deploy workflow for it."


def missing(environment: str, run_url: str, *, had_job: bool = True) -> DeployOutcome:
    """Return the outcome for a job that reported none, or that never existed."""
    return DeployOutcome(
        environment=environment,
        outcome=Result.MISSING,
        message=_NO_WORD if had_job else _NO_JOB,
        run_url=run_url,
    )


def read_outcome(document: object, where: str) -> DeployOutcome:
    """Read an outcome that another job wrote.

    Raises:
        BadDocumentError: the document has another form.
    """
    try:
        return DeployOutcome.model_validate(document)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise BadDocumentError(
            f"The file is not the outcome of a deploy: {place or 'the whole document'} has another form.",
            where=where,
        ) from error


_BY_CODE = {
    ExitCode.ROLLED_BACK: Result.ROLLED_BACK,
    ExitCode.NOT_ROLLED_BACK: Result.NOT_ROLLED_BACK,
    ExitCode.BAD_INPUT: Result.REFUSED,
}
_REFUSED = frozenset({"plan-changed", "not-planned", "not-proved", "changed-meanwhile"})


def result_of(error: RoostError) -> Result:
    """Return the outcome for an error of an apply."""
    if error.word == "superseded":
        return Result.SUPERSEDED
    if error.word in _REFUSED:
        return Result.REFUSED
    return _BY_CODE.get(ExitCode(error.exit_code), Result.FAILED)
