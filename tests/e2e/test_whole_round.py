"""From one file to a proved server: plan, apply, and then nothing left to do."""

from __future__ import annotations

import re

from helpers.api_door import counting
from helpers.prefect_site import NAME

STEPS = ["create-app", "assign-ip", "assign-ip", "create-volume", "set-secrets", "create-machine"]
# What smoke proves; the gate of an apply proves more.
CHECKS = {
    *("health", "ready", "auth closed", "version", "database", "ui"),
    *("costly pages closed", "flow run", "events", "scheduler"),
}


def test_the_first_plan_has_every_step_in_order_and_a_digest(site):
    assert [step["kind"] for step in site.first_plan["steps"]] == STEPS
    assert re.fullmatch("[0-9a-f]{64}", site.first_plan["digest"])


def test_a_plan_changes_nothing(site):
    assert site.apps_after_plan == {}


def test_apply_does_what_was_planned_and_every_check_of_its_gate_passes(site):
    gate = site.first_apply["gate"]

    assert site.first_apply["digest"] == site.first_plan["digest"]
    assert {check["name"] for check in gate} >= CHECKS | {"started"}
    assert all(check["ok"] for check in gate)


def test_the_plan_after_it_is_empty(site):
    plan = site.roost.json("plan", NAME, "--local")

    assert (plan["steps"], plan["refusals"], plan["warnings"]) == ([], [], [])


def test_an_apply_with_nothing_to_do_only_reads_and_little(site):
    with counting(str(site.daemon.client.base_url)) as door:
        fly = {"FLY_FLAPS_BASE_URL": door.url, "FLY_API_TOKEN": "any"}
        document = site.roost.json("apply", NAME, **fly)

    assert (document["steps"], document["gate"]) == ([], [])
    assert set(door.methods) == {"GET"}
    assert len(door.calls) <= 8


def test_status_tells_what_runs_and_where(site):
    status = site.roost.json("status", NAME, "--local")

    assert [(m["id"], m["name"]) for m in status["machines"]] == [(site.machine, "app-1")]
    assert status["url"] == f"http://127.0.0.1:{site.url().rpartition(':')[2]}"
    assert [volume["size_gb"] for volume in status["volumes"]] == [1]


def test_smoke_proves_the_server_once_more(site):
    checks = site.roost.json("smoke", NAME, "--local")["checks"]

    assert {check["name"] for check in checks} >= CHECKS
    assert all(check["ok"] for check in checks)


def test_the_file_is_valid(site):
    assert site.roost.run("validate").stdout == "1 environment valid.\n"
