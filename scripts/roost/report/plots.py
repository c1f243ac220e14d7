"""Plots as inline SVG: bars by day, bars by name, and points on a time line. Pure.

Sizes are in the units of the view box, which the page scales to its width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from roost.report.html import Part, element, joined

WIDTH = 320
DAY_HEIGHT, FOOT = 56, 14
ROW, LABEL, AMOUNT = 24, 100, 100
RADIUS = 5


@dataclass(frozen=True)
class DayBar:
    """The bar of one day.

    Args:
        day: the day.
        value: its height; None if nothing is known of the day.
        is_partial: whether only a part of the day is known, so that it is at least the value.
    """

    day: date
    value: float | None
    is_partial: bool = False


def days_plot(title: str, bars: Sequence[DayBar], most: float, unit: str) -> Part:
    """Return bars by day, below a fixed height; an unknown day is an empty outline.

    Args:
        title: what is shown, for those who do not see it.
        bars: the days, the oldest first.
        most: the value of a bar of full height.
        unit: the unit, such as `h`.
    """
    step = WIDTH / max(1, len(bars))
    drawn = [_day_bar(bar, number * step, step, most, unit) for number, bar in enumerate(bars)]
    floor = element("line", x1=0, x2=WIDTH, y1=DAY_HEIGHT, y2=DAY_HEIGHT, class_="axis")
    ends = (bars[0].day, bars[-1].day) if bars else ()
    anchors = ((0, "start"), (WIDTH, "end"))
    labels = [
        element("text", f"{day:%d %b}", x=x, y=DAY_HEIGHT + FOOT - 2, text_anchor=anchor)
        for day, (x, anchor) in zip(ends, anchors, strict=bool(ends))
    ]
    return _svg(title, DAY_HEIGHT + FOOT, *drawn, floor, *labels)


def _day_bar(bar: DayBar, x: float, step: float, most: float, unit: str) -> Part:
    if bar.value is None:
        tip = f"{bar.day}: unknown"
        share, kind = 1.0, "unknown"
    else:
        least = "at least " if bar.is_partial else ""
        tip = f"{bar.day}: {least}{bar.value:.4g} {unit}".rstrip()
        share, kind = min(1.0, bar.value / most) if most else 0.0, "bar"
    height = share * (DAY_HEIGHT - 2)
    return element(
        "g",
        element("title", tip),
        element(
            "rect",
            x=f"{x + 1:.1f}",
            y=f"{DAY_HEIGHT - height:.1f}",
            width=f"{step - 2:.1f}",
            height=f"{height:.1f}",
            class_=f"{kind} partial" if bar.is_partial else kind,
        ),
    )


@dataclass(frozen=True)
class NameBar:
    """Two amounts of one name, of which the first is a part of the second."""

    name: str
    part: float
    whole: float
    label: str


def names_plot(title: str, bars: Sequence[NameBar]) -> Part:
    """Return bars by name, the largest first: what is reached in full colour, the rest pale."""
    ordered = sorted(bars, key=lambda bar: (-bar.whole, bar.name))
    most = max((bar.whole for bar in ordered), default=0) or 1
    room = WIDTH - LABEL - AMOUNT
    rows = [_name_bar(bar, number * ROW, room / most) for number, bar in enumerate(ordered)]
    return _svg(title, max(1, len(ordered)) * ROW, *rows)


def _name_bar(bar: NameBar, y: int, scale: float) -> Part:
    widths = (("pale", bar.whole), ("bar", bar.part))
    drawn = [
        element("rect", x=LABEL, y=y + 5, width=f"{v * scale:.1f}", height=ROW - 10, class_=kind)
        for kind, v in widths
    ]
    end = LABEL + bar.whole * scale + 4
    return element(
        "g",
        element("title", f"{bar.name}: {bar.label}"),
        element("text", _short(bar.name), x=0, y=y + 16),
        *drawn,
        element("text", bar.label, x=f"{end:.1f}", y=y + 16),
    )


@dataclass(frozen=True)
class Moment:
    """One point of a time line.

    Args:
        at: where it is, from 0 (the begin) to 1 (now).
        kind: its class: good, failed, or other.
        label: what it is.
    """

    at: float
    kind: str
    label: str


def time_line(title: str, rows: Sequence[tuple[str, Sequence[Moment]]]) -> Part:
    """Return a line for each name with its points; a failed one is a square."""
    drawn = [_moments(name, found, number * ROW) for number, (name, found) in enumerate(rows)]
    return _svg(title, max(1, len(rows)) * ROW, *drawn)


def _moments(name: str, moments: Sequence[Moment], y: int) -> Part:
    middle = y + ROW // 2
    line = element("line", x1=LABEL, x2=WIDTH, y1=middle, y2=middle, class_="axis")
    points = [_point(moment, middle) for moment in moments]
    return element("g", element("text", _short(name), x=0, y=middle + 4), line, *points)


def _point(moment: Moment, y: int) -> Part:
    x = LABEL + RADIUS + moment.at * (WIDTH - LABEL - 2 * RADIUS)
    if moment.kind == "failed":
        corner = {"x": f"{x - RADIUS:.1f}", "y": y - RADIUS}
        shape = element("rect", **corner, width=2 * RADIUS, height=2 * RADIUS, class_="failed")
    else:
        shape = element("circle", cx=f"{x:.1f}", cy=y, r=RADIUS, class_=moment.kind)
    return element("g", element("title", moment.label), shape)


def _short(name: str, most: int = 15) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def _svg(title: str, height: float, *inside: str) -> Part:
    box = f"0 0 {WIDTH} {height:g}"
    label = element("title", title)
    return element("svg", joined(label, *inside), viewBox=box, role="img", aria_label=title)
