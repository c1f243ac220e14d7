"""The section `budget`: what an environment may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from roost.environment.strict import Model


class Budget(Model):
    """A limit that is reported when it is passed; it stops nothing."""

    monthly_usd: Annotated[float, Field(ge=0.01, le=1_000_000, allow_inf_nan=False, examples=[5])]
    """USD a month for the server, its volume and what stands beside it, by the prices of deploy/prices.yaml."""
