"""budget: what the plan, its cost, drift and status say of it; it stops nothing."""

from __future__ import annotations

import json

import pytest
import yaml

from helpers.environments import environment_data
from roost.plan.budget import BudgetCheck
from roost.plan.document_reader import read_plan


@pytest.fixture
def budget(roost, tmp_path):
    """Write `staging` with a budget; it costs $0.20 asleep, and $3.34 awake."""

    def write(monthly_usd, **fields):
        limit = {"budget": {"monthly_usd": monthly_usd}} if monthly_usd else {}
        data = environment_data(app="acme-prefect", **limit, **fields)
        (tmp_path / "staging.yaml").write_text(yaml.safe_dump(data))
        return roost

    return write


@pytest.mark.parametrize(
    ("monthly_usd", "says"),
    [
        (0.1, "passed by at least $0.10, also if it sleeps all month."),
        (2, "kept if it is awake for at most 13.7 h a day."),
        (4, "kept also if it never sleeps."),
    ],
)
def test_the_cost_and_the_plan_say_whether_it_is_kept(budget, monthly_usd, says):
    roost = budget(monthly_usd)
    sentence = f"Budget: ${monthly_usd:.2f} a month, {says}"

    cost, plan = roost("cost", "staging"), roost("plan", "staging")

    assert sentence in cost.out
    assert sentence in plan.out.replace("\n", " ")
    assert ("its budget is $0.10" in plan.out.replace("\n", " ")) == (monthly_usd < 0.2)
    document = json.loads(roost("cost", "staging", "--json").out)
    [found] = document["environments"]
    assert found["budget"] == {
        "monthly_usd": monthly_usd,
        "low": 0.2,
        "high": 3.34,
        "hours_per_day": {0.1: 0.0, 2: 13.7, 4: 24.0}[monthly_usd],
    }


def test_its_awake_hours_are_those_that_the_cost_says_with_windows_too(budget):
    """The hours of a window are paid for once: up to them, the cost of a day is the same."""
    window = {"days": "mon-sun", "from": "08:00", "to": "20:00", "timezone": "UTC"}
    fields = {"scaling": {"windows": [window]}}
    asleep, budgeted = (
        json.loads(budget(limit, **fields)("cost", "staging", "--json").out)["environments"][0]
        for limit in (None, 2)
    )

    def total(of):
        listed = budget(2, **fields)("cost", "staging", "--hours-per-day", of, "--json").out
        [found] = json.loads(listed)["environments"]
        return found["lines"]["total"][found["hours_per_day"].index(of)]

    kept = budgeted["budget"]["hours_per_day"]
    assert asleep["lines"]["total"][0] < 2
    assert total(kept) <= 2 < total(round(kept + 0.2, 1))
    assert f"for at most {kept} h a day" in budget(2, **fields)("plan", "staging").out


def test_a_server_that_never_sleeps_is_held_to_what_it_costs_at_least(budget):
    said = budget(2, scaling={"min_machines_running": 1})("plan", "staging")

    assert "costs at least $3.34 a month, and its budget is $2.00" in said.out.replace("\n", " ")


def test_it_counts_what_stands_beside_the_server(budget):
    alone = json.loads(budget(2)("cost", "staging", "--json").out)
    waker = {"app": "acme-waker"}
    more = json.loads(budget(2, waker=waker)("cost", "staging", "--json").out)

    low = [found["environments"][0]["budget"]["low"] for found in (alone, more)]
    assert low[1] > low[0] + 1  # the waker never sleeps


def test_a_comment_reads_it_from_the_plan_and_the_digest_is_the_same(budget):
    with_it = json.loads(budget(0.1)("plan", "staging", "--json").out)
    without = json.loads(budget(None)("plan", "staging", "--json").out)

    plan, cost, _ = read_plan(with_it, "plans/staging.json")

    assert cost.budget == BudgetCheck(0.1, 0.2, 3.34, 0.0)
    assert any("its budget is $0.10" in warning for warning in plan.warnings)
    assert with_it["digest"] == without["digest"]
    assert "budget" not in without["cost"]


def test_drift_and_status_compare_it_with_the_month(budget):
    roost = budget(0.01)
    assert roost("apply", "staging").code == 0

    drift, every = roost("drift", "staging"), roost("drift", "--all", "--json")
    status, document = roost("status", "staging"), roost("status", "staging", "--json")

    sentence = " over its budget of $0.01 a month: "  # already, or at the end of the month
    assert sentence in drift.out
    assert sentence in status.out
    assert (drift.code, status.code) == (0, 0)
    [found] = json.loads(every.out)["budgets"]
    assert found["monthly_usd"] == 0.01
    assert found["month_end"] > 0.01
    assert json.loads(document.out)["budget"]["environment"] == "staging"


def test_an_environment_without_one_is_told_nothing_of_it(budget):
    roost = budget(None)
    assert roost("apply", "staging").code == 0

    said = roost("drift", "staging"), roost("status", "staging"), roost("cost", "staging")

    assert all("udget" not in each.out for each in said)
