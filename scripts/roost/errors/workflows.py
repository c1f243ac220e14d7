"""Errors of a workflow run: its event, its artifacts, its approvals and its permissions."""

from __future__ import annotations

from roost.errors.base import RoostError


class BadEventError(RoostError):
    """The runner's file that tells why a workflow runs cannot be read."""

    word = "bad-event"


class RunnerFileError(RoostError):
    """A file through which a step tells the runner something cannot be written."""

    word = "runner-file"


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
