"""Errors that keep the server from starting; no message holds the value of a setting."""

from __future__ import annotations


class BootError(Exception):
    """The machine's settings make no working server; the message has the cause and the fix."""


class MovedError(RuntimeError):
    """Prefect no longer has an internal that this server uses; the message names it."""


class CollectionError(RuntimeError):
    """An extra package of the image does not work with its Prefect; the message names it."""
