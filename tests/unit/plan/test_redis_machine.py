"""What a managed Redis asks of Fly: one machine with a volume that never sleeps, in the private network."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.environments import REPLICATED, environment_file
from helpers.plans import PRICES
from helpers.pretend_fly import applied
from roost.environment.redis_unit import redis_units
from roost.fly.models import Check, Machine, Volume
from roost.plan.cost import cost_change, read_prices
from roost.plan.cost_table import cost_table
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.disk_usage import fullness_notes
from roost.plan.image import image_reference, is_our_image, redis_image_parts, version_in
from roost.plan.live import Live
from roost.plan.machine_config import environment_variables
from roost.plan.redis_health import redis_health
from roost.plan.releases import draft
from roost.plan.steps import Risk

DEPLOY = Path(__file__).parents[3] / "deploy"
IMAGE = "registry.fly.io/acme-prefect-redis:redis-{}"
SECRETS = [*REPLICATED["secrets"][:2], "REDIS_PASSWORD"]
MANAGED = {**REPLICATED, "redis": {"managed": True}, "secrets": SECRETS}


def desired_of(image="0123456789ab", **fields):
    (unit,) = redis_units(environment_file(MANAGED, **fields))
    return desired_state(unit, IMAGE.format(image))


def test_it_is_an_app_without_an_address_and_has_its_password_and_a_volume():
    desired = desired_of()
    config = desired.machines[0].config

    assert (desired.app, desired.environment) == ("acme-prefect-redis", "staging.redis")
    assert (desired.ip_types, desired.secrets) == ((), ("REDIS_PASSWORD",))
    assert (desired.volume.size_gb, desired.volume.name) == (1, "data")
    assert config["metadata"][ENVIRONMENT_KEY] == "staging.redis"
    assert config["mounts"] == [{"name": "data", "path": "/data"}]
    assert config["guest"] == {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
    assert config["checks"]["health"]["port"] == 8080
    assert "services" not in config


def test_half_of_its_memory_is_for_data():
    redis = {"managed": True, "machine": {"memory_mb": 1024}, "volume_gb": 3}
    desired = desired_of(redis=redis)

    assert desired.machines[0].config["env"]["ROOST_REDIS_MAX_MB"] == "512"
    assert desired.volume.size_gb == 3


def test_nothing_puts_it_to_sleep_and_it_is_started_again():
    desired = desired_of()

    assert desired.always_on == 1
    assert desired.machines[0].config["restart"] == {"policy": "always"}


def test_its_cost_is_that_of_its_machine_and_its_volume():
    desired, prices = desired_of(region="iad"), read_prices(PRICES)
    cost = cost_change(prices, desired, applied(desired)).now

    assert (round(cost.low, 2), round(cost.high, 2)) == (2.09, 2.09)
    server = desired_state(environment_file(MANAGED), "none")
    table = cost_table("staging", server, prices, (0.0, 24.0), {"staging.redis": desired})
    lines = {line.name: [round(amount, 2) for amount in line.amounts] for line in table.lines}
    assert lines["staging.redis: machine, awake"] == [1.94, 1.94]
    assert lines["staging.redis: volume"] == [0.15, 0.15]


def test_every_machine_of_the_server_knows_where_it_is_and_not_its_password():
    managed = environment_variables(environment_file(MANAGED).environment)
    other = environment_variables(environment_file(REPLICATED).environment)

    assert managed["ROOST_REDIS_ADDRESS"] == "acme-prefect-redis.internal:6379"
    assert "ROOST_REDIS_URL_VARIABLE" not in managed
    assert "ROOST_REDIS_ADDRESS" not in other


def test_an_unchanged_redis_has_no_plan_and_an_upgrade_of_prefect_changes_none():
    live = applied(desired_of(prefect={"version": "3.8.8"}))

    assert diff(desired_of(prefect={"version": "3.8.8"}), live).steps == ()
    assert diff(desired_of(prefect={"version": "3.9.1"}), live).steps == ()


def test_before_another_image_reads_its_file_there_is_a_snapshot():
    plan = diff(desired_of("ba9876543210"), applied(desired_of()))
    resized = diff(
        desired_of(redis={"managed": True, "machine": {"memory_mb": 512}}), applied(desired_of())
    )

    assert (plan.risk, plan.refusals) == (Risk.MIGRATION, ())
    assert resized.risk is Risk.RESTART


def test_a_release_of_it_can_be_recorded():
    release = draft(desired_of(), Live(), ())

    assert release is not None
    assert release.prefect == "redis"


def test_its_image_is_named_by_its_own_code():
    parts = dict(redis_image_parts(DEPLOY))
    tag = image_reference("acme-prefect-redis", "", tuple(parts.items()), "redis")

    assert {"Dockerfile", "image.json", "managed_redis.py", "roost_machine/log.py"} <= set(parts)
    assert not [name for name in parts if name.startswith(("roost_server", "roost_waker"))]
    assert tag.startswith("registry.fly.io/acme-prefect-redis:redis-")
    assert is_our_image(tag)
    assert version_in(tag) == ""


def test_a_volume_that_is_full_names_the_field_of_the_redis():
    blocks = {"blocks": 100, "block_size": 1024, "blocks_avail": 5}
    volume = Volume(id="vol_1", name="data", region="iad", size_gb=1, **blocks)

    [note] = fullness_notes(desired_of().volume, volume)

    assert note.endswith("Raise redis.volume_gb.")


FULL = "Redis 7.4.11: 122 of 128 MB, 34 clients; its memory is nearly full, and a full one refuses writes; raise redis.machine.memory_mb"
SAID = "Redis 7.4.11: 3 of 128 MB, 34 clients"


@pytest.mark.parametrize(
    ("state", "checks", "text", "good"),
    [
        ("started", [Check(status="passing", output=f"200 OK Output: {SAID}\n")], SAID, True),
        ("started", [Check(status="critical", output="Redis: it refuses (LOADING)")], "Redis: it refuses (LOADING)", False),
        ("started", [Check(status="critical", output=FULL)], FULL, False),
        ("started", [Check(status="critical", output="connect: connection refused")], "Fly's check is critical", False),
        ("started", [Check(status="passing", output="Redis 1: \x1b[31m<b>`")], "Fly's check is passing", True),
        ("started", [], "Fly has not checked it yet", True),
    ],
    ids=["good", "refuses", "full", "away", "not ours", "new"],
)  # fmt: skip
def test_its_health_is_what_it_said_to_fly_in_the_known_form(state, checks, text, good):
    health = redis_health([Machine(id="m1", state=state, checks=checks)])

    assert (health.text, health.good) == (text, good)


def test_one_that_is_stopped_says_nothing():
    assert redis_health([Machine(id="m1", state="stopped", checks=[Check(output=SAID)])]) is None
