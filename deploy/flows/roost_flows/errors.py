"""Why a flow server cannot run: one class for each cause, each message with the next step."""

from __future__ import annotations


class LaunchError(Exception):
    """The flow server cannot run; the message holds no secret."""


class SettingsError(LaunchError):
    """A variable of the machine is missing or not valid."""


class ImageError(LaunchError):
    """The image lacks something that a flow server needs."""


class UnreachableError(LaunchError):
    """The server does not answer, or answers that it cannot serve now."""


class WrongLoginError(LaunchError):
    """The server refuses the login."""


class NoFlowServersError(LaunchError):
    """What answers is no server that runs flow servers."""


class RefusedError(LaunchError):
    """The server refuses a request for another reason."""


class WrongVersionError(LaunchError):
    """The Prefect client of the image does not fit the server."""


class FencedError(LaunchError):
    """A newer start of this flow server took over."""


class CanaryError(LaunchError):
    """The canary flow did not complete."""


class CommandError(LaunchError):
    """The command cannot be started, or ended by itself."""
