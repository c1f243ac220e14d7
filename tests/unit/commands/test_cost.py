"""cost: what is paid for, line by line, from the file and the price list alone."""

from __future__ import annotations

import json

import pytest

from roost.environment.load import load_environment
from roost.operations.context import PROJECT
from roost.plan.cost import cost_change, read_prices
from roost.plan.desired_state import desired_state
from roost.plan.live import Live


def lines(said):
    """The amounts of the one environment that was asked for, by line."""
    [found] = json.loads(said.out)["environments"]
    return found["lines"]


def test_a_table_shows_what_is_paid_for_asleep_and_awake(roost, fly):
    said = roost("cost", "staging")

    assert (said.code, said.err) == (0, "")
    head, *rows = said.out.splitlines()
    assert head.split("  ")[0] == "staging"
    assert [word in head for word in ("asleep", "2 h a day", "8 h a day", "always on")] == [
        True
    ] * 4
    assert [row.split("  ")[0] for row in rows[:4]] == [
        *("machine, awake", "root file system, asleep", "volume", "total")
    ]
    assert all(len(line) <= 80 for line in said.out.splitlines()[:5])
    assert not fly.asked


def test_it_agrees_with_the_plan(roost, tmp_path):
    """Asleep and always on are the two figures that a plan shows."""
    file = load_environment("staging", tmp_path)
    prices = read_prices(PROJECT / "deploy" / "prices.yaml")
    planned = cost_change(prices, desired_state(file, "none"), Live()).then

    total = lines(roost("cost", "staging", "--json"))["total"]

    assert (total[0], total[-1]) == (round(planned.low, 2), round(planned.high, 2))


def test_awake_hours_are_a_share_of_the_day(roost):
    found = lines(roost("cost", "staging", "--hours-per-day", "12", "--json"))

    asleep, *_, half, always = found["machine, awake"]
    assert (asleep, round(half * 2, 2)) == (0, pytest.approx(always, abs=0.02))


def test_a_server_that_never_sleeps_costs_the_same_in_each_column(roost, rewrite):
    rewrite(scaling={"min_machines_running": 1})

    found = lines(roost("cost", "staging", "--json"))

    assert len(set(found["machine, awake"])) == 1
    assert set(found["root file system, asleep"]) == {0}


def test_all_environments_and_their_sum(roost):
    said = roost("cost", "--all")

    assert said.code == 0
    assert [line.split("  ")[0] for line in said.out.splitlines()[:3]] == [
        *("environment", "staging", "total")
    ]


@pytest.mark.parametrize(
    "words", [(), ("staging", "--all"), ("staging", "--hours-per-day", "25"), ("nothing",)]
)
def test_what_makes_no_sense_is_refused(roost, words):
    assert roost("cost", *words).code == 3


def test_a_file_with_faults_is_refused(roost, tmp_path):
    (tmp_path / "broken.yaml").write_text("app: [\n")

    assert roost("cost", "--all").code == 3


def test_it_says_what_keeps_a_server_awake_and_so_which_column_counts(roost):
    said = " ".join(roost("cost", "staging").out.split())

    assert "A connected worker or serve() keeps the server awake." in said
    assert said.endswith("Such a server costs what the column always on says.")


OFFICE = {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"}


def test_windows_are_awake_hours_in_each_column_and_are_named(roost, rewrite):
    asleep = lines(roost("cost", "staging", "--json"))["machine, awake"][0]
    rewrite(scaling={"windows": [OFFICE]})

    said = roost("cost", "staging")
    [found] = json.loads(roost("cost", "staging", "--json").out)["environments"]

    assert "Awake in windows for 214 h a month: each column has at least these hours." in said.out
    assert "staging is awake in windows for 214 h a month" in roost("cost", "--all").out
    assert found["window_hours"] == 214.3
    assert found["lines"]["machine, awake"][0] > asleep == 0
