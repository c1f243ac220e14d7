"""The secrets of Prefect's blocks: from their sources, and made up in a rehearsal alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from helpers.environments import environment_file
from roost.operations.context import Clients, Context
from roost.operations.fly_target import Generates, Target
from roost.operations.secret_sources import object_values

FILE = environment_file(prefect={"objects": "prefect/x.yaml", "object_secrets": ["HOOK"]})


@pytest.fixture
def context(tmp_path):
    """A context with a local Fly's folder of its own, and no value of the secret."""
    return context_with(tmp_path)


def context_with(folder, **environ):
    """Return a context with these variables."""
    quiet = Console(file=io.StringIO())
    variables = {"LOCALFLY_HOME": str(folder), **environ}
    return Context(variables, Path("/nowhere"), quiet, quiet, Clients(make_value=lambda _: "made"))


def found(context, generates):
    """Return the values on a Fly, and the names without one."""
    values = object_values(context, FILE, Target(cast("Any", None), generates=generates))
    return {name: value.reveal() for name, value in values.found.items()}, set(values.missing)


def test_a_value_comes_from_its_source(tmp_path):
    context = context_with(tmp_path, HOOK="given")

    assert found(context, Generates.ALL) == ({"HOOK": "given"}, set())


@pytest.mark.parametrize("generates", [Generates.NOTHING, Generates.LOGIN])
def test_a_value_that_is_not_here_is_missing(context, generates):
    assert found(context, generates) == ({}, {"HOOK"})


def test_a_rehearsal_makes_one_up_and_keeps_it(context):
    first = found(context, Generates.ALL)

    assert first == ({"HOOK": "made"}, set())
    assert found(context, Generates.ALL) == first
