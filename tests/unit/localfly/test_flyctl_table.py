"""The README's table of flyctl's commands: it is of the commands that are tried, in their order."""

from __future__ import annotations

from flyctl.commands import CASES
from flyctl.table import README, WORKS, Row, read, render, replace
from flyctl.trial import Result


def test_the_table_has_every_command_that_is_tried_and_what_is_expected_of_it():
    rows = read(README.read_text(encoding="utf-8"))

    assert [row.words for row in rows] == [case.words for case in CASES]
    assert [row.outcome == WORKS for row in rows] == [not case.refused for case in CASES]


def test_a_table_is_written_in_the_place_of_the_last_one_and_read_again():
    rows = [Row("status", WORKS), Row("ssh console", "The local Fly has no WireGuard.")]
    page = replace(README.read_text(encoding="utf-8"), render("flyctl v1", rows))

    assert read(page) == rows
    assert replace(page, render("flyctl v1", rows)) == page
    assert "1 of 2 commands work" in page


def test_a_refusal_is_shown_in_the_local_flys_own_words():
    graphql = "Error: failed to run query($a: A!) { app { id } }: Unknown. The local Fly has not."
    rest = 'Error: x (status 501): {"error":"the local Fly does not have it; see its README"}'
    flaps = "Error: no: the local Fly has no builders; use: x\nError: 1 (Request ID: 1-local)"

    assert Result(1, graphql).sentence == "The local Fly has not."
    assert Result(1, rest).sentence == "the local Fly does not have it; see its README"
    assert Result(1, flaps).sentence == "the local Fly has no builders; use: x"
    assert Result(1, "Error: broken\n").sentence == ""
