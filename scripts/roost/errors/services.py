"""Errors of the services that Roost calls: Fly, GitHub and the network on the way to a server."""

from __future__ import annotations

from typing import ClassVar

from roost.errors.base import RoostError


class ServiceError(RoostError):
    """A service refused a request or failed; keeps the status, the body and the request id."""

    word = "service-error"
    id_header: ClassVar[str]
    """The response header with the request id that the service's support asks for."""

    def __init__(  # noqa: PLR0913 - the parts of a service's response
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

    @property
    def message(self) -> str:
        """The message, followed by the request id."""
        identity = f" ({self.id_header} {self.request_id})" if self.request_id else ""
        return f"{super().message}{identity}"


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
    """404: the object does not exist, or is not visible yet."""

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
    """No capacity on the host, in the region or in the quota; Fly reports it by several statuses."""

    word = "fly-capacity"


class FlyRejectedError(FlyError):
    """400 or 422: Fly does not accept what was sent."""

    word = "fly-rejected"


class FlyRateLimitedError(FlyError):
    """429, after several attempts with waits between them."""

    word = "fly-rate-limited"


class FlyUnavailableError(FlyError):
    """5xx, a time-out or a broken connection; `ambiguous` says that a change may have been made."""

    word = "fly-unavailable"
    ambiguous = False


class FlyWaitTimeoutError(FlyError):
    """408: the machine did not reach the state within the time asked for."""

    word = "fly-wait-timeout"


class FlyAnswerError(FlyError):
    """A response that differs from Fly's documentation; Roost does not guess its meaning."""

    word = "fly-answer"


class GitHubError(ServiceError):
    """GitHub refused or failed."""

    word = "github-error"
    id_header = "x-github-request-id"


class GitHubUnauthorizedError(GitHubError):
    """401: the token is wrong, expired or revoked."""

    word = "github-unauthorized"


class GitHubForbiddenError(GitHubError):
    """403: the token lacks a permission."""

    word = "github-forbidden"


class GitHubNotFoundError(GitHubError):
    """404: the object does not exist, or the token may not read it."""

    word = "github-not-found"


class GitHubConflictError(GitHubError):
    """409, or 422 for a name that is taken: the object exists, or changed since it was read."""

    word = "github-conflict"


class GitHubRejectedError(GitHubError):
    """400 or 422: GitHub does not accept what was sent."""

    word = "github-rejected"


class GitHubRateLimitedError(GitHubError):
    """The rate limit is used up, and its reset is too far away; the message names the time."""

    word = "github-rate-limited"


class GitHubUnavailableError(GitHubError):
    """5xx, a time-out or a broken connection; `ambiguous` says that a change may have been made."""

    word = "github-unavailable"
    ambiguous = False


class GitHubAnswerError(GitHubError):
    """A response that differs from GitHub's documentation; Roost does not guess its meaning."""

    word = "github-answer"


class PrivateNetworkError(RoostError):
    """The server is in a private network that this computer does not reach."""

    word = "private-network"


class BucketError(RoostError):
    """The bucket with the dumps of a Postgres refused or failed."""

    word = "bucket"


class ClientError(RoostError):
    """The Prefect of this computer got no valid answer from a server."""

    word = "client-failed"


class PackageIndexError(RoostError):
    """The index of packages does not answer, or not in the documented form."""

    word = "package-index"
