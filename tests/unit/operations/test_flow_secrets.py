"""The login of a flow server: the one of its Prefect server, given or generated."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from helpers.environments import environment_file
from helpers.flow_folders import NIGHTLY
from helpers.pretend_fly import applied
from roost.environment.flow_server import CLIENT_LOGIN
from roost.environment.flow_units import flow_units
from roost.environment.model import AUTH_SECRET
from roost.operations.context import Clients, Context
from roost.operations.fly_target import Generates, Target
from roost.operations.generated_secrets import GeneratedSecrets
from roost.operations.secret_sources import complete_values, known_values, to_generate
from roost.plan.desired_state import desired_state
from roost.plan.live import Live

IMAGE = "registry.fly.io/acme-prefect-nightly:prefect-3.8.8-0123456789ab"
LOGIN = "admin:generated"
LOCAL = Target(cast("Any", None), generates=Generates.LOGIN)


@pytest.fixture
def context(tmp_path):
    """A context with a local Fly's folder of its own."""
    quiet = Console(file=io.StringIO())
    environ = {"LOCALFLY_HOME": str(tmp_path)}
    return Context(environ, Path("/nowhere"), quiet, quiet, Clients(make_value=lambda _: LOGIN))


@pytest.fixture
def unit():
    """A flow server with a secret of its own."""
    [found] = flow_units(environment_file(flows=[{**NIGHTLY, "secrets": ["HOOK"]}]))
    return found


def test_on_the_local_fly_it_gets_the_login_that_was_generated_for_its_server(context, unit):
    GeneratedSecrets(context.local_home, lambda _: LOGIN).values("acme-prefect", [AUTH_SECRET])
    desired = desired_state(unit, IMAGE)

    values = known_values(context, unit, LOCAL, desired, Live())

    assert values.found[CLIENT_LOGIN].reveal() == LOGIN
    assert "HOOK" in values.missing


def test_a_new_login_is_never_generated_for_it(context, unit):
    """A login that its server does not have would lock it out."""
    desired = desired_state(unit, IMAGE)
    values = known_values(context, unit, LOCAL, desired, Live())

    asked = to_generate(LOCAL, unit, values, Live())
    whole = complete_values(context, unit, values, asked)

    assert CLIENT_LOGIN not in whole.found
    assert GeneratedSecrets(context.local_home).known("acme-prefect-nightly", [CLIENT_LOGIN]) == {}


def test_a_given_login_wins(context, unit):
    GeneratedSecrets(context.local_home, lambda _: LOGIN).values("acme-prefect", [AUTH_SECRET])
    context.environ[AUTH_SECRET] = "admin:given"
    desired = desired_state(unit, IMAGE)

    values = known_values(context, unit, LOCAL, desired, applied(desired))

    assert values.found[CLIENT_LOGIN].reveal() == "admin:given"


def test_on_fly_io_none_is_generated(context, unit):
    GeneratedSecrets(context.local_home, lambda _: LOGIN).values("acme-prefect", [AUTH_SECRET])
    target = Target(cast("Any", None))

    values = known_values(context, unit, target, desired_state(unit, IMAGE), Live())

    assert set(values.missing) == {CLIENT_LOGIN, "HOOK"}
