"""Everything that can go wrong in the local Fly, one class per cause."""

from __future__ import annotations


class LocalFlyError(Exception):
    """A failure told in short sentences: what happened, then what to do."""

    def __init__(self, what: str, *, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        """The sentence and the next step, on one line."""
        return f"{self.what} {self.advice}".rstrip()


class ImageSpecError(LocalFlyError):
    """An image.json is absent, unreadable or says something unknown."""


class ImageBuildError(LocalFlyError):
    """The environment could not be installed, or the bake command failed."""


class UvMissingError(LocalFlyError):
    """No uv executable was found, so no image can be built."""


class SpawnError(LocalFlyError):
    """A machine's command could not be started at all."""


class NoAddressError(LocalFlyError):
    """No loopback address has the wanted ports free."""


class PortTakenError(LocalFlyError):
    """The port an app is served on belongs to another program."""


class StartRefusedError(LocalFlyError):
    """A machine cannot be started now; `lasting` says that trying again soon is no use."""

    def __init__(self, what: str, *, lasting: bool = False) -> None:
        super().__init__(what)
        self.lasting = lasting


class UnroutableError(LocalFlyError):
    """No machine could be found for a request; `code` is Fly's word for why."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code
