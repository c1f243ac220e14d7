"""What the file leaves to somebody else is neither a difference nor overwritten, and is said."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.environments import environment_file
from helpers.histories import FAILED, History
from helpers.pretend_fly import PretendFly, applied, with_machine, with_volume_fields
from roost.environment.model import IGNORABLE_FIELDS
from roost.environment.scale import with_fields
from roost.plan.cost import cost_change, read_prices
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff, plan_from
from roost.plan.ignored import SLEEP, adopt
from roost.plan.rollback import roll_back

PRICES = Path(__file__).parents[3] / "deploy" / "prices.yaml"
IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
SETTINGS = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "INFO"}}}


def ignoring(*fields, **more):
    rules = [{"field": field, "reason": "autoscaler sets it"} for field in fields]
    return environment_file(SETTINGS, drift={"ignore": rules}, **more)


def adopted(file, live):
    return adopt(desired_state(file, IMAGE), live)


def live_with(file, *path, value):
    """Return what Fly has after an apply and another value, set by hand."""
    live = applied(desired_state(file, IMAGE))
    config = copy.deepcopy(live.machines[0].config)
    place = config
    for part in path[:-1]:
        place = place[part]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return with_machine(live, config=config)


CASES = {
    "guest.memory_mb": (("guest", "memory_mb"), 1024),
    "guest.cpus": (("guest", "cpus"), 2),
    "services[0].min_machines_running": (("services", 0, "min_machines_running"), 1),
    "services[0].autostop": (("services", 0, "autostop"), "stop"),
    "services[0].concurrency.soft_limit": (("services", 0, "concurrency", "soft_limit"), 5),
    "restart.max_retries": (("restart", "max_retries"), 1),
    "stop_config.timeout": (("stop_config", "timeout"), "1m0s"),
    "env.PREFECT_LOGGING_LEVEL": (("env", "PREFECT_LOGGING_LEVEL"), "DEBUG"),
}


@pytest.mark.parametrize("field", CASES)
def test_an_ignored_field_is_no_difference_and_is_said_with_its_reason(field):
    path, value = CASES[field]
    file = ignoring(field)
    live = live_with(file, *path, value=value)

    found = adopted(file, live)
    plan = found.annotate(diff(found.desired, live))

    assert plan.steps == ()
    assert [left.change.field for left in found.left] == [field]
    assert plan.warnings[0].startswith(f"Ignored: machine/app-1 {field} is {value} instead of ")
    assert plan.warnings[0].endswith(" (autoscaler sets it).")
    assert diff(desired_state(file, IMAGE), live).steps


@pytest.mark.parametrize("field", CASES)
def test_a_change_of_something_else_leaves_an_ignored_field_as_it_is(field):
    path, value = CASES[field]
    live = live_with(ignoring(field), *path, value=value)
    file = ignoring(field, scaling={"idle_after": "1h"})

    fly = PretendFly(live)
    [step] = diff(adopted(file, live).desired, live).steps
    fly.do(step)

    place = step.config
    for part in path:
        place = place[part]
    follows = ["env.ROOST_IDLE_ACTION"] if field in SLEEP else []
    assert [change.field for change in step.changes] == [*follows, "env.ROOST_IDLE_AFTER_S"]
    assert place == value
    assert diff(adopted(file, fly.live).desired, fly.live).steps == ()


def test_a_setting_that_was_taken_away_by_hand_stays_away_where_it_is_ignored():
    file = ignoring("env.PREFECT_LOGGING_LEVEL")
    live = live_with(file, "env", "PREFECT_LOGGING_LEVEL", value=None)

    found = adopted(file, live)

    assert diff(found.desired, live).steps == ()
    assert found.left[0].sentence == (
        "Ignored: machine/app-1 env.PREFECT_LOGGING_LEVEL is absent instead of INFO (autoscaler sets it)."
    )


def test_a_setting_that_only_somebody_else_has_stays_and_is_not_shown():
    """For all we know it is a password."""
    file = ignoring("env.PREFECT_API_KEY")
    live = live_with(file, "env", "PREFECT_API_KEY", value="hunter2")

    found = adopted(file, live)
    plan = found.annotate(diff(found.desired, live))

    assert plan.steps == ()
    assert plan.warnings == (
        "Ignored: machine/app-1 env.PREFECT_API_KEY is [hidden] instead of absent (autoscaler sets it).",
    )
    assert diff(desired_state(environment_file(SETTINGS), IMAGE), live).steps


@pytest.mark.parametrize(
    ("field", "value", "always_on"),
    [("min_machines_running", 1, 1), ("autostop", False, 1), ("autostop", "stop", 0)],
)
def test_how_many_stay_up_is_what_somebody_else_decided(field, value, always_on):
    """A machine that sleeps is not started for the file's sake, and the cost is that of live."""
    file = ignoring(f"services[0].{field}")
    live = live_with(file, "services", 0, field, value=value)
    stopped = with_machine(live, state="stopped")
    prices = read_prices(PRICES)

    found = adopted(file, stopped).desired
    cost = cost_change(prices, found, stopped)

    assert found.always_on == always_on
    assert cost.now == cost.then
    assert [step.kind for step in diff(found, stopped).steps] == ["start-machine"] * always_on


def test_a_server_of_always_on_is_not_kept_up_where_that_is_left_to_somebody_else():
    file = ignoring("services[0].min_machines_running", scaling={"min_machines_running": 1})
    live = live_with(file, "services", 0, "min_machines_running", value=0)

    found = adopted(file, with_machine(live, state="stopped")).desired

    assert diff(found, with_machine(live, state="stopped")).steps == ()


@pytest.mark.parametrize(("running", "action"), [(0, "suspend"), (1, "off")])
def test_with_windows_the_idle_action_follows_the_ignored_minimum_and_not_the_proxy(
    running, action
):
    """A release of always on, say, that an override made; Fly's proxy never stops such a server."""
    field = "services[0].min_machines_running"
    window = {"days": "daily", "from": "08:00", "to": "18:00", "timezone": "UTC"}
    file = ignoring(field, scaling={"windows": [window], "autostop": "suspend"})
    live = live_with(file, "services", 0, "min_machines_running", value=running)
    always = with_fields(file.environment, {"min_machines_running": 1 - running})
    wanted = replace(file, environment=with_fields(always, {"memory_mb": 1024}))

    [machine] = adopted(wanted, live).desired.machines

    assert machine.config["services"][0]["min_machines_running"] == running
    assert machine.config["env"]["ROOST_IDLE_ACTION"] == action


def set_by_hand(history, file, **guest):
    """Return the live state of a history whose machine has another size by now, and what is asked."""
    [machine] = history.live.machines
    config = {**machine.config, "guest": {**machine.config["guest"], **guest}}
    live = with_machine(history.live, config=config)
    return live, adopted(file, live).desired


def test_a_rollback_leaves_alone_what_somebody_else_sets():
    first = ignoring("guest.memory_mb")
    file = ignoring("guest.memory_mb", scaling={"idle_after": "1h"})
    history = History().went(desired_state(first, IMAGE)).went(desired_state(file, IMAGE))
    live, desired = set_by_hand(history, file, memory_mb=1024)

    recovery = roll_back(desired, live, None)
    [step] = plan_from(recovery, live).steps

    assert [change.field for change in step.changes] == ["env.ROOST_IDLE_AFTER_S"]
    assert step.config["guest"]["memory_mb"] == 1024
    assert (
        "Ignored: machine/app-1 guest.memory_mb is 1024 instead of 512 (autoscaler sets it)."
        in (recovery.items)
    )


def test_a_failure_is_gone_back_from_without_what_somebody_else_sets():
    first = ignoring("guest.memory_mb")
    file = ignoring("guest.memory_mb", scaling={"idle_after": "1h"})
    history = History().went(desired_state(first, IMAGE)).went(desired_state(file, IMAGE), FAILED)
    live, desired = set_by_hand(history, file, memory_mb=1024)

    [step] = [step for step in diff(desired, live).steps if step.kind == "update-machine"]

    assert step.config["guest"]["memory_mb"] == 1024
    assert step.config["env"]["ROOST_IDLE_AFTER_S"] == "300"


@pytest.mark.parametrize("guest", [{}, {"memory_mb": 1024}], ids=["as sent", "by hand"])
def test_what_failed_is_known_again_whatever_somebody_else_set_meanwhile(guest):
    file = ignoring("guest.memory_mb")
    good = ignoring("guest.memory_mb", scaling={"idle_after": "1h"})
    history = History().went(desired_state(file, IMAGE), FAILED).went(desired_state(good, IMAGE))
    live, desired = set_by_hand(history, file, **guest)

    [refusal] = diff(desired, live).refusals

    assert refusal.key == "release/1"
    assert "the same configuration failed" in refusal.what


def test_what_is_as_the_file_says_is_not_said_to_be_ignored():
    file = ignoring(*IGNORABLE_FIELDS)

    assert adopted(file, applied(desired_state(file, IMAGE))).left == ()


def test_a_volume_that_grew_by_itself_is_left():
    file = ignoring("volume.size_gb", "volume.snapshot_retention")
    live = with_volume_fields(applied(desired_state(file, IMAGE)), size_gb=7, snapshot_retention=9)

    found = adopted(file, live)
    plan = diff(found.desired, live)

    assert (plan.steps, plan.refusals) == ((), ())
    assert [(left.key, left.change.old) for left in found.left] == [
        ("volume/data", 7),
        ("volume/data", 9),
    ]


def test_every_field_that_can_be_ignored_is_one_that_is_asked_for():
    """So that no rule is taken that could never match."""
    desired = desired_state(environment_file(), IMAGE)
    config, volume = desired.machines[0].config, desired.volume
    known = {f"volume.{name}" for name in vars(volume)}
    known |= {f"{section}.{name}" for section in config for name in names(config[section])}
    known |= {f"services[0].{name}" for name in config["services"][0]}
    known |= {f"services[0].concurrency.{name}" for name in config["services"][0]["concurrency"]}

    assert set(IGNORABLE_FIELDS) <= known


def names(section):
    return section if isinstance(section, dict) else ()


def test_a_machine_whose_host_does_not_answer_is_left_to_the_plan():
    file = ignoring("guest.memory_mb")
    live = with_machine(applied(desired_state(file, IMAGE)), config=None)

    assert adopted(file, live).left == ()
