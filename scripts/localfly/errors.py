"""The errors of the local Fly, one class for each cause."""

from __future__ import annotations


class LocalFlyError(Exception):
    """An error with what happened and the next step."""

    def __init__(self, what: str, *, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        """Return what happened and the next step in one line."""
        return f"{self.what} {self.advice}".rstrip()


class ImageSpecError(LocalFlyError):
    """An image.json is missing, unreadable or has an unknown key or value."""


class ImageBuildError(LocalFlyError):
    """The installation of the environment or the bake command failed."""


class UvMissingError(LocalFlyError):
    """There is no uv executable, so no image can be built."""


class SpawnError(LocalFlyError):
    """A machine's command cannot be started."""


class NoAddressError(LocalFlyError):
    """No loopback address has the needed ports free."""


class WeatherError(LocalFlyError):
    """The weather of `serve --weather` cannot be read, or has an unknown key or value."""


class PortTakenError(LocalFlyError):
    """The port for an app is used by another program."""


class StartRefusedError(LocalFlyError):
    """A machine cannot be started now; `lasting` means that an immediate retry is useless."""

    def __init__(self, what: str, *, lasting: bool = False) -> None:
        super().__init__(what)
        self.lasting = lasting


class UnroutableError(LocalFlyError):
    """No machine can take a request; `code` is Fly's code for the reason."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code
