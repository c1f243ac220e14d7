"""The plan of a pull request says which secret comes from somewhere else than the base says."""

from __future__ import annotations

import io

import pytest
import yaml

from helpers.environments import environment_data
from roost.environment.model import AUTH_SECRET
from roost.operations.context import Context
from roost.plan.steps import Plan
from roost.report.text import make_console
from roost.workflows.plan import with_moved_sources

PLAN = Plan("staging", "acme", (), (), ("Another warning.",), {}, sources={"HOOK": "env OTHER"})


@pytest.fixture
def context(tmp_path):
    """A run of the base's code, on the files of a pull request beside it."""
    for side in ("base", "head"):
        (tmp_path / side / "environments").mkdir(parents=True)
    console = make_console(io.StringIO())
    environ = {"ROOST_ENVIRONMENTS": str(tmp_path / "head" / "environments")}
    return Context(environ, tmp_path / "base", console, console)


def write(folder, *secrets):
    data = environment_data(secrets=[AUTH_SECRET, *secrets])
    (folder / "staging.yaml").write_text(yaml.safe_dump(data))


def test_a_source_that_moved_is_the_first_warning(context):
    write(context.project / "environments", "HOOK")

    assert with_moved_sources(context, PLAN).warnings == (
        "The value of the secret HOOK comes from env OTHER now. It came from the variable of the same name.",
        "Another warning.",
    )


def test_a_new_secret_a_new_environment_and_a_base_with_faults_have_no_source_of_before(context):
    base = context.project / "environments"

    assert with_moved_sources(context, PLAN) == PLAN
    write(base)
    assert with_moved_sources(context, PLAN) == PLAN
    write(base, {"name": "HOOK", "from": {"env": "SOPS_AGE_KEY"}})
    assert with_moved_sources(context, PLAN) == PLAN


def test_files_of_one_s_own_are_compared_with_nothing(context):
    write(context.project / "environments", "HOOK")
    own = Context({}, context.project, context.out, context.progress)

    assert with_moved_sources(own, PLAN) == PLAN
