"""The section `waker`: one machine that wakes all servers of an organization when a run is due."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from roost.environment.regions import REGIONS
from roost.environment.strict import Model

NAME = "waker"
"""Commands call it ENVIRONMENT.waker, so no flow server has this name."""


class Waker(Model):
    """A machine that never sleeps, for all servers of an organization; it holds no token."""

    app: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$", examples=["acme-waker"])
    ]
    """Its Fly app, in the environment's organization; reached in the private network only."""
    deployed_by: Annotated[
        str | None, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", examples=["production"])
    ] = None
    """The environment whose plan and apply deploy it; left out, this one. May stand in _defaults.yaml."""
    region: Annotated[Literal[REGIONS] | None, Field(examples=["iad"])] = None  # type: ignore[valid-type] # one tuple serves model and messages
    """Where it runs; left out, in the region of the environment that deploys it."""
