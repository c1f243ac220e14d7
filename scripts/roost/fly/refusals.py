"""Translate Fly's refusals, by status and body, to one of our errors.

Fly reports a lack of capacity under many status codes, so the body counts more than the code
(observed in production; docs/decisions has the sources).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import httpx

from roost.errors import (
    FlyAnswerError,
    FlyCapacityError,
    FlyConflictError,
    FlyError,
    FlyForbiddenError,
    FlyLeasedError,
    FlyNotFoundError,
    FlyPreconditionError,
    FlyRateLimitedError,
    FlyRejectedError,
    FlyUnauthorizedError,
    FlyUnavailableError,
    FlyWaitTimeoutError,
)
from roost.errors.command import Command
from roost.http.messages import MAX_READ, header, one_line, redacted, sentence
from roost.secret_text import SecretText

_CAPACITY_STATUS = frozenset({"insufficient_capacity", "volume_placement_capacity"})
_CAPACITY_WORDS = re.compile(
    r"insufficient (resources|memory|capacity|cpu)|could not reserve resource|no capacity"
    r"|over the allowed quota|deploys to this host are temporarily disabled",
    re.IGNORECASE,
)
_PINNED = re.compile(
    r"volume_placement|existing volume|could not reserve resource|this host", re.IGNORECASE
)
_LEASE_WORDS = re.compile(r"\blease", re.IGNORECASE)

_BY_STATUS: dict[int, tuple[type[FlyError], str]] = {
    400: (FlyRejectedError, "Correct the environment file; Fly says what it does not accept."),
    401: (
        FlyUnauthorizedError,
        "The token is wrong, expired or revoked. Make a new one: `fly tokens create deploy`.",
    ),
    403: (
        FlyForbiddenError,
        "The token does not reach this app, or another organization holds its name. Check `app` and `organization`.",
    ),
    404: (
        FlyNotFoundError,
        f"Look at `{Command('status', 'ENV')}`; it may have been removed meanwhile.",
    ),
    408: (FlyWaitTimeoutError, "Look at the machine's log and run the same command again."),
    409: (
        FlyConflictError,
        f"Something with that name exists already. Plan again: `{Command('plan', 'ENV')}`.",
    ),
    412: (
        FlyPreconditionError,
        f"It changed since it was read. Plan again: `{Command('plan', 'ENV')}`.",
    ),
    422: (FlyRejectedError, "Correct the environment file; Fly says what it does not accept."),
    429: (FlyRateLimitedError, "Fly limits calls. Wait a minute and run the same command again."),
}


def refusal(response: httpx.Response, where: str, secrets: Iterable[SecretText]) -> FlyError:
    """Return the error for an answer that is not a success; its text is cut and free of secrets."""
    said, status_word = read_message(response, secrets)
    kind, advice = _classify(response.status_code, said, status_word)
    return kind(
        f"Fly answered {response.status_code}: {sentence(said)}",
        where=where,
        advice=advice,
        status=response.status_code,
        request_id=header(response, FlyError.id_header),
        body=said,
    )


def _classify(status: int, said: str, status_word: str) -> tuple[type[FlyError], str]:
    if status_word in _CAPACITY_STATUS or (status != 429 and _CAPACITY_WORDS.search(said)):  # noqa: PLR2004 - HTTP
        return FlyCapacityError, _capacity_advice(f"{status_word} {said}")
    if status == 409 and _LEASE_WORDS.search(said):  # noqa: PLR2004 - HTTP
        return (
            FlyLeasedError,
            "Somebody else is changing it. Wait until they are done and run the same command again.",
        )
    if status >= 500:  # noqa: PLR2004 - HTTP
        return (
            FlyUnavailableError,
            "Run the same command again; what was done stays done. See status.flyio.net.",
        )
    return _BY_STATUS.get(status, (FlyError, "Look at the message, and at Fly's documentation."))


def _capacity_advice(said: str) -> str:
    if _PINNED.search(said):
        return (
            "The host it is tied to is full. Try again later. If that does not help, create it again"
            " elsewhere: its volume from a snapshot, or only the machine where there is no volume."
        )
    return (
        "Fly has no capacity for it there now. Try again later, or choose another region or size."
    )


def read_message(response: httpx.Response, secrets: Iterable[SecretText]) -> tuple[str, str]:
    """Return Fly's message and its status word; bodies are not always JSON, nor even text."""
    text = response.content.decode("utf-8", errors="replace")
    status_word = ""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        said = body.get("message") or body.get("error")
        text = said if isinstance(said, str) else text
        status = body.get("status")
        status_word = status if isinstance(status, str) else ""
    text = text[:MAX_READ]
    return redacted(text, secrets) or one_line(response.reason_phrase), status_word


def unreadable(response: httpx.Response, where: str, reason: str) -> FlyAnswerError:
    """Return the error for a success whose body is not what Fly documents."""
    return FlyAnswerError(
        f"Fly answered {response.status_code} with something else than documented ({reason}).",
        where=where,
        advice="Run the same command again; if it stays, report it with the request id.",
        status=response.status_code,
        request_id=header(response, FlyError.id_header),
    )
