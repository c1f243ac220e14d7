"""Why the waker cannot run, or does not take an announcement: one class for each cause."""

from __future__ import annotations


class WakerError(Exception):
    """The waker cannot run; the message holds no secret and ends with the next step."""


class SettingsError(WakerError):
    """A variable of the machine is missing or not valid."""


class PortError(WakerError):
    """The machine's port is taken."""


class AnnouncementError(Exception):
    """An announcement is not valid; the message says what it must be."""


class FullError(Exception):
    """The book has its most entries."""
