"""Errors of a change that began: what stopped it, and how it left the server."""

from __future__ import annotations

from typing import Any

from roost.errors.base import ExitCode, RoostError


class LeaseLostError(RoostError):
    """The right to change a machine ended while it was being changed."""

    word = "lease-lost"


class ChangedMeanwhileError(RoostError):
    """Live moved between plan and apply."""

    word = "changed-meanwhile"


class SecretsLagError(RoostError):
    """Secrets were set, and what is to boot with them does not see them yet."""

    word = "secrets-lag"


class OvertimeError(RoostError):
    """It took longer than any change may, and was stopped."""

    word = "overtime"


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


class RehearsalError(RoostError):
    """A rehearsed change passed its gate, and is no good all the same."""

    word = "rehearsal-failed"


class LocalFlyError(RoostError):
    """The local Fly could not be started, reached or stopped."""

    word = "local-fly"
