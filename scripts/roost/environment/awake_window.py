"""A window of the section `scaling`, in which the server stays awake."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from roost.environment.strict import Model
from roost.environment.windows import DAYS_FORM, FROM_FORM, TO_FORM, ZONE_FORM, Window

MOST_WINDOWS = 20


class AwakeWindow(Model):
    """A time of the week in which the server stays awake."""

    days: Annotated[str, Field(pattern=DAYS_FORM, max_length=60, examples=["mon-fri"])]
    """When it opens: mon-fri, or sat,sun, or daily."""
    start: Annotated[str, Field(alias="from", pattern=FROM_FORM, examples=["08:00"])]
    """The time at which it opens, HH:MM."""
    end: Annotated[str, Field(alias="to", pattern=TO_FORM, examples=["18:00"])]
    """The time at which it closes, up to 24:00; one before `from` is on the next day."""
    timezone: Annotated[str, Field(pattern=ZONE_FORM, max_length=64, examples=["Europe/Berlin"])]
    """The time zone of both, as a place: Europe/Berlin, or UTC. Summer time is followed."""

    @property
    def window(self) -> Window:
        """The window as a value to compute with."""
        return Window(self.days, self.start, self.end, self.timezone)
