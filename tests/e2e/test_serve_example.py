"""The example of the documentation: it serves, runs what is asked, and pauses nothing when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from helpers.prefect_site import NAME
from helpers.process_trees import end_tree
from helpers.waiting import LIMIT_S, until

EXAMPLES = Path(__file__).parents[2] / "examples"
DEPLOYMENTS = {"daily-orders/shop": "shop", "refresh-dashboard/website": "website"}


@pytest.fixture
def serving(site, image, tmp_path):
    """The example as a process of a person who connected their own Prefect."""
    site.wake()
    environ = {
        "PATH": f"{image.bin}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    site.roost.run("connect", NAME, "--local", **environ)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            # A shell starts what it runs in the background with SIGINT ignored; all below inherit that.
            ["env", "--default-signal=INT", image.bin / "python", EXAMPLES / "serve_flows.py"],
            env={**environ, "PREFECT_RUNNER_POLL_FREQUENCY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield process
    end_tree(process, f"HOME={tmp_path}")


def deployments(site) -> dict[str, dict[str, object]]:
    """Return the deployments of the example by the names that a person types."""
    found = site.ask("POST", "/deployments/filter", {}).json()
    # The flows after the deployments: a deployment that is found has its flow by then.
    by_flow = {flow["id"]: flow["name"] for flow in site.ask("POST", "/flows/filter", {}).json()}
    named = {f"{by_flow[each['flow_id']]}/{each['name']}": each for each in found}
    return {name: each for name, each in named.items() if name in DEPLOYMENTS}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "systemd"])
def test_the_example_runs_flows_of_two_projects_and_leaves_their_schedules_on(
    site, serving, number
):
    until(lambda: len(deployments(site)) == len(DEPLOYMENTS))
    served = deployments(site)
    runs = [
        site.ask("POST", f"/deployments/{each['id']}/create_flow_run", {}).json()["id"]
        for each in served.values()
    ]

    until(
        lambda: (
            {site.ask("GET", f"/flow_runs/{run}").json()["state_type"] for run in runs}
            == {"COMPLETED"}
        )
    )
    serving.send_signal(number)
    serving.wait(LIMIT_S)

    assert {name: each["tags"] for name, each in served.items()} == {
        name: [tag] for name, tag in DEPLOYMENTS.items()
    }
    assert [each["paused"] for each in deployments(site).values()] == [False, False]
