"""Commands as their users call them."""

from __future__ import annotations

from helpers.command_fixtures import fly, prefect, rewrite, roost

__all__ = ["fly", "prefect", "rewrite", "roost"]
