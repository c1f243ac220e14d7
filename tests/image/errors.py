"""The errors of the image session."""

from __future__ import annotations


class ImageError(Exception):
    """The image is faulty or cannot be built here; the message has the cause."""


class CommandError(ImageError):
    """A program failed; the message has the end of its output."""
