"""Commands as their users call them."""

from __future__ import annotations

from helpers.command_fixtures import clients, fly, prefect, rewrite, roost

__all__ = ["clients", "fly", "prefect", "rewrite", "roost"]
