"""What the part `replicated` calls lost, failed and late."""

from __future__ import annotations

import pytest

from chaos.replicated import LATEST_S, Blow, Round, Write, judge, read_write
from chaos.report import replicated_table

GOOD = Write("run", "one", seconds=0.5)


@pytest.mark.parametrize(
    ("line", "write"),
    [
        ("ok log blow-1-0-7 0.25\n", Write("log", "blow-1-0-7", seconds=0.25)),
        ("failed run blow-1-0-8 PrefectHTTPStatusError\n", Write("run", "blow-1-0-8", "PrefectHTTPStatusError")),
    ],
    ids=["acknowledged", "given up"],
)  # fmt: skip
def test_a_line_of_the_clients_is_a_write(line, write):
    assert read_write(line) == write


@pytest.mark.parametrize(
    ("blow", "fault"),
    [
        (Blow("a", [GOOD], ["one"]), "1 acknowledged rows are lost"),
        (Blow("a", [GOOD, Write("run", "two", "ConnectError")]), "1 writes failed"),
        (Blow("a", [GOOD], repeated=[Write("state", "one")]), "1 writes are there twice"),
        (Blow("a", [GOOD], late_s=LATEST_S + 1), "first run after 61 s"),
    ],
    ids=["lost", "failed", "twice", "late"],
)
def test_a_promise_that_was_not_kept_is_a_fault(blow, fault):
    [found] = Round([Blow("good", [GOOD], late_s=LATEST_S), blow]).faults()

    assert fault in found


def test_a_run_that_was_made_twice_is_a_fault():
    assert Round(twice=["d1 2026-01-01"]).faults() == ["made twice: d1 2026-01-01"]


def test_the_table_has_a_row_for_each_part_with_the_worst_of_its_times():
    blows = [Blow("a", [GOOD], late_s=2), Blow("a", [Write("run", "two", seconds=7.25)], late_s=1)]

    text = replicated_table(Round(blows, runs=12))

    assert (
        "| a            | 2     | 2      | 0    | 0                 | 0           | 7.2 s" in text
    )
    assert "Of 12 runs that schedules made, 0 were made twice." in text


def test_a_run_that_a_client_sent_again_is_counted_and_is_no_fault():
    blow = judge("a", [GOOD], {("run", "one"): 2}, 0)

    assert (blow.repeated, blow.lost, [*blow.faults()]) == ([GOOD], [], [])


def test_only_an_acknowledged_write_of_its_kind_is_missed():
    given_up = Write("run", "two", "ConnectError")

    assert judge("a", [GOOD, given_up], {("flow", "one"): 1}, 0).lost == ["run one"]
