"""Which runs of an awake flow server lost their process, by what its launcher says."""

from __future__ import annotations

import json

import pytest

from helpers.asgi_calls import http
from roost_server.missing_processes import (
    GONE_S,
    RECENT_S,
    Missing,
    MissingProcesses,
    read_missing,
)


def missing(gone=(), unseen=()):
    return Missing(frozenset(gone), frozenset(unseen))


def said(now_s, *reports):
    """Return what is known of a boot whose launcher said these things, each at its second."""
    known = MissingProcesses("b1")
    for at, report in reports:
        known.note(report, at)
    return known.lost(now_s, GONE_S)


def test_a_run_is_lost_when_its_process_stays_away():
    reports = [(at, missing(["r"], ["u"])) for at in (0, 40, 80, 119)]

    assert said(119, *reports) == missing()
    assert said(120, *reports) == missing(["r"], ["u"])


def test_one_whose_process_is_there_again_is_not():
    reports = [(0, missing(["r"])), (60, missing()), (100, missing(["r"]))]

    assert said(121, *reports) == missing()


def test_an_old_report_says_nothing():
    assert said(GONE_S + RECENT_S + 1, (0, missing(["r"])), (GONE_S, missing(["r"]))) == missing()


def test_a_run_that_is_executed_anew_has_its_full_time_again():
    known = MissingProcesses("b1")
    known.note(missing(["r"], ["r"]), 0)
    known.forget("r")
    known.note(missing(["r"]), 100)

    assert known.lost(125, GONE_S) == missing()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (json.dumps({"gone": ["r"], "unseen": ["u", 7]}), missing(["r"], ["u"])),
        (json.dumps({}), missing()),
        (json.dumps({"gone": "r"}), missing()),
        ("[]", None),
        ("x", None),
        ("[" * 100_000, None),
    ],
)
def test_what_a_launcher_says_is_read_strictly(value, found):
    assert read_missing(http(x_roost_missing_processes=value)) == found


def test_an_older_launcher_says_nothing():
    assert read_missing(http()) is None
