"""The versions of Prefect whose images the tests run: each costs a build of one to two minutes, so there are two."""

from __future__ import annotations

NEWEST = "3.9.1"
"""What the examples and `init` write."""
OLDER = "3.8.8"
"""What an upgrade starts from: another minor version, with older migrations."""
