"""A change tried on a local Fly of its own."""

from __future__ import annotations

from helpers.command_fixtures import clients, fly, prefect, rewrite, roost

__all__ = ["clients", "fly", "prefect", "rewrite", "roost"]
