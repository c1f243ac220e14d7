"""What the waker asks of Fly: one machine that never sleeps, in the private network, without a token."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.environments import environment_file
from helpers.plans import PRICES
from helpers.pretend_fly import applied
from roost.environment.waker_unit import waker_units
from roost.plan.cost import cost_change, read_prices
from roost.plan.cost_table import cost_table
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.image import image_reference, is_our_image, version_in, waker_image_parts
from roost.plan.live import Live
from roost.plan.machine_config import environment_variables
from roost.plan.releases import draft
from roost.plan.steps import Risk

DEPLOY = Path(__file__).parents[3] / "deploy"
IMAGE = "registry.fly.io/acme-waker:waker-{}"
WAKER = {"waker": {"app": "acme-waker"}}


def desired_of(image="0123456789ab", **fields):
    (unit,) = waker_units(environment_file(**WAKER, **fields))
    return desired_state(unit, IMAGE.format(image))


def test_it_is_a_private_app_without_a_volume_or_a_secret():
    desired = desired_of()
    config = desired.machines[0].config

    assert (desired.app, desired.environment) == ("acme-waker", "staging.waker")
    assert desired.ip_types == ("private_v6",)
    assert (desired.volume, desired.secrets) == (None, ())
    assert config["metadata"][ENVIRONMENT_KEY] == "staging.waker"
    assert config["guest"] == {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
    assert config["env"]["ROOST_WAKER_ADDRESS"] == "http://acme-waker.flycast"


def test_nothing_puts_it_to_sleep_and_it_is_started_again():
    desired = desired_of()
    (service,) = desired.machines[0].config["services"]

    assert (service["autostop"], service["min_machines_running"]) == ("off", 1)
    assert [port["port"] for port in service["ports"]] == [80]
    assert desired.machines[0].config["restart"] == {"policy": "always"}
    assert desired.always_on == 1


def test_its_cost_is_that_of_a_machine_that_always_runs():
    desired, prices = desired_of(region="iad"), read_prices(PRICES)
    cost = cost_change(prices, desired, applied(desired)).now

    assert (round(cost.low, 2), round(cost.high, 2)) == (1.94, 1.94)
    server = desired_state(environment_file(), "none")
    table = cost_table("staging", server, prices, (0.0, 24.0), {"staging.waker": desired})
    assert table.lines[-2].name == "staging.waker: machine, awake"
    assert [round(amount, 2) for amount in table.lines[-2].amounts] == [1.94, 1.94]


@pytest.mark.parametrize(
    ("public", "address"),
    [(True, "https://acme-prefect.fly.dev"), (False, "http://acme-prefect.flycast")],
)
def test_a_server_knows_the_waker_and_where_it_is_reached_itself(public, address):
    file = environment_file(**WAKER, access={"public": public})
    variables = environment_variables(file.environment)

    assert variables["ROOST_WAKER"] == "http://acme-waker.flycast"
    assert variables["ROOST_SERVER_ADDRESS"] == address


def test_nothing_changes_for_a_server_without_one():
    variables = environment_variables(environment_file().environment)

    assert not {"ROOST_WAKER", "ROOST_SERVER_ADDRESS"} & set(variables)


def test_an_unchanged_waker_has_no_plan_and_another_image_is_a_restart():
    live = applied(desired_of())

    assert diff(desired_of(), live).steps == ()
    plan = diff(desired_of("ba9876543210"), live)
    assert (plan.risk, plan.refusals) == (Risk.RESTART, ())


def test_an_upgrade_of_prefect_does_not_change_it():
    live = applied(desired_of(prefect={"version": "3.8.8"}))

    assert diff(desired_of(prefect={"version": "3.9.1"}), live).steps == ()


def test_a_release_of_it_can_be_recorded():
    release = draft(desired_of(), Live(), ())

    assert release is not None
    assert release.prefect == "waker"


def test_its_image_is_named_by_its_own_code():
    parts = dict(waker_image_parts(DEPLOY))
    tag = image_reference("acme-waker", "", tuple(parts.items()))

    assert {"Dockerfile", "image.json", "waker.py", "roost_machine/metadata.py"} <= set(parts)
    assert not [name for name in parts if name.startswith(("roost_server", "roost_flows"))]
    assert tag.startswith("registry.fly.io/acme-waker:waker-")
    assert is_our_image(tag)
    assert version_in(tag) == ""
