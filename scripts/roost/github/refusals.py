"""Translate GitHub's refusals, by status and body, to one of our errors.

A body may echo what was sent, so errors quote only its messages, on one line and without the token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from roost.errors import (
    GitHubAnswerError,
    GitHubConflictError,
    GitHubError,
    GitHubForbiddenError,
    GitHubNotFoundError,
    GitHubRateLimitedError,
    GitHubRejectedError,
    GitHubUnauthorizedError,
    GitHubUnavailableError,
)
from roost.http.messages import MAX_READ, header, one_line, redacted, sentence
from roost.http.retry import http_date
from roost.secret_text import SecretText

ACCEPTED = "x-accepted-github-permissions"
DEFAULT_WAIT_S = 60.0
"""GitHub's documentation asks for at least a minute where a limit comes without a time."""
_MAX_FAULTS = 5
_LIMIT_WORDS = re.compile(r"rate limit|abuse detection", re.IGNORECASE)
_TAKEN_WORDS = re.compile(r"already[ _]exists|\"sha\" wasn't supplied", re.IGNORECASE)
_SETTING_WORDS = re.compile(r"not permitted to create or approve pull requests", re.IGNORECASE)

# 500 also covers every status above it.
_BY_STATUS: dict[int, tuple[type[GitHubError], str]] = {
    400: (GitHubRejectedError, "Correct what GitHub does not accept."),
    **dict.fromkeys(
        (301, 302, 307, 308),
        (
            GitHubError,
            "The repository was renamed or moved; set GITHUB_REPOSITORY to its new name.",
        ),
    ),
    401: (
        GitHubUnauthorizedError,
        "GITHUB_TOKEN is wrong or expired; in a workflow give the step `GITHUB_TOKEN: ${{ github.token }}`.",
    ),
    409: (GitHubConflictError, "It changed since it was read. Run the same command again."),
    410: (GitHubNotFoundError, "It was removed, or is switched off in the repository's settings."),
    422: (GitHubRejectedError, "Correct what GitHub does not accept."),
    500: (GitHubUnavailableError, "Run the same command again. See www.githubstatus.com."),
}

# GraphQL answers 200 with a type for each error; an error without a type is about the query itself.
_BY_TYPE: dict[str, tuple[type[GitHubError], str]] = {
    "RATE_LIMITED": (GitHubRateLimitedError, ""),
    **dict.fromkeys(
        ("FORBIDDEN", "INSUFFICIENT_SCOPES"),
        (
            GitHubForbiddenError,
            "The token may not read that. Check the `permissions:` of the job, or the token's own.",
        ),
    ),
    "NOT_FOUND": (GitHubNotFoundError, "It does not exist, or the token may not read it."),
}
_PASSING_WORDS = re.compile(r"something went wrong|timed? ?out", re.IGNORECASE)


def refusal(
    response: httpx.Response,
    where: str,
    secrets: Iterable[SecretText],
    now: Callable[[], datetime],
) -> GitHubError:
    """Return the error for an answer that is not a success; its text is cut and free of secrets."""
    said = _read_message(response, secrets)
    kind, advice = _classify(response, said, now)
    return kind(
        f"GitHub answered {response.status_code}: {sentence(said)}",
        where=where,
        advice=advice,
        status=response.status_code,
        request_id=header(response, GitHubError.id_header),
        body=said,
    )


def query_refusal(
    response: httpx.Response,
    body: Any,
    where: str,
    secrets: Iterable[SecretText],
    now: Callable[[], datetime],
) -> GitHubError | None:
    """Return the error for a refused query of GraphQL, which answers with a success that has errors."""
    errors = body.get("errors") if isinstance(body, dict) else None
    if not errors:
        return None
    said = redacted("; ".join(_faults(errors)), secrets) or "errors without a message"
    kind, advice = _classify_query(errors, said)
    if kind is GitHubRateLimitedError:
        advice = _limit_advice(limit_wait_s(response, now), now())
    return kind(
        f"GitHub refused a query: {sentence(said)}",
        where=where,
        advice=advice,
        status=response.status_code,
        request_id=header(response, GitHubError.id_header),
        body=said,
    )


def unreadable(response: httpx.Response, where: str, reason: str) -> GitHubAnswerError:
    """Return the error for a success whose body is not what GitHub documents."""
    return GitHubAnswerError(
        f"GitHub answered {response.status_code} with something else than documented ({reason}).",
        where=where,
        advice="Run the same command again; if it stays, report it with the request id.",
        status=response.status_code,
        request_id=header(response, GitHubError.id_header),
    )


def is_limit(response: httpx.Response) -> bool:
    """Return whether a limit of calls was the reason; the call then had no effect."""
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return True
    if response.status_code != httpx.codes.FORBIDDEN:
        return False
    return (
        "retry-after" in response.headers
        or response.headers.get("x-ratelimit-remaining") == "0"
        or bool(_LIMIT_WORDS.search(_read_message(response, ())))
    )


def limit_wait_s(response: httpx.Response, now: Callable[[], datetime]) -> float:
    """Return how many seconds to wait: by Retry-After, by the limit's end, or a minute."""
    written = response.headers.get("retry-after", "")
    wait = _seconds(written)
    if wait is None:
        moment = http_date(written)
        wait = (moment - now()).total_seconds() if moment else None
    if wait is None and response.headers.get("x-ratelimit-remaining") == "0":
        reset = _seconds(response.headers.get("x-ratelimit-reset", ""))
        wait = reset - now().timestamp() + 1 if reset is not None else None
    return DEFAULT_WAIT_S if wait is None else max(wait, 0.0)


def _classify(
    response: httpx.Response, said: str, now: Callable[[], datetime]
) -> tuple[type[GitHubError], str]:
    status = response.status_code
    if is_limit(response):
        return GitHubRateLimitedError, _limit_advice(limit_wait_s(response, now), now())
    if status == httpx.codes.FORBIDDEN:
        return GitHubForbiddenError, _forbidden_advice(response, said)
    if status == httpx.codes.NOT_FOUND:
        return GitHubNotFoundError, _missing_advice(response)
    if status == httpx.codes.UNPROCESSABLE_ENTITY and _TAKEN_WORDS.search(said):
        return (
            GitHubConflictError,
            "It exists already. Run the same command again: it looks first.",
        )
    if response.is_redirect:
        return (
            GitHubError,
            "The repository was renamed or moved; set GITHUB_REPOSITORY to its new name.",
        )
    return _BY_STATUS.get(
        min(status, httpx.codes.INTERNAL_SERVER_ERROR),
        (GitHubError, "Look at the message, and at GitHub's documentation."),
    )


def _classify_query(errors: Any, said: str) -> tuple[type[GitHubError], str]:
    first = errors[0] if isinstance(errors, list) else None
    kind = first.get("type") if isinstance(first, dict) else None
    if isinstance(kind, str) and kind in _BY_TYPE:
        return _BY_TYPE[kind]
    return _BY_STATUS[500 if _PASSING_WORDS.search(said) else 422]


def _limit_advice(wait_s: float, now: datetime) -> str:
    try:
        until = datetime.fromtimestamp(now.timestamp() + wait_s, UTC)
    except (ValueError, OverflowError, OSError):
        return "Run the same command again later."
    return f"Run the same command again after {until:%Y-%m-%d %H:%M:%S} UTC."


def _forbidden_advice(response: httpx.Response, said: str) -> str:
    if _SETTING_WORDS.search(said):
        return (
            "Have a GitHub App open pull requests: docs/github.md says how. The setting that lets"
            " Actions open them lets Actions approve them, too."
        )
    wanted = _wanted(response)
    if not wanted:
        return "The token may not do that. Check the `permissions:` of the job, or the token's own."
    return f"The job needs `permissions:` with {wanted}, or the token the same permission."


def _missing_advice(response: httpx.Response) -> str:
    wanted = _wanted(response)
    hint = f" (it needs {wanted})" if wanted else ""
    return (
        "It does not exist, or the token may not read it: check the name, and the `permissions:` of the"
        f" job{hint}."
    )


def _wanted(response: httpx.Response) -> str:
    """Return the permissions as a workflow spells them: `issues: write` or `pull-requests: write`."""
    sets = [
        " and ".join(
            f"`{one_line(name.strip()).replace('_', '-')}: {one_line(level.strip())}`"
            for name, _, level in (part.partition("=") for part in choice.split(","))
            if name.strip() and level.strip()
        )
        for choice in header(response, ACCEPTED).split(";")
    ]
    return " or ".join(filter(None, sets))


def _read_message(response: httpx.Response, secrets: Iterable[SecretText]) -> str:
    """Return GitHub's message; bodies are not always JSON, nor even text."""
    text = response.content.decode("utf-8", errors="replace")[:MAX_READ]
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        text = ": ".join([body["message"], *filter(None, ["; ".join(_faults(body.get("errors")))])])
    elif text.lstrip().startswith("<"):
        text = ""  # an HTML page, such as a proxy's, has no message
    return redacted(text, secrets) or one_line(response.reason_phrase)


def _faults(errors: Any) -> Iterator[str]:
    """Return the errors of a 422: fields, codes and messages, never the values."""
    for error in (errors if isinstance(errors, list) else [errors])[:_MAX_FAULTS]:
        if isinstance(error, str):
            yield error
        elif isinstance(error, dict):
            words = [error.get(key) for key in ("resource", "field", "code", "message")]
            yield " ".join(word for word in words if isinstance(word, str))


def _seconds(written: str) -> float | None:
    """Read a number of seconds; None for anything else, also for `nan` and `inf`."""
    return float(written) if written.isascii() and written.isdigit() else None
