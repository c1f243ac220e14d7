"""exec and logs on a real machine of a local Fly: what a person sees, and the exit code."""

from __future__ import annotations

import pytest

from helpers.small_server import NAME, SMALL
from localfly.machines.process_spec import log_path
from roost.environment.model import AUTH_SECRET

pytestmark = pytest.mark.slow


def test_a_command_runs_in_the_machine_and_its_log_is_read(site):
    prefect = {"version": "3.8.8", "image": SMALL}
    site.roost.write(NAME, app=site.name, prefect=prefect, secrets=[AUTH_SECRET])
    site.roost.run("apply", NAME, "--local")
    [machine] = site.list("machines")
    shell = "echo out; echo err >&2; echo $FLY_MACHINE_ID; exit 3"

    done = site.roost.run("exec", NAME, "--local", "--", "sh", "-c", shell, expect=3)
    site.roost.run("sleep", NAME, "--local")
    refused = site.roost.run("exec", NAME, "--local", "--", "true", expect=3)
    log_path(site.daemon.home, machine["id"]).write_text("a line of the server\n")
    log = site.roost.run("logs", NAME, "--local")
    state = site.list("machines")[0]["state"]
    woken = site.roost.run("exec", NAME, "--local", "--wake", "--", "true")

    assert done.stdout == f"out\n{machine['id']}\n"
    assert done.stderr.endswith("err\n")
    assert "--wake" in refused.stderr
    assert log.stdout.endswith(f" {machine['id']} a line of the server\n")
    assert state in {"suspended", "stopped"}
    assert "It is started." in woken.stderr
    assert site.list("machines")[0]["state"] == "started"
