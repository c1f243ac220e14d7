"""The page of all environments: whole in itself, escaped, and with plots of what is known alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from roost.errors import FlyUnavailableError
from roost.errors.command import Command
from roost.plan.awake_time import AwakeTime, Span
from roost.plan.desired import VERSION_KEY
from roost.plan.fleet import FleetRow, State
from roost.plan.month_cost import MonthCost
from roost.plan.next_due import NextDue
from roost.plan.override import Override
from roost.plan.releases import Release, Verdict
from roost.report.fleet_page import fleet_page
from roost.report.html import element
from roost.report.plots import DayBar, Moment, days_plot, time_line

NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
T, HOUR, DAY = NOW.timestamp(), 3600.0, 86400.0
HOSTILE = "</title><script>alert(1)</script>\"'<img src=x onerror=y>\n\x1b[2J"
VOID = {"meta", "rect", "line", "circle"}


def release(number, verdict, ago):
    config = {"metadata": {VERSION_KEY: "3.9.1"}}
    at = (NOW - timedelta(seconds=ago)).isoformat()
    return Release(number, "iad", config, 1, verdict=verdict, at=at)


def awake(*pairs, known=30 * DAY):
    """Awake from each first to each second of the pairs, in hours ago."""
    spans = tuple(Span(T - begin * HOUR, T - end * HOUR) for begin, end in pairs)
    return AwakeTime(spans, T - known, wakes=tuple(span.begin for span in spans))


RELEASES = (
    release(1, Verdict.GOOD, 9 * DAY),
    release(2, Verdict.FAILED, 3 * DAY),
    release(3, Verdict.UNPROVED, DAY),
)
ROWS = (
    FleetRow("broken", "acme-broken", State.ERROR, error=FlyUnavailableError("Fly is away.")),
    FleetRow(
        "production",
        "acme-prefect",
        State.AWAKE,
        "https://acme-prefect.fly.dev",
        "3.9.1",
        RELEASES[-1],
        RELEASES,
        drift=2,
        override=Override({"count": 1}, NOW + timedelta(hours=4), "demo", "ada", NOW),
        awake_since=NOW - timedelta(hours=5),
        disk_percent=41,
        cost=MonthCost(1.25, 3.34, at_least=True),
        awake=(awake((130, 100), (5, 0), known=6 * DAY),),
        notes=(f"It differs from its file: 2 differences. See which: {Command('drift', 'x')}",),
    ),
    FleetRow(
        "staging",
        "acme-staging",
        State.ASLEEP,
        "http://acme-staging.flycast",
        "3.8.8",
        RELEASES[0],
        RELEASES[:1],
        drift=0,
        next_due=NextDue(NOW + timedelta(hours=2), "nightly", "load/all"),
        disk_percent=3,
        cost=MonthCost(0.1, 0.2),
        awake=(awake((30, 29), (6, 5)),),
    ),
)


class Outline(HTMLParser):
    """The elements of a page; an end tag that does not belong to the last open one is a fault."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.found, self.texts, self.faults = [], [], [], []

    def handle_starttag(self, tag, attrs):
        """Note an element that begins."""
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Note an element without an end tag."""
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        """Close the last open element."""
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        """Note a text."""
        self.texts.append(data)


def outline(page):
    found = Outline()
    found.feed(page)
    assert (found.open, found.faults) == ([], [])
    return found


def test_how_it_looks(check_golden):
    check_golden("fleet.html", fleet_page(ROWS, NOW, "2026-08-09"))


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ()], ids=["all", "one unreadable", "none"])
def test_it_is_whole_and_loads_nothing(rows):
    found = outline(fleet_page(rows, NOW, "2026-08-09"))

    assert not {"script", "link", "img", "iframe", "object", "form"} & {
        tag for tag, _ in found.found
    }
    addresses = [a.get(name) for _, a in found.found for name in ("href", "src", "srcset")]
    assert {a for a in addresses if a} <= {row.address for row in rows}
    [policy] = [a["content"] for _, a in found.found if "http-equiv" in a]
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"url\(|@import|@font-face", fleet_page(rows, NOW, "x"))


def test_what_a_stranger_wrote_is_text_in_every_place():
    fields = {"name": HOSTILE, "app": HOSTILE, "prefect": HOSTILE, "address": "javascript:alert(1)"}
    bad = Release(1, "iad", {"metadata": {VERSION_KEY: HOSTILE}}, 1, at=NOW.isoformat())
    more = {"release": bad, "releases": (bad,), "notes": (HOSTILE,), "awake": ROWS[1].awake}
    row = FleetRow(state=State.AWAKE, cost=MonthCost(1, 2), **fields, **more)

    page = fleet_page([row], NOW, HOSTILE)

    plain = outline(fleet_page([FleetRow("a", "b", State.AWAKE, **more_of(ROWS[1]))], NOW, "x"))
    found = outline(page)
    assert {tag for tag, _ in found.found} <= {tag for tag, _ in plain.found}
    assert not [a for _, attributes in found.found for a in attributes if a.startswith("on")]
    assert not [a for _, a in found.found if "javascript" in a.get("href", "")]
    assert "\x1b" not in page
    assert any("<script>" in text for text in found.texts)


def more_of(row):
    return {
        "address": row.address,
        "releases": row.releases,
        "awake": row.awake,
        "cost": row.cost,
        "notes": row.notes,
    }


def test_a_day_that_fly_has_forgotten_is_drawn_as_unknown_and_a_part_as_at_least():
    page = fleet_page(ROWS, NOW, "x")

    assert "2026-11-09: unknown" in page
    assert "2026-11-10: at least 0 h" in page
    assert "2026-11-16: 5 h" in page
    assert "2026-11-16: unknown" not in page


def test_a_bar_is_as_high_as_its_share_and_never_higher_than_the_plot():
    day = NOW.date()
    plot = days_plot("t", [DayBar(day, 12.0), DayBar(day, 99.0), DayBar(day, 0.0)], 24.0, "h")

    heights = [float(h) for h in re.findall(r'height="([\d.]+)"', plot)]
    assert heights == [27.0, 54.0, 0.0]


def test_a_failed_release_has_another_shape_than_a_good_one():
    plot = time_line("t", [("a", [Moment(0, "good", "1"), Moment(1, "failed", "2")])])

    assert (plot.count("<circle"), plot.count("<rect")) == (1, 1)


def test_a_text_is_escaped_and_a_part_is_not():
    inner = element("b", "<&>")

    assert element("p", inner, title='"') == '<p title="&quot;"><b>&lt;&amp;&gt;</b></p>'
