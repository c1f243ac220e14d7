"""All environments as one page of HTML that needs nothing else: no script, no font, no address. Pure.

Names and notes come from files and from Fly, so each is escaped, and the page's own policy forbids
scripts, and everything from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from roost.errors.command import TYPED, rendered
from roost.plan.awake_time import DAY_S, count_by_day, hours_by_day, last_days
from roost.plan.fleet import NEED_A_PERSON, FleetRow, State
from roost.plan.month_cost import Month, MonthCost
from roost.plan.releases import Release, Verdict
from roost.report.fleet import COLUMNS, UNKNOWN, fleet_notes, fleet_summary
from roost.report.fleet_style import STYLE
from roost.report.html import Part, element
from roost.report.markdown import is_plain_url
from roost.report.plots import DayBar, Moment, NameBar, days_plot, names_plot, time_line

DAYS = 14
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
FORGOTTEN = "An outlined day is unknown: Fly has forgotten it."
_SHADES = {State.AWAKE: "awake", State.ASLEEP: "asleep"}


def fleet_page(rows: Sequence[FleetRow], now: datetime, prices: str) -> str:
    """Return the page.

    Args:
        rows: the environments.
        now: the time at which they were read.
        prices: the day of the price list.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "Fleet"),
        element("style", Part(STYLE)),
    )
    body = element(
        "body",
        element("h1", "Fleet"),
        element("p", rendered(fleet_summary(rows, now), TYPED)),
        _notes(rows),
        _table(rows, now),
        *_plots(rows, now),
        element("footer", f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC. Prices of {prices}, in USD."),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _notes(rows: Sequence[FleetRow]) -> Part:
    notes = list(fleet_notes(rows))
    notes += [f"{row.name}: {row.error.message}" for row in rows if row.error]
    if not notes:
        return element("p", "Nothing needs a person.", class_="calm")
    items = (element("li", rendered(note, TYPED)) for note in notes)
    return element("section", element("h2", "To look at"), element("ul", *items))


def _table(rows: Sequence[FleetRow], now: datetime) -> Part:
    head = element("tr", *(element("th", column.head, scope="col") for column in COLUMNS))
    lines = [
        element("tr", *(_cell(column.head, column.cell(row, now), row) for column in COLUMNS))
        for row in rows
    ]
    table = element("table", element("thead", head), element("tbody", *lines))
    return element("section", element("h2", "Environments"), table)


def _cell(head: str, text: str, row: FleetRow) -> Part:
    """Return a cell; on a phone the heading stands before it."""
    inside: str = text
    if head == "state":
        shade = "bad" if row.state in NEED_A_PERSON else _SHADES.get(row.state, "other")
        inside = element("span", text, class_=f"state {shade}")
    elif head == "address" and is_plain_url(text):
        inside = element("a", text.partition("//")[2], href=text, rel="noreferrer")
    return element("td", inside, data_head=head, class_="none" if text == UNKNOWN else None)


def _plots(rows: Sequence[FleetRow], now: datetime) -> Iterable[Part]:
    days = last_days(DAYS, now)
    if awake := [_awake(row, days) for row in rows if row.awake]:
        full = "Full height: 24 h, for each machine."
        yield _small("Awake hours a day", f"{full} {FORGOTTEN}", awake)
    if starts := [_starts(row, days) for row in rows if row.awake]:
        yield _small("Starts a day", f"Full height: the most of each. {FORGOTTEN}", starts)
    if any(row.releases for row in rows):
        yield _releases(rows, now)
    if costs := [_cost(row.name, row.cost) for row in rows if row.cost]:
        hint = f"Dark: so far. Pale: at the end of {now.astimezone(UTC):%B}. +: at least."
        plot = names_plot("cost by environment", costs)
        yield element("section", element("h2", "Cost"), element("p", hint), plot)


def _small(heading: str, hint: str, figures: Sequence[Part]) -> Part:
    """Return a plot for each environment, side by side where there is room."""
    grid = element("div", *figures, class_="grid")
    return element("section", element("h2", heading), element("p", hint), grid)


def _awake(row: FleetRow, days: Sequence[date]) -> Part:
    spans = [span for awake in row.awake for span in awake.spans]
    bars = _day_bars(row, days, hours_by_day(spans, days))
    hours = sum(bar.value or 0 for bar in bars)
    return _figure(row, bars, 24.0 * len(row.awake), "h", f"{hours:.4g} h in {len(days)} days")


def _starts(row: FleetRow, days: Sequence[date]) -> Part:
    times = [at for awake in row.awake for at in awake.wakes]
    bars = _day_bars(row, days, count_by_day(times, days))
    values = [bar.value or 0 for bar in bars]
    most = max(1.0, *values)
    return _figure(row, bars, most, "", f"{sum(values):g}, at most {max(values):g} a day")


def _figure(row: FleetRow, bars: Sequence[DayBar], most: float, unit: str, total: str) -> Part:
    caption = element("figcaption", row.name, element("span", total))
    return element("figure", caption, days_plot(f"{row.name}: {total}", bars, most, unit))


def _day_bars(row: FleetRow, days: Sequence[date], values: Sequence[float]) -> tuple[DayBar, ...]:
    """Return a bar for each day; it is unknown before the oldest event, and partial on its day."""
    known = max(awake.known_from for awake in row.awake)
    found = []
    for day, value in zip(days, values, strict=True):
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        is_known = begin + DAY_S > known or value > 0
        found.append(DayBar(day, value if is_known else None, is_known and begin < known))
    return tuple(found)


def _releases(rows: Sequence[FleetRow], now: datetime) -> Part:
    shown = [(row, [r for r in row.releases if _at(r)]) for row in rows]
    times = [_at(release) for _, releases in shown for release in releases]
    end = Month.of(now).now
    begin = min([*times, end - DAY_S])
    lines = [
        (row.name, [_moment(release, begin, end) for release in releases])
        for row, releases in shown
        if releases
    ]
    since = datetime.fromtimestamp(begin, UTC)
    hint = f"From {since:%Y-%m-%d} until now. A square failed; a pale point is not proved."
    plot = time_line("releases on a time line", lines)
    return element("section", element("h2", "Releases"), element("p", hint), plot)


def _at(release: Release) -> float:
    """Return when a release began, in seconds; 0 if that is unknown."""
    try:
        return datetime.fromisoformat(release.at).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _moment(release: Release, begin: float, end: float) -> Moment:
    kinds = {Verdict.GOOD: "good", Verdict.FAILED: "failed"}
    kind = kinds.get(release.verdict, "unproved")
    label = f"{release.number} {release.verdict.value}, {release.at}, Prefect {release.prefect}"
    share = (_at(release) - begin) / (end - begin)
    return Moment(min(1.0, max(0.0, share)), kind, label)


def _cost(name: str, cost: MonthCost) -> NameBar:
    sign = "+" if cost.at_least else ""
    label = f"${cost.so_far:.2f} / ${cost.at_end:.2f}{sign}"
    return NameBar(name, cost.so_far, cost.at_end, label)
