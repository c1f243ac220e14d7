"""Figures, and what they say: medians, spreads, ratios and whether an aim is met. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from math import ceil


class Unit(Enum):
    """What a figure counts, and how many digits of it mean something."""

    SECONDS = ("s", 3)
    MILLISECONDS = ("ms", 0)
    MEGABYTES = ("MB", 0)
    PERCENT = ("%", 1)
    PER_SECOND = ("/s", 1)
    CALLS = ("calls", 0)
    WRITES = ("writes", 0)
    LINES = ("lines", 0)
    THINGS = ("", 0)

    @property
    def label(self) -> str:
        """The unit's sign."""
        return self.value[0]

    def tell(self, value: float) -> str:
        """Return a value with its unit; long times need fewer digits than short ones."""
        digits = 2 if self is Unit.SECONDS and value >= 1 else self.value[1]
        return f"{value:.{digits}f} {self.label}".rstrip()


@dataclass(frozen=True)
class Sample:
    """One thing, measured as often as there are values."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("A sample needs at least one value.")

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return min(self.values), max(self.values)


class Aim(Enum):
    """What a limit is put on, and which side of it is good."""

    RATIO_AT_MOST = auto()
    AT_MOST = auto()
    AT_LEAST = auto()


@dataclass(frozen=True)
class Limit:
    """An aim with its figure; reported as met or missed; a missed aim fails nothing."""

    aim: Aim
    value: float


@dataclass(frozen=True)
class Row:
    """One thing compared: ours, stock where there is such a thing, and the aim where there is one."""

    what: str
    unit: Unit
    ours: Sample
    stock: Sample | None = None
    limit: Limit | None = None

    @property
    def ratio(self) -> float | None:
        """Ours by stock, of the medians; None where that has no meaning."""
        if self.stock is None or self.stock.median == 0:
            return None
        return self.ours.median / self.stock.median

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none, or nothing to compare with."""
        if self.limit is None:
            return None
        match self.limit.aim:
            case Aim.AT_MOST:
                return self.ours.median <= self.limit.value
            case Aim.AT_LEAST:
                return self.ours.median >= self.limit.value
            case Aim.RATIO_AT_MOST:
                return None if self.ratio is None else self.ratio <= self.limit.value


@dataclass(frozen=True)
class Table:
    """What measuring a subject came to; `about` says what each row means, as markdown."""

    subject: str
    title: str
    about: str
    rows: tuple[Row, ...]


def percentile(values: Iterable[float], share: float) -> float:
    """Return the least value that at least `share` (0 to 1) of all values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("There is no percentile of no values.")
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def longest_gap(times: Sequence[float], begin: float, end: float) -> float:
    """Return the longest stretch between `begin` and `end` in which none of the times lies."""
    inside = sorted(time for time in times if begin < time < end)
    return max(after - before for before, after in pairwise([begin, *inside, end]))
