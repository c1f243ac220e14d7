"""plan and apply: what they say, what they end with, and what they never call."""

from __future__ import annotations

import json

import pytest

from helpers.fake_prefect import LOGIN
from roost.environment.model import AUTH_SECRET

DEBUG = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}


def planned(roost):
    """Return the plan as JSON."""
    said = roost("plan", "staging", "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def test_a_plan_is_one_object_with_steps_and_a_digest(roost):
    plan = planned(roost)

    assert [step["kind"] for step in plan["steps"]] == [
        *("create-app", "assign-ip", "assign-ip", "create-volume", "set-secrets"),
        "create-machine",
    ]
    assert len(plan["digest"]) == 64
    assert plan["cost"]["then"]["high"] > plan["cost"]["then"]["low"] > 0


def test_a_plan_is_the_same_text_twice_and_only_reads(roost, fly):
    assert roost("plan", "staging", "--json").out == roost("plan", "staging", "--json").out
    assert fly.changes == []


def test_a_plan_for_people_names_each_step_and_the_cost(roost):
    said = roost("plan", "staging")

    assert (said.code, said.err) == (0, "")
    assert "create the app acme-prefect in personal" in said.out
    assert "Cost: $" in said.out


def test_a_plan_ends_with_2_for_changes_only_where_that_is_asked_for(roost):
    assert roost("plan", "staging").code == 0
    assert roost("plan", "staging", "--exit-code").code == 2

    roost("apply", "staging")

    assert roost("plan", "staging", "--exit-code").code == 0


def test_what_is_refused_is_a_change_too(roost, rewrite):
    rewrite(database={"backend": "sqlite", "volume_gb": 3})
    roost("apply", "staging")
    rewrite()

    said = roost("plan", "staging", "--exit-code")

    assert said.code == 2
    assert "refused: volume/data: the volume has 3 GB" in said.out


def test_an_apply_tells_each_step_and_each_check_and_nothing_on_standard_output(roost):
    said = roost("apply", "staging")

    assert (said.code, said.out) == (0, "")
    for words in ("create the machine app-1 in iad", "Gate: https://acme-prefect.fly.dev"):
        assert words in said.err
    assert "FAIL" not in said.err
    assert LOGIN not in said.err


def test_an_apply_as_json_is_one_object_with_the_gate(roost):
    said = roost("apply", "staging", "--json")

    document = json.loads(said.out)
    assert said.code == 0
    assert document["steps"]
    assert {"health", "started", "flow run"} <= {check["name"] for check in document["gate"]}
    assert all(check["ok"] for check in document["gate"])


def test_a_second_apply_changes_nothing_and_asks_the_server_nothing(roost, fly, prefect):
    roost("apply", "staging")
    fly.asked.clear()
    prefect.asked.clear()

    said = roost("apply", "staging", "--json")

    assert json.loads(said.out)["steps"] == []
    assert fly.changes == []
    assert prefect.asked == []


def test_the_plan_that_was_looked_at_is_applied_by_its_digest(roost, fly):
    digest = planned(roost)["digest"]

    assert roost("apply", "staging", "--digest", digest).code == 0
    assert fly.machines


def test_another_plan_than_the_one_with_that_digest_is_not_applied(roost, fly, rewrite):
    digest = planned(roost)["digest"]
    rewrite(DEBUG)

    said = roost("apply", "staging", "--digest", digest)

    assert said.code == 1
    assert said.err.startswith("roost: error [changed-meanwhile]: ")
    assert "roost plan staging" in said.err
    assert fly.changes == []


def test_a_secret_without_a_value_stops_an_apply_before_its_first_change(roost, fly, monkeypatch):
    monkeypatch.delenv(AUTH_SECRET)

    said = roost("apply", "staging")

    assert (said.code, said.out) == (3, "")
    assert f"error [secret-missing]: No value for {AUTH_SECRET}" in said.err
    assert fly.changes == []


def test_a_refused_plan_is_not_applied(roost, fly, rewrite):
    rewrite(database={"backend": "sqlite", "volume_gb": 3})
    roost("apply", "staging")
    rewrite(DEBUG)
    fly.asked.clear()

    said = roost("apply", "staging")

    assert said.code == 3
    assert "error [cannot-apply]: volume/data: the volume has 3 GB" in said.err
    assert fly.changes == []


@pytest.mark.parametrize(
    ("flaw", "found"),
    [
        ({"version": "3.7.0"}, "version"),
        ({"docs": True}, "costly pages closed"),
        ({"auth": False}, "auth closed"),
    ],
)
def test_a_server_that_fails_its_gate_is_told_with_the_check_and_leaves_its_data(
    roost, fly, prefect, flaw, found
):
    vars(prefect).update(flaw)

    said = roost("apply", "staging")

    assert said.code == 5
    assert "error [gate-failed-not-rolled-back]: " in said.err
    assert f"Checks failed: {found}: " in said.err
    assert f"FAIL {found}" in said.err
    assert fly.volumes
    assert fly.leases == {}


def test_a_machine_that_dies_under_the_gate_is_told_with_its_death(roost, fly, prefect):
    def die():
        [machine] = fly.machines.values()
        death = {"exit_event": {"oom_killed": True, "exit_code": 137}}
        machine["events"] = [{"id": "e1", "type": "exit", "request": death}]
        return "hang"

    prefect.broken = {("GET", "/api/health"): die}

    said = roost("apply", "staging")

    assert said.code == 5
    assert "was killed because its memory was full" in said.err
    assert "Set memory_mb of its machine to 1024" in said.err


def test_the_token_is_shown_nowhere(roost, fly):
    fly.organization = "somebody-else"

    said = roost("apply", "staging")

    assert said.code == 3
    assert "the app belongs to the organization somebody-else" in said.err
    assert "fm2_token" not in said.out + said.err
