"""What makes the image session fail."""

from __future__ import annotations


class ImageError(Exception):
    """The image is not good, or cannot be built here; the message says what is wrong."""


class CommandError(ImageError):
    """A program ended with a failure; the message carries the end of what it said."""
