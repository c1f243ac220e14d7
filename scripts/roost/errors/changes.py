"""Errors of a change that began: what stopped it, and how it left the server."""

from __future__ import annotations

from typing import Any

from roost.errors.base import ExitCode, RoostError


class LeaseLostError(RoostError):
    """The lease of a machine was lost while the machine was being changed."""

    word = "lease-lost"


class ChangedMeanwhileError(RoostError):
    """The live state changed between plan and apply."""

    word = "changed-meanwhile"


class SecretsLagError(RoostError):
    """Secrets were set, and the machine's host does not see them yet."""

    word = "secrets-lag"


class OvertimeError(RoostError):
    """A change exceeded the time limit and was stopped."""

    word = "overtime"


class MachineFailedError(RoostError):
    """The machine exits or is killed instead of serving."""

    word = "machine-failed"


class GateError(RoostError):
    """The server failed its gate; `checks` holds the results of the checks that ended."""

    word = "gate"

    def __init__(
        self, what: str, *, where: str = "", advice: str = "", checks: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(what, where=where, advice=advice)
        self.checks = checks


class GateFailedError(GateError):
    """The server failed its gate, and the last healthy release was restored."""

    exit_code = ExitCode.ROLLED_BACK
    word = "gate-failed"


class NotRolledBackError(GateError):
    """The server failed its gate, and no healthy release could be restored."""

    exit_code = ExitCode.NOT_ROLLED_BACK
    word = "gate-failed-not-rolled-back"


class ObjectsError(RoostError):
    """Some of Prefect's own objects could not be made as their file says; the server is healthy."""

    word = "prefect-objects"


class ImageError(RoostError):
    """The server's image could not be built or pushed to the registry."""

    word = "image"


class SnapshotError(RoostError):
    """A snapshot that a change needs first could not be taken."""

    word = "snapshot"


class DumpError(RoostError):
    """The rows of a Postgres could not be dumped or restored; the server's database was not changed."""

    word = "dump"


class OtherDatabaseError(RoostError):
    """The server's data is not on the volume that is to be backed up or restored."""

    word = "other-database"


class NotHeldStillError(RoostError):
    """A backup was asked for, and writes to the database could not be frozen for it."""

    word = "not-held-still"


class DatabaseMoveError(RoostError):
    """The database could not be moved; the data is where it was."""

    word = "database-not-moved"


class DrillFailedError(RoostError):
    """A backup could not be restored in a drill; the server itself was not touched."""

    word = "drill-failed"


class SmokeFailedError(RoostError):
    """A check of `roost smoke` failed."""

    word = "smoke-failed"


class RehearsalError(RoostError):
    """A rehearsed change passed its gate but failed another check of the rehearsal."""

    word = "rehearsal-failed"


class LocalFlyError(RoostError):
    """The local Fly could not be started, reached or stopped."""

    word = "local-fly"


class UpdateError(RoostError):
    """A release of Roost could not be fetched, checked or merged; the checkout was not changed."""

    word = "update"
