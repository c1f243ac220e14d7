"""The section `notify`: where messages go, and about what."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from roost.environment.fields import Secret
from roost.environment.strict import Model

Fact = Literal["failed", "approval", "drift", "down", "backup", "token", "budget"]
"""What a message is about; docs/operations.md says when each is sent."""
FACTS: tuple[Fact, ...] = get_args(Fact)


class Notify(Model):
    """An address that is told some facts, or all."""

    url_secret: Secret
    """The secret with the address, as Slack, Discord or Teams show it, or mailto://; it is not set on the app."""
    on: Annotated[tuple[Fact, ...], Field(strict=False, min_length=1, max_length=len(FACTS))] = (
        FACTS
    )
    """What is told: failed, approval, drift, down, backup, token, budget; left out, all."""
