"""Everything that can go wrong, one class per cause.

Each class carries the exit code (the README lists them), a machine word for scripts, and, through its
arguments, the three things a person needs: what happened, where, and what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """What a verb ends with."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    BAD_INPUT = 3
    ROLLED_BACK = 4
    NOT_ROLLED_BACK = 5


class RoostError(Exception):
    """A failure that a person is told about in one sentence each: what, where, what to do."""

    exit_code = ExitCode.ERROR
    word = "error"

    def __init__(self, what: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        """One line: where, what, and what to do."""
        return f"{self.cause} {self.advice}".strip()

    @property
    def cause(self) -> str:
        """Where and what, for a message that has its own word on what to do."""
        return f"{self.where}: {self.what}" if self.where else self.what


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong with one file: where it stands, what it is, and how to mend it."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """The form editors and GitHub annotations understand."""
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class InternalError(RoostError):
    """A fault of Roost's own; never shows the exception's text, which may hold anything."""

    word = "internal"

    def __init__(self, kind: str, place: str) -> None:
        super().__init__(
            f"Roost has a fault of its own: {kind} at {place}.",
            advice="Please report it, with all that ROOST_TRACEBACK=1 in front of the same command shows.",
        )


class InvalidFilesError(RoostError):
    """Environment files break a rule; carries every fault found, in file order."""

    exit_code = ExitCode.BAD_INPUT
    word = "invalid-files"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = tuple(sorted(faults))
        count = len(self.faults)
        super().__init__(
            f"{count} fault{'s' if count != 1 else ''} in the environment files.",
            advice="Mend what is listed and run `roost validate` again. Nothing was called.",
        )


class UnknownEnvironmentError(RoostError):
    """No file in the environments folder has that name."""

    exit_code = ExitCode.BAD_INPUT
    word = "unknown-environment"


class UsageError(RoostError):
    """The command line asks for something that makes no sense."""

    exit_code = ExitCode.BAD_INPUT
    word = "usage"


class MissingSecretError(RoostError):
    """A declared secret has no value where the environment file says it comes from."""

    exit_code = ExitCode.BAD_INPUT
    word = "secret-missing"


class UnusableSecretError(RoostError):
    """A secret has a value that cannot work; the value is never told."""

    exit_code = ExitCode.BAD_INPUT
    word = "secret-unusable"


class DatabaseTrialError(RoostError):
    """A database that a secret names was tried beside the server, and cannot be used."""

    exit_code = ExitCode.BAD_INPUT
    word = "database-unusable"


class MissingTokenError(RoostError):
    """A token that is needed is not set."""

    exit_code = ExitCode.BAD_INPUT
    word = "token-missing"


class MissingLockError(RoostError):
    """The environment asks for a Prefect version that has no lock file."""

    exit_code = ExitCode.BAD_INPUT
    word = "lock-missing"


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


class BadEventError(RoostError):
    """The runner's file that tells why a workflow runs cannot be read."""

    word = "bad-event"


class RunnerFileError(RoostError):
    """A file through which a step tells the runner something cannot be written."""

    word = "runner-file"


class LeaseLostError(RoostError):
    """The right to change a machine ended while it was being changed."""

    word = "lease-lost"


class ChangedMeanwhileError(RoostError):
    """Live moved between plan and apply."""

    word = "changed-meanwhile"


class PrivateNetworkError(RoostError):
    """The server is in a private network that this computer is not in."""

    word = "private-network"


class SecretsLagError(RoostError):
    """Secrets were set, and what is to boot with them does not see them yet."""

    word = "secrets-lag"


class OvertimeError(RoostError):
    """It took longer than any change may, and was stopped."""

    word = "overtime"


class UnappliableError(RoostError):
    """The plan needs something Fly cannot do in place, or that we refuse to do by ourselves."""

    exit_code = ExitCode.BAD_INPUT
    word = "cannot-apply"


class ProtectedError(RoostError):
    """Its file says that no one may remove it."""

    exit_code = ExitCode.BAD_INPUT
    word = "protected"


class MachineFailedError(RoostError):
    """The machine exits or is killed instead of serving."""

    word = "machine-failed"


class GateError(RoostError):
    """The server did not prove itself good; `checks` are the results of the checks, if any ended."""

    word = "gate"

    def __init__(
        self, what: str, *, where: str = "", advice: str = "", checks: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(what, where=where, advice=advice)
        self.checks = checks


class GateFailedError(GateError):
    """The server did not prove itself good, and the last good release was put back."""

    exit_code = ExitCode.ROLLED_BACK
    word = "gate-failed"


class NotRolledBackError(GateError):
    """The server did not prove itself good, and there was nothing good to put back."""

    exit_code = ExitCode.NOT_ROLLED_BACK
    word = "gate-failed-not-rolled-back"


class ImageError(RoostError):
    """The server's image could not be built, or not be brought to the registry."""

    word = "image"


class SnapshotError(RoostError):
    """A snapshot that was to be there before a change was not."""

    word = "snapshot"


class OtherDatabaseError(RoostError):
    """The server's data is not on the volume that was to be copied or put back."""

    word = "other-database"


class NotHeldStillError(RoostError):
    """A backup was asked for, and nothing could hold the database still meanwhile."""

    word = "not-held-still"


class DrillFailedError(RoostError):
    """A backup does not come back to life; the server itself was not touched."""

    word = "drill-failed"


class SmokeFailedError(RoostError):
    """A check of `roost smoke` failed."""

    word = "smoke-failed"


class BadDocumentError(RoostError):
    """A file that another job should have left is not there, or is not what it should be."""

    word = "bad-document"


class UnapprovedError(RoostError):
    """A plan has steps that nobody approved."""

    word = "plan-changed"


class NotPlannedError(RoostError):
    """Nobody was shown a plan of this change, so nobody can have approved one."""

    word = "not-planned"


class NotProvedError(RoostError):
    """What has to be proved elsewhere first was not."""

    word = "not-proved"


class SupersededError(RoostError):
    """A newer commit changes the same environment; it is deployed from there."""

    word = "superseded"


class NotPermittedError(RoostError):
    """Whoever started the run may not change a protected environment without somebody else."""

    word = "not-permitted"


class RehearsalError(RoostError):
    """A rehearsed change passed its gate, and is no good all the same."""

    word = "rehearsal-failed"


class LocalFlyError(RoostError):
    """The local Fly could not be started, reached or stopped."""

    word = "local-fly"
