"""Statistics of measurements: medians, spreads, ratios and limits. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from math import ceil


class Unit(Enum):
    """The unit of a figure and its significant digits."""

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
        """The symbol of the unit."""
        return self.value[0]

    def tell(self, value: float) -> str:
        """Return a value with its unit; long times get fewer digits."""
        digits = 2 if self is Unit.SECONDS and value >= 1 else self.value[1]
        return f"{value:.{digits}f} {self.label}".rstrip()


@dataclass(frozen=True)
class Sample:
    """The values of one repeated measurement."""

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
        """The minimum and the maximum."""
        return min(self.values), max(self.values)


class Aim(Enum):
    """What a limit applies to, and which side of it is good."""

    RATIO_AT_MOST = auto()
    AT_MOST = auto()
    AT_LEAST = auto()


@dataclass(frozen=True)
class Limit:
    """A target with its figure; a missed one is reported and fails nothing."""

    aim: Aim
    value: float


@dataclass(frozen=True)
class Row:
    """A comparison: ours, stock if it has the feature, and the target if there is one."""

    what: str
    unit: Unit
    ours: Sample
    stock: Sample | None = None
    limit: Limit | None = None

    @property
    def ratio(self) -> float | None:
        """The ratio of the medians, ours to stock; None if it has no meaning."""
        if self.stock is None or self.stock.median == 0:
            return None
        return self.ours.median / self.stock.median

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a comparison."""
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
    """The result of a subject; `about` explains each row in Markdown."""

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
