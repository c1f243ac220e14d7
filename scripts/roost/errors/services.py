"""Errors of the services that Roost calls: Fly, GitHub and the network on the way to a server."""

from __future__ import annotations

from typing import ClassVar

from roost.errors.base import RoostError


class ServiceError(RoostError):
    """A service refused or failed; keeps the status, its own words and the request id."""

    word = "service-error"
    id_header: ClassVar[str]
    """The header of an answer with the id that its support asks for."""

    def __init__(  # noqa: PLR0913 - what an answer from a service is made of
        self,
        what: str,
        *,
        where: str = "",
        advice: str = "",
        status: int | None = None,
        request_id: str = "",
        body: str = "",
    ) -> None:
        super().__init__(what, where=where, advice=advice)
        self.status = status
        self.request_id = request_id
        self.body = body

    def __str__(self) -> str:
        """The sentence, with the id that the service's support asks for."""
        identity = f" ({self.id_header} {self.request_id})" if self.request_id else ""
        return f"{super().__str__()}{identity}"


class FlyError(ServiceError):
    """Fly refused or failed."""

    word = "fly-error"
    id_header = "fly-request-id"


class FlyUnauthorizedError(FlyError):
    """401: the token is wrong, expired or revoked."""

    word = "fly-unauthorized"


class FlyForbiddenError(FlyError):
    """403: the token does not reach this app, or another organization holds the name."""

    word = "fly-forbidden"


class FlyNotFoundError(FlyError):
    """404: not there, or not visible yet."""

    word = "fly-not-found"


class FlyLeasedError(FlyError):
    """409: somebody else holds the machine's lease."""

    word = "fly-leased"


class FlyConflictError(FlyError):
    """409 that is neither lease nor capacity: a name or a volume is taken."""

    word = "fly-conflict"


class FlyPreconditionError(FlyError):
    """412 that is not capacity: wrong state, or changed since it was read."""

    word = "fly-precondition"


class FlyCapacityError(FlyError):
    """No room on the host, in the region or in the quota, under whichever status Fly says so."""

    word = "fly-capacity"


class FlyRejectedError(FlyError):
    """400 or 422: Fly does not accept what was sent."""

    word = "fly-rejected"


class FlyRateLimitedError(FlyError):
    """429, still, after waiting and trying again."""

    word = "fly-rate-limited"


class FlyUnavailableError(FlyError):
    """5xx, a time-out or a broken connection; `ambiguous` says that a change may have been made."""

    word = "fly-unavailable"
    ambiguous = False


class FlyWaitTimeoutError(FlyError):
    """408: the machine did not reach the state within the time asked for."""

    word = "fly-wait-timeout"


class FlyAnswerError(FlyError):
    """An answer that is not what Fly documents; never guessed around."""

    word = "fly-answer"


class GitHubError(ServiceError):
    """GitHub refused or failed."""

    word = "github-error"
    id_header = "x-github-request-id"


class GitHubUnauthorizedError(GitHubError):
    """401: the token is wrong, expired or revoked."""

    word = "github-unauthorized"


class GitHubForbiddenError(GitHubError):
    """403: the token may not do that."""

    word = "github-forbidden"


class GitHubNotFoundError(GitHubError):
    """404: not there, or nothing that this token may see."""

    word = "github-not-found"


class GitHubConflictError(GitHubError):
    """409, or 422 for a name that is taken: it is there already, or changed since it was read."""

    word = "github-conflict"


class GitHubRejectedError(GitHubError):
    """400 or 422: GitHub does not accept what was sent."""

    word = "github-rejected"


class GitHubRateLimitedError(GitHubError):
    """Too many calls, and waiting for more would take too long; says until when."""

    word = "github-rate-limited"


class GitHubUnavailableError(GitHubError):
    """5xx, a time-out or a broken connection; `ambiguous` says that a change may have been made."""

    word = "github-unavailable"
    ambiguous = False


class GitHubAnswerError(GitHubError):
    """An answer that is not what GitHub documents; never guessed around."""

    word = "github-answer"


class PrivateNetworkError(RoostError):
    """The server is in a private network that this computer is not in."""

    word = "private-network"


class ClientError(RoostError):
    """The Prefect of this computer got no valid answer from a server."""

    word = "client-failed"
