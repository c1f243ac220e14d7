"""The result of a rehearsal, which one job writes and another reads without trusting it.

A pull request can change the code that a rehearsal runs, and so the content of its file. So sizes are
limited, numbers must be finite, and text is only shown as code or plain text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from roost.errors import BadDocumentError
from roost.report.markdown import code, text
from roost.report.wording import counted

MAX_BYTES = 256 * 1024
MAX_CHECKS = 50
MAX_STEPS = 200
MAX_LINE = 600
MAX_MESSAGE = 2000
# A comment has room for all environments' rehearsals.
SHOWN_CHECKS = 5
SHOWN_NAME = 60
SHOWN_DETAIL = 200
_DAY_S = 86_400
_WORD = r"^[a-z0-9-]{0,60}$"


def _is_text(value: str) -> str:
    """Refuse half a surrogate pair, which JSON can hold and UTF-8 cannot."""
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("is no text")
    return value


Text = Annotated[str, AfterValidator(_is_text)]
Line = Annotated[Text, Field(max_length=MAX_LINE)]
Seconds = Annotated[float, Field(ge=0, le=_DAY_S, allow_inf_nan=False)]
Megabytes = Annotated[int, Field(ge=0, le=2**24)]


class _Part(BaseModel):
    """A frozen, strict model; unknown fields are refused, as Roost itself wrote the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CheckFound(_Part):
    """The result of one check of the gate."""

    name: Line
    ok: bool
    seconds: Seconds
    detail: Line = ""


class StepDone(_Part):
    """One step of the head's plan."""

    key: Line
    summary: Line


class Wake(_Part):
    """Seconds from a request to its answer, by kind of sleep; None if not measured."""

    suspended_seconds: Seconds | None = None
    stopped_seconds: Seconds | None = None


class Memory(_Part):
    """Memory that the machine used, in MB; None if not measured."""

    idle: Megabytes | None = None
    peak: Megabytes | None = None
    limit: Megabytes | None = None


class Rehearsal(_Part):
    """One environment's rehearsal."""

    format: Literal[1] = 1
    environment: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    outcome: Literal["passed", "failed", "skipped"]
    word: Annotated[str, Field(pattern=_WORD)] = ""
    """The word for why it failed or was skipped, for scripts."""
    message: Annotated[Text, Field(max_length=MAX_MESSAGE)] = ""
    """The same as sentences; for one that passed, what was unusual."""
    base: Literal["created", "none", "same"]
    """What the change was applied to: the base's state, nothing, or there was no change."""
    base_seconds: Seconds | None = None
    apply_seconds: Seconds | None = None
    silence_seconds: Seconds | None = None
    """The longest time without a good answer while the server was changed."""
    gate: Annotated[tuple[CheckFound, ...], Field(strict=False, max_length=MAX_CHECKS)] = ()
    wake: Wake = Wake()
    memory_mb: Memory = Memory()
    steps: Annotated[tuple[StepDone, ...], Field(strict=False, max_length=MAX_STEPS)] = ()
    prefect: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,40}$")]

    def document(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return self.model_dump(mode="json")


def clipped(value: str, limit: int = MAX_LINE) -> str:
    """Return a text cut to a length, valid as UTF-8."""
    sound = value.encode("utf-8", "replace").decode("utf-8")
    return sound if len(sound) <= limit else f"{sound[: limit - 3]}..."


def read_rehearsal(path: Path) -> Rehearsal:
    """Read and check a result of `roost rehearse --results`.

    Raises:
        BadDocumentError: the file cannot be read or has another form. The message never quotes it.
    """
    try:
        content = _content(path)
        return Rehearsal.model_validate(json.loads(content))
    except OSError as error:
        raise _bad(
            path, f"cannot be read: {(error.strerror or 'no reason given').lower()}"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "extra_forbidden":  # its name may be anything
            raise _bad(path, "has a field that is not known") from None
        place = ".".join(map(str, first["loc"])) or "whole"
        raise _bad(path, f"has another form, {place}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise _bad(path, "is not JSON") from None


def _content(path: Path) -> bytes:
    if not path.is_file():  # a pipe or a device may be endless
        raise FileNotFoundError(2, "No such file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _bad(path, f"is longer than {MAX_BYTES // 1024} KB")
    return content


def _bad(path: Path, why: str) -> BadDocumentError:
    return BadDocumentError(
        f"The result of a rehearsal {why}.",
        where=path.name,
        advice="Run the rehearsal again: its job wrote this file.",
    )


def verdict(rehearsal: Rehearsal) -> str:
    """Return the result in a sentence."""
    message = f": {rehearsal.message}" if rehearsal.message else "."
    match rehearsal.outcome:
        case "skipped":
            return f"skipped{message}"
        case "failed":
            return f"failed{message}"
        case _:
            how = {
                "created": "The change was applied to the state of the base",
                "none": "The server was created for the first time",
                "same": "Nothing changes; the server was created and proved",
            }[rehearsal.base]
            more = f" {rehearsal.message}" if rehearsal.message else ""
            return f"passed. {how}, with Prefect {rehearsal.prefect}.{more}"


def facts(rehearsal: Rehearsal) -> Iterator[tuple[str, str]]:
    """Yield a label and a figure for each measurement."""
    wake, memory = rehearsal.wake, rehearsal.memory_mb
    figures = (
        ("base created in", rehearsal.base_seconds),
        (
            "applied and proved in" if rehearsal.outcome == "passed" else "tried for",
            rehearsal.apply_seconds,
        ),
        ("did not answer for", rehearsal.silence_seconds),
        ("woke from suspended in", wake.suspended_seconds),
        ("woke from stopped in", wake.stopped_seconds),
    )
    yield from ((label, f"{seconds:.2f} s") for label, seconds in figures if seconds is not None)
    of = f" of {memory.limit}" if memory.limit is not None else ""
    for label, used in (("memory, idle", memory.idle), ("memory, at most", memory.peak)):
        if used is not None:
            yield label, f"{used}{of} MB"
    if rehearsal.outcome == "passed" and rehearsal.gate:
        yield "gate", f"{counted(len(rehearsal.gate), 'check')} passed"


def rehearsal_lines(rehearsal: Rehearsal) -> str:
    """Write one environment's rehearsal for the comment: verdict, failed checks, figures."""
    lines = [f"**Rehearsal** {text(clipped(verdict(rehearsal)))}"]
    failed = [check for check in rehearsal.gate if not check.ok]
    if failed:
        lines.append("")
        lines += [_failed_line(check) for check in failed[:SHOWN_CHECKS]]
    if len(failed) > SHOWN_CHECKS:
        lines.append(f"- and {counted(len(failed) - SHOWN_CHECKS, 'check')} more")
    figures = list(facts(rehearsal))
    if figures:
        lines += ["", "| rehearsed | |", "|---|---|"]
        lines += [f"| {text(label)} | {text(figure)} |" for label, figure in figures]
    return "\n".join(lines) + "\n"


def _failed_line(check: CheckFound) -> str:
    detail = clipped(check.detail, SHOWN_DETAIL) or "no answer in time"
    return f"- {code(clipped(check.name, SHOWN_NAME))} failed: {text(detail)}"
