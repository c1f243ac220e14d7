"""What commands share, through the commands that use it."""

from __future__ import annotations

from helpers.command_fixtures import clients, fly, prefect, rewrite, roost

__all__ = ["clients", "fly", "prefect", "rewrite", "roost"]
