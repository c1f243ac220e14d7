"""Errors in what a person wrote: files, options, secrets and tokens. Nothing was changed."""

from __future__ import annotations

from roost.errors.base import ExitCode, Fault, RoostError
from roost.errors.command import Command


class InvalidFilesError(RoostError):
    """Environment files break a rule; `faults` lists every fault, in file order."""

    exit_code = ExitCode.BAD_INPUT
    word = "invalid-files"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = tuple(sorted(faults))
        count = len(self.faults)
        super().__init__(
            f"{count} fault{'s' if count != 1 else ''} in the environment files.",
            advice=f"Correct the files, and run `{Command('validate')}` again. Nothing was called.",
        )


class UnknownEnvironmentError(RoostError):
    """No file in the environments folder has that name."""

    exit_code = ExitCode.BAD_INPUT
    word = "unknown-environment"


class UsageError(RoostError):
    """The options or arguments of a command are not valid together."""

    exit_code = ExitCode.BAD_INPUT
    word = "usage"


class MissingSecretError(RoostError):
    """A declared secret has no value where the environment file says it comes from."""

    exit_code = ExitCode.BAD_INPUT
    word = "secret-missing"


class UnusableSecretError(RoostError):
    """A secret has a value that cannot work; the message never contains the value."""

    exit_code = ExitCode.BAD_INPUT
    word = "secret-unusable"


class DatabaseTrialError(RoostError):
    """The database whose address a secret holds was tested beside the server and cannot be used."""

    exit_code = ExitCode.BAD_INPUT
    word = "database-unusable"


class MissingToolError(RoostError):
    """A program of PostgreSQL is not on this computer, or is older than the server or the dump."""

    exit_code = ExitCode.BAD_INPUT
    word = "tool-missing"


class MissingClientError(RoostError):
    """There is no Prefect on this computer that could be connected to a server."""

    exit_code = ExitCode.BAD_INPUT
    word = "client-missing"


class MissingTokenError(RoostError):
    """A required token is not set."""

    exit_code = ExitCode.BAD_INPUT
    word = "token-missing"


class MissingLockError(RoostError):
    """The environment asks for a Prefect version that has no lock file."""

    exit_code = ExitCode.BAD_INPUT
    word = "lock-missing"


class UnappliableError(RoostError):
    """The plan needs a change that Fly cannot make in place, or that Roost leaves to a person."""

    exit_code = ExitCode.BAD_INPUT
    word = "cannot-apply"


class NotImportableError(RoostError):
    """An app that exists cannot be described by an environment file."""

    exit_code = ExitCode.BAD_INPUT
    word = "cannot-import"


class ProtectedError(RoostError):
    """The environment is protected, so it cannot be removed."""

    exit_code = ExitCode.BAD_INPUT
    word = "protected"
