"""The password of a managed Redis: one value for its app and its server's, given or generated."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from helpers.environments import POSTGRES, REPLICATED, environment_file
from roost.environment.redis import PASSWORD
from roost.environment.redis_unit import redis_units
from roost.operations.context import Clients, Context
from roost.operations.fly_target import Generates, Target
from roost.operations.secret_sources import complete_values, known_values, to_generate
from roost.plan.desired_state import desired_state
from roost.plan.live import Live

LOCAL = Target(cast("Any", None), generates=Generates.LOGIN)
FLY = Target(cast("Any", None))
MANAGED = {
    **REPLICATED,
    "redis": {"managed": True},
    "secrets": [*REPLICATED["secrets"][:2], PASSWORD],
}


@pytest.fixture
def context(tmp_path):
    """A context with a local Fly's folder of its own; each value that it makes up is another one."""
    quiet, numbers = Console(file=io.StringIO()), iter(range(100))
    environ = {"LOCALFLY_HOME": str(tmp_path)}
    clients = Clients(make_value=lambda _: f"generated-{next(numbers):07d}")
    return Context(environ, Path("/nowhere"), quiet, quiet, clients)


def value_of(context, file, target=LOCAL):
    """Return the password that an apply of a part would set; empty for none."""
    values = known_values(context, file, target, desired_state(file, "none"), Live())
    made = complete_values(context, file, values, to_generate(target, file, values, Live()))
    found = made.found.get(PASSWORD)
    return found.reveal() if found else ""


def test_on_the_local_fly_both_apps_get_the_same_generated_one(context):
    server = environment_file(MANAGED)
    [redis] = redis_units(server)

    assert value_of(context, redis) == value_of(context, server) == value_of(context, redis)
    assert value_of(context, server).startswith("generated-")


def test_a_given_one_wins_for_both(context):
    context.environ[PASSWORD] = "given-given-given-1"
    server = environment_file(MANAGED)

    assert {value_of(context, file) for file in (server, *redis_units(server))} == {
        "given-given-given-1"
    }


def test_on_fly_io_none_is_generated(context):
    assert value_of(context, environment_file(MANAGED), FLY) == ""


def test_a_secret_of_that_name_without_a_managed_redis_is_somebody_else_s(context):
    file = environment_file(POSTGRES, secrets=[*POSTGRES["secrets"], PASSWORD])

    assert value_of(context, file) == ""
