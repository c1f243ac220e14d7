"""What `roost doctor` sees of a set-up."""

from __future__ import annotations

from helpers.command_fixtures import fly, prefect, rewrite, roost

__all__ = ["fly", "prefect", "rewrite", "roost"]
