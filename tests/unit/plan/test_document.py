"""A plan as JSON says all of it, always the same, and its digest changes with what matters."""

from __future__ import annotations

import json
from dataclasses import replace

from helpers.environments import environment_file
from helpers.pretend_fly import applied, with_machine
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.document import canonical, plan_digest, plan_document
from roost.plan.live import Live
from roost.plan.steps import Refusal

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"


def desired_of(**fields):
    return desired_state(environment_file(**fields), IMAGE)


def update_plan(state="started", **fields):
    return diff(desired_of(machine={"memory_mb": 1024}), applied(desired_of(**fields), state))


def test_a_plan_is_one_object_with_steps_and_digest():
    document = json.loads(canonical(plan_document(diff(desired_of(), Live()))))

    assert document["digest"] == plan_digest(diff(desired_of(), Live()))
    assert document["steps"][0]["kind"] == "create-app"
    assert document["risk"] == "none"
    assert document["base"]["app"] is False


def test_a_step_is_written_with_its_own_fields_and_the_common_ones():
    [step] = plan_document(update_plan())["steps"]

    assert (step["kind"], step["key"], step["risk"]) == (
        "update-machine",
        "machine/app-1",
        "restart",
    )
    assert step["changes"] == [{"field": "guest.memory_mb", "old": 512, "new": 1024}]
    assert step["config"]["guest"]["memory_mb"] == 1024


def test_refusals_are_written_with_their_way_out():
    plan = replace(update_plan(), refusals=(Refusal("k", "what", "advice"),))

    assert plan_document(plan)["refusals"] == [{"key": "k", "what": "what", "advice": "advice"}]


def test_canonical_text_does_not_depend_on_the_order_of_keys():
    assert canonical({"b": 1, "a": "\u00e9"}) == canonical({"a": "\u00e9", "b": 1})
    assert canonical({"a": "\u00e9"}).isascii()


def test_the_digest_survives_the_server_falling_asleep():
    """Between the approval of a plan and its apply the server may go to sleep."""
    assert plan_digest(update_plan("started")) == plan_digest(update_plan("suspended"))


def test_the_digest_does_not_depend_on_wording():
    plan = update_plan()
    reworded = replace(plan, steps=(replace(plan.steps[0], summary="said otherwise"),))

    assert plan_digest(reworded) == plan_digest(plan)


def test_the_digest_changes_with_the_steps_the_base_and_the_environment():
    plan = update_plan()
    [step] = plan.steps
    moved = diff(
        desired_of(machine={"memory_mb": 1024}),
        with_machine(applied(desired_of()), instance_id="another"),
    )

    others = (
        moved,
        replace(plan, environment="production"),
        replace(plan, app="other"),
        replace(plan, steps=()),
        replace(plan, steps=(replace(step, config={}),)),
    )

    assert len({plan_digest(other) for other in (plan, *others)}) == len(others) + 1
