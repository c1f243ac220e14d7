"""The files whose last commits lead from a deploy by hand to its pull request."""

from __future__ import annotations

import pytest
import yaml
from rich.console import Console

from helpers.environments import environment_data
from helpers.server_locks import REDIS, lock_text, write_server_lock
from roost.operations.context import Context
from roost.workflows.report import _beside


@pytest.fixture
def beside(tmp_path):
    """The files that an environment with these fields depends on, beside its own file."""

    def beside(**fields):
        folder = tmp_path / "environments"
        folder.mkdir(exist_ok=True)
        (folder / "staging.yaml").write_text(yaml.safe_dump(environment_data(**fields)))
        console = Console()
        environ = {"ROOST_ENVIRONMENTS": str(folder)}
        return _beside(Context(environ, tmp_path, console, console), "staging")

    return beside


def test_an_environment_alone_depends_on_its_own_file(beside):
    assert beside() == ()


def test_the_lock_of_extras_leads_to_its_pull_request(beside, tmp_path):
    environments = tmp_path / "environments"
    environments.mkdir()
    write_server_lock(environments, "staging", lock_text("prefect-redis"))

    found = beside(**REDIS)

    assert found == ("environments/locks/staging.txt",)
