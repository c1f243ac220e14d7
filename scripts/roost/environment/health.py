"""Fly's own check of a server, by which its proxy decides whether the machine gets requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from roost.environment.fields import Duration
from roost.environment.strict import Model

PATHS = ("/api/health", "/api/ready")
"""The paths that Prefect answers without a login."""


class Health(Model):
    """Fly's check of the server: what it asks, and how often."""

    path: Literal["/api/health", "/api/ready"] = "/api/health"
    """/api/health: the process answers. /api/ready: its database answers too."""
    interval: Duration = timedelta(seconds=15)
    """Time between two checks."""
    timeout: Duration = timedelta(seconds=5)
    """A check without an answer after this much fails."""
    grace_period: Duration = timedelta(seconds=60)
    """Time from the start of the machine until a failed check counts."""
