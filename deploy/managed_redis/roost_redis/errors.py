"""Why Redis cannot run: one class for each cause. Each message ends with the next step."""

from __future__ import annotations


class RedisMachineError(Exception):
    """Redis cannot run; the message holds no secret."""


class SettingsError(RedisMachineError):
    """A variable of the machine is missing or not valid."""


class ProgramError(RedisMachineError):
    """The program `redis-server` is missing or too old."""


class PortError(RedisMachineError):
    """The port for health checks is taken."""


class EndedError(RedisMachineError):
    """Redis ended by itself."""


class NoAnswerError(Exception):
    """Redis does not answer, or refuses; the message is the rest of a sentence."""
