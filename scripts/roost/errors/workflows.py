"""Errors of a workflow run: its event, its artifacts, its approvals and its permissions."""

from __future__ import annotations

from roost.errors.base import RoostError


class BadEventError(RoostError):
    """The runner's event file cannot be read."""

    word = "bad-event"


class RunnerFileError(RoostError):
    """A file through which a step reports to the runner cannot be written."""

    word = "runner-file"


class BadDocumentError(RoostError):
    """An artifact of another job is missing or has another form."""

    word = "bad-document"


class UnapprovedError(RoostError):
    """A plan has steps that were not approved."""

    word = "plan-changed"


class NotPlannedError(RoostError):
    """No plan of this change was shown on a pull request, so none was approved."""

    word = "not-planned"


class NotProvedError(RoostError):
    """An environment that must be deployed first is not proved."""

    word = "not-proved"


class SupersededError(RoostError):
    """A newer commit changes the same environment, and its own run deploys it."""

    word = "superseded"


class NotPermittedError(RoostError):
    """The person who started the run may not change a protected environment alone."""

    word = "not-permitted"
