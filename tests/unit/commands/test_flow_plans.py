"""The plan of an environment with flow servers: one after the other, each with its name."""

from __future__ import annotations

from helpers.environments import environment_data
from helpers.flow_folders import NIGHTLY, write_flow_folder
from roost.environment.sops_file import repository_of


def test_each_plan_of_several_is_named(roost, rewrite, tmp_path):
    """`machine/app-1` is a step of both, so a change of one could be read as one of the other."""
    write_flow_folder(repository_of(tmp_path / "staging.yaml"))
    app = environment_data()["app"]
    rewrite(flows=[NIGHTLY])

    lines = roost("plan", "staging").out.splitlines()
    alone = roost("plan", "staging.nightly").out.splitlines()

    assert f"staging (app {app})" in lines
    assert f"staging.nightly (app {app}-nightly)" in lines
    assert not any(line.startswith("staging") for line in alone)
