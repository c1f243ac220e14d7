"""Tables of the benchmarks, for a terminal and for the page."""

from __future__ import annotations

from bench.stats import Aim, Limit, Row, Sample, Table, Unit
from bench.text import Circumstances, cells, merged, section, terminal

WAKE = Row(
    "stopped",
    Unit.SECONDS,
    Sample((4.6, 4.4, 5.0)),
    Sample((6.0, 6.9, 7.0)),
    Limit(Aim.RATIO_AT_MOST, 0.85),
)
CALLS = Row("calls", Unit.CALLS, Sample((5, 5, 5)), limit=Limit(Aim.AT_MOST, 4))
PLAIN = Row("idle | at rest", Unit.MEGABYTES, Sample((190.4,)))
TABLE = Table("start", "from asleep", "What it means.", (WAKE, CALLS, PLAIN))
HERE = Circumstances("./run bench start", "2026-11-23", "2 cores, Python 3.11.7", 3)
OPENING = "# Benchmarks\n\nWritten by a command.\n"


def test_a_row_tells_median_spread_ratio_and_verdict():
    assert cells(WAKE) == (
        "stopped",
        "4.60 s (4.40 s to 5.00 s)",
        "6.90 s (6.00 s to 7.00 s)",
        "0.67",
        "<= 0.85 of stock: met",
    )


def test_a_missed_aim_is_told_and_a_spread_of_nothing_is_not():
    assert cells(CALLS) == ("calls", "5 calls", "-", "-", "<= 4 calls: missed")


def test_a_ratio_that_could_not_be_measured_is_neither_met_nor_missed():
    row = Row("stopped", Unit.SECONDS, Sample((1.0,)), limit=Limit(Aim.RATIO_AT_MOST, 0.5))

    assert cells(row)[-1] == "<= 0.5 of stock: not measured"


def test_on_a_terminal_columns_stand_below_each_other():
    title, *lines = terminal(TABLE).splitlines()

    assert title == "start: from asleep"
    assert {
        line.index(word) for line, word in zip(lines, ("ours", "4.60", "5 c", "190"), strict=True)
    } == {lines[0].index("ours")}


def test_a_section_says_how_it_was_measured_and_what_its_rows_mean():
    text = section(TABLE, HERE)

    assert text.startswith("## start: from asleep\n\n`./run bench start`, 2026-11-23, 2 cores")
    assert "medians of 3 runs" in text
    assert text.endswith("\nWhat it means.\n")


def test_a_cell_cannot_break_its_row():
    (line,) = (line for line in section(TABLE, HERE).splitlines() if "at rest" in line)

    assert line == r"| idle \| at rest | 190 MB | - | - | - |"


def test_a_page_is_made_of_its_sections_in_order():
    page = merged("", [("start", "## start: a\n\nb\n"), ("help", "## help: c\n")], OPENING)

    assert page == f"{OPENING}\n## start: a\n\nb\n\n## help: c\n"


def test_measuring_one_subject_anew_leaves_the_others_as_they_were():
    before = merged("", [("start", "## start: a\n\nb\n"), ("help", "## help: c\n")], OPENING)

    after = merged(before, [("start", "## start: new\n")], OPENING)

    assert after == f"{OPENING}\n## start: new\n\n## help: c\n"


def test_writing_the_same_twice_changes_nothing():
    sections = [("start", section(TABLE, HERE))]
    page = merged("", sections, OPENING)

    assert merged(page, sections, OPENING) == page


def test_a_subject_that_was_not_there_comes_last():
    before = merged("", [("help", "## help: c\n")], OPENING)

    assert merged(before, [("start", "## start: a\n")], OPENING).endswith("c\n\n## start: a\n")
